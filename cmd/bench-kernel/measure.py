"""Measures Jupyter kernels as their clients see them, and prints one JSON object.

Usage: measure.py RUNS ROUNDTRIPS CELLS-FILE

CELLS-FILE is JSON: {"warm": [cells to begin with], "filter": a cell to be run 1,000 times, with a threshold of its own for $X}.
"""

import json
import statistics
import subprocess
import sys
import time

from jupyter_client import KernelManager

runs, roundtrips = int(sys.argv[1]), int(sys.argv[2])
cells = json.load(open(sys.argv[3]))
KERNELS = {"banter": "banter", "ipykernel": "python3"}


def start(name):
    began = time.perf_counter()
    manager = KernelManager(kernel_name=KERNELS[name])
    # ipykernel warns at each start that TCP is not encrypted.
    manager.start_kernel(**({"stderr": subprocess.DEVNULL} if name == "ipykernel" else {}))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=120)
    return manager, client, (time.perf_counter() - began) * 1e3


def stop(manager, client):
    client.stop_channels()
    manager.shutdown_kernel(now=False)


def run(client, code, timeout=600):
    """runs a cell and returns its value as text and the time in milliseconds."""
    value = []

    def hook(message):
        if message["msg_type"] == "execute_result":
            value.append(message["content"]["data"]["text/plain"])

    began = time.perf_counter()
    reply = client.execute_interactive(code, timeout=timeout, output_hook=hook)
    took = (time.perf_counter() - began) * 1e3
    if reply["content"]["status"] != "ok":
        raise SystemExit(f"{code}\n{reply['content'].get('evalue')}")
    return value[-1] if value else None, took


def resident(manager):
    """the kernel's memory in MB."""
    pid = manager.provisioner.pid
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise SystemExit("no VmRSS")


result = {}
ready = {name: [] for name in KERNELS}
trips = {name: [] for name in KERNELS}
# The two take turns, so that whatever else the machine does falls on both. The first start of each, which reads its
# files from the disk, is not counted.
for i in range(runs + 1):
    for name in KERNELS:
        manager, client, took = start(name)
        if i > 0:
            ready[name].append(took)
        if i == runs:
            for n in range(roundtrips + 10):
                _, took = run(client, f"{n} + 1")
                if n >= 10:
                    trips[name].append(took)
        stop(manager, client)
for name, prefix in {"banter": "", "ipykernel": "ipykernel_"}.items():
    result[prefix + "roundtrip_ms"] = statistics.median(trips[name])
    result[prefix + "ready_ms"] = statistics.median(ready[name])

manager, client, _ = start("banter")
for cell in cells["warm"]:
    run(client, cell)
for n in range(100):  # until caches and the heap have their size
    run(client, cells["filter"].replace("$X", f"{n / 2000:.4f}"))
time.sleep(3)  # the kernel gives memory back when it is idle
before = resident(manager)
for n in range(100, 1100):
    run(client, cells["filter"].replace("$X", f"{n / 2000:.4f}"))
time.sleep(3)
result["growth_1000_cells_mb"] = resident(manager) - before
stop(manager, client)
print(json.dumps(result))
