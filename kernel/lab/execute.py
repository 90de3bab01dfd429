"""Runs notebooks from the first cell to the last, and fails where a cell does.

Usage: execute.py [--save] [--html FOLDER] [--timeout SECONDS] NOTEBOOK...

With --save the notebooks are written back with their outputs; with --html a page is made of each.
"""

import argparse
import pathlib
import sys
import time

import nbclient
import nbconvert
import nbformat

parser = argparse.ArgumentParser()
parser.add_argument("notebooks", nargs="+", type=pathlib.Path)
parser.add_argument("--save", action="store_true")
parser.add_argument("--html", type=pathlib.Path)
parser.add_argument("--timeout", type=float, default=600, help="seconds that one cell may take")
args = parser.parse_args()

failed = False
for path in args.notebooks:
    notebook = nbformat.read(path, as_version=4)
    began = time.monotonic()
    client = nbclient.NotebookClient(
        notebook, timeout=args.timeout, startup_timeout=60, resources={"metadata": {"path": str(path.parent)}}
    )
    try:
        client.execute()
        print(f"ok    {path} ({time.monotonic() - began:.1f} s)")
    except nbclient.exceptions.CellExecutionError as e:
        failed = True
        print(f"FAIL  {path}\n{e}", file=sys.stderr)
    if args.save and not failed:
        # When a cell ran says nothing to a reader, and would make every save a change.
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
        nbformat.write(notebook, path)
    if args.html:
        args.html.mkdir(parents=True, exist_ok=True)
        page, _ = nbconvert.HTMLExporter(embed_images=True).from_notebook_node(notebook)
        (args.html / path.with_suffix(".html").name).write_text(page, encoding="utf-8")
sys.exit(failed)
