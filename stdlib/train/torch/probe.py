"""Says how many floating-point operations a second matrix products reach: `python probe.py DEVICE PRECISION THREADS`."""

import sys
import time

import torch

device, precision, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
if threads:
    torch.set_num_threads(threads)
kind = torch.float32 if precision == "f32" else torch.bfloat16  # a base of 4 bits is widened to it
rows, width = (512, 1024) if device == "cpu" else (4096, 4096)
a, b = torch.ones(rows, width, dtype=kind, device=device), torch.ones(width, width, dtype=kind, device=device)


def now():
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


for _ in range(3):
    a @ b
began, times = now(), 0
while times < 4 or now() - began < 0.3:
    a @ b
    times += 1
print(2 * rows * width * width * times / (now() - began))
