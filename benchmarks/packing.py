"""Signs to bits and back: every way there is on a device, against one read or one write of the same memory.

    python benchmarks/packing.py [--device cpu|cuda] [--size 2.5e7] [--threads 1] [--rounds 15] [--dtype float32]

The floor of packing is a sum over the numbers, that of unpacking filling them; the peer is numpy.packbits. All take
turns within one run; times are medians, ratios medians of per-turn ratios. On a GPU a turn ends when the device is
done, and the numbers (100 MB by default) lie in its memory, not in its cache.
"""

import argparse
import platform
import statistics
import time

import numpy as np
import torch

from signscope.optim.distributed import packing, passes


def ways(values):
    """Job -> name -> function; the first of a job is its floor."""
    zero, out = packing.EVEN, torch.empty_like(values)
    packed = packing.pack_signs(values, zero=zero)
    pack = {
        "floor: one read (sum)": values.sum,
        "pack_signs": lambda: packing.pack_signs(values, zero=zero),
        "torch operations": lambda: packing._pack_signs(values, zero),
    }
    unpack = {
        "floor: one write (fill)": lambda: out.fill_(1.0),
        "unpack_signs": lambda: packing.unpack_signs(packed, out, length=0.1),
        "torch operations": lambda: packing._unpack_signs(packed, out, 0.1),
    }
    if values.is_cpu:
        numbers, steps, bits, zeros = values.numpy(), out.numpy(), packed.numpy(), np.array([zero], dtype=np.uint8)
        room = np.empty_like(bits)
        pack["NumPy, in pieces"] = lambda: passes.pack(numbers, zeros, room, False)
        pack["numpy.packbits(x > 0)"] = lambda: np.packbits(numbers > 0, bitorder="little")
        unpack["NumPy, in pieces"] = lambda: passes.unpack(bits, steps, 0.1)
        unpack["numpy.unpackbits, where"] = lambda: np.where(np.unpackbits(bits, bitorder="little"), 0.1, -0.1)
    return {"pack": pack, "unpack": unpack}


def timed(functions, *, rounds, device):
    """Seconds by name, one per turn."""
    times = {name: [] for name in functions}
    for turn in range(rounds + 2):
        for name, function in functions.items():
            _wait(device)
            start = time.perf_counter()
            function()
            _wait(device)
            if turn > 1:  # the first two compile and touch memory
                times[name].append(time.perf_counter() - start)
    return times


def _wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def way_of(device, size):
    """Which of them `pack_signs` takes."""
    module = packing.passes_for(size) if device.type == "cpu" else packing._on_gpu(device)
    return "torch operations" if module is None else module.__name__.rsplit(".", 1)[-1]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=float, default=2.5e7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    given = parser.parse_args(argv)
    device, size, dtype = torch.device(given.device), int(given.size) // 64 * 64, getattr(torch, given.dtype)
    torch.set_num_threads(given.threads)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    print(f"{name}, {size:,} numbers, {given.dtype}, {given.threads} thread(s), by {way_of(device, size)}")
    values = torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=dtype).to(device)
    for job, functions in ways(values).items():
        times = timed(functions, rounds=given.rounds, device=device)
        floor = next(iter(times.values()))
        for way, row in times.items():
            seconds = statistics.median(row)
            ratio = statistics.median(a / b for a, b in zip(row, floor, strict=True))
            rate = values.numel() * values.element_size() / seconds / 1e9
            print(f"{job:6}  {way:24} {1e3 * seconds:8.3f} ms  {rate:8.1f} GB/s of numbers  {ratio:5.2f} x floor")


if __name__ == "__main__":
    main()
