"""Runs notebooks from the first cell to the last, and fails where a cell does.

Usage: execute.py [--save] [--html FOLDER] [--timeout SECONDS] NOTEBOOK...

With --save the notebooks are written back with their outputs, but for what says nothing to a reader: when cells ran, how
long steps took, and the library that makes charts live, which each run sends anew. With --html a page is made of each.
"""

import argparse
import pathlib
import re
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

LIBRARY = re.compile(r"<script>(?:(?!</script>).)*?DecompressionStream(?:(?!</script>).)*?</script>", re.DOTALL)


def for_readers(cell):
    """Takes out of a cell what would make every save a change, or a notebook large."""
    cell.metadata.pop("execution", None)
    if cell.cell_type != "code":
        return
    cell.outputs = [o for o in cell.outputs if "<progress" not in o.get("data", {}).get("text/html", "")]
    for o in cell.outputs:
        if "text/html" in o.get("data", {}):
            o.data["text/html"] = LIBRARY.sub("", o.data["text/html"])


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
    if args.html:
        args.html.mkdir(parents=True, exist_ok=True)
        page, _ = nbconvert.HTMLExporter(embed_images=True).from_notebook_node(notebook)
        (args.html / path.with_suffix(".html").name).write_text(page, encoding="utf-8")
    if args.save and not failed:
        for cell in notebook.cells:
            for_readers(cell)
        nbformat.write(notebook, path)
sys.exit(failed)
