"""What measuring the gradient noise costs: time over the passes it needs, memory per parameter.

    python benchmarks/measure.py [--threads 2] [--clock cpu] [--rounds 5] [--batches 32] [--rows 512]
        [--only transformer] [--params 1.2e8] [--no-memory] [--out FILE]
    python benchmarks/measure.py --table density      # the estimators of the density against known noise
    python benchmarks/measure.py --table coverage     # how often the interval holds the density

Time: the same batches through forward and backward passes alone and through `gradient_noise`, in turns; ratios are
medians of per-turn ratios. The check of the loss and the final sums belong to the measurement and are counted, so
ratios fall with the number of batches. Memory: peak of a process that measures less the peak of one that takes the
same gradients, on a synthetic stack of linear layers (1.2e8 parameters; about 6 GB in all).
"""

import argparse
import itertools
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import nn

TIME_TARGET, MEMORY_TARGET = 1.3, 32.0
FIXED = 2**25  # bytes that do not grow with the model: followed coordinates, pieces in work, scipy.special


def stack(params, width=1024):
    """Linear layers with ``params`` weights in all, at most."""
    depth = max(1, int(params / width**2))
    return nn.Sequential(*itertools.chain(*((nn.Linear(width, width, bias=False), nn.Tanh()) for _ in range(depth))))


def small_convolution():
    layers = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(1024, 10))


def transformer():
    block = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0, batch_first=True)
    return nn.Sequential(nn.Embedding(4096, 256), nn.TransformerEncoder(block, 4, enable_nested_tensor=False))


def contenders(rows):
    """Name -> model and inputs; ``rows`` tokens for the linear stacks and the transformer, an eighth as many images."""

    def images(_):
        return torch.randn(max(1, rows // 8), 3, 32, 32)

    return {
        "linear stack 4e6": (lambda: stack(4e6), lambda _: torch.randn(rows, 1024)),
        "linear stack 1e7": (lambda: stack(1e7), lambda _: torch.randn(rows, 1024)),
        "convolution 4e4": (small_convolution, images),
        "transformer 4e6": (transformer, lambda _: torch.randint(0, 4096, (max(1, rows // 64), 64))),
    }


def loss(model, batch):
    return model(batch).square().mean()


def passes(model, batches):
    """The forward and backward passes alone."""
    params = [p for p in model.parameters() if p.requires_grad]
    model.eval()
    for batch in batches:
        torch.autograd.grad(loss(model, batch), params)


def measurement(model, batches):
    from signscope.measure import gradient_noise

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gradient_noise(model, loss, batches, num_batches=len(batches))


def race(rows, batches, rounds, clock, only=()):
    table = {}
    for name, (make, draw) in contenders(rows).items():
        if only and name.split()[0] not in only:
            continue
        torch.manual_seed(0)
        model, data = make(), [draw(k) for k in range(batches)]
        passes(model, data[:2])
        measurement(model, data[:8])
        ratios, bare = [], []
        for _ in range(rounds):
            times = []
            for job in (passes, measurement):
                start = clock()
                job(model, data)
                times.append(clock() - start)
            bare.append(times[0])
            ratios.append(times[1] / times[0])
        spread = sorted(ratios)
        table[name] = {
            "passes_s": statistics.median(bare),
            "ratio": statistics.median(ratios),
            "low": spread[0],
            "high": spread[-1],
        }
        row, verdict = table[name], "met" if table[name]["ratio"] <= TIME_TARGET else "MISSED"
        print(
            f"  {name:20s}{row['passes_s']:8.2f} s of passes, measured {row['ratio']:.2f}x "
            f"({row['low']:.2f}-{row['high']:.2f}); target {TIME_TARGET}: {verdict}",
            flush=True,
        )
    return table


def peak_bytes():
    """Peak of resident memory so far; kilobytes on Linux, bytes on a Mac."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def child(kind, params, rows, threads):
    """Run one job in this process and print its peak."""
    torch.set_num_threads(threads)

    torch.manual_seed(0)
    model, batches = stack(params), [torch.randn(rows, 1024) for _ in range(8)]
    passes(model, batches) if kind == "passes" else measurement(model, batches)
    print(peak_bytes(), sum(p.numel() for p in model.parameters()))


def memory(params, rows, threads):
    peaks = {}
    for kind in ("passes", "measurement"):
        command = [sys.executable, __file__, "--child", kind, "--params", str(params), "--rows", str(rows)]
        done = subprocess.run(
            [*command, "--threads", str(threads)], capture_output=True, text=True, check=True, timeout=1800
        )
        peaks[kind], count = (int(word) for word in done.stdout.split())
    extra = (peaks["measurement"] - peaks["passes"] - FIXED) / count
    verdict = "met" if extra <= MEMORY_TARGET else "MISSED"
    print(
        f"  {count:.3g} parameters: {peaks['passes'] / 2**30:.2f} GB for the passes, "
        f"{peaks['measurement'] / 2**30:.2f} GB measured: {extra:.1f} bytes per parameter "
        f"beyond 32 MB; target {MEMORY_TARGET:.0f}: {verdict}"
    )
    return {"parameters": count, "bytes_per_parameter": extra, **peaks}


def density_table():
    """Raw, c4 and jackknife density of known noise, mean of 8 draws; lognormal sigmas of 20,000 coordinates."""
    from signscope._core.norms import density_of
    from signscope.measure import gradient_noise
    from signscope.measure.jackknife import c4

    dim, rounds = 20_000, 8
    sigma = torch.special.ndtri((torch.arange(dim) + 0.5).double() / dim).exp().float()
    model = nn.Module()
    model.w = nn.Parameter(torch.zeros(dim))
    print(f"true density {density_of(float(sigma.sum()), float(sigma.norm()), dim):.4f}")
    for share in (1.0, 0.1, 0.01):
        for n in (8, 32, 128):
            gen, found = torch.Generator().manual_seed(n), []
            for _ in range(rounds):
                rows = [
                    sigma
                    * torch.randn(1, dim, generator=gen)
                    * (torch.rand(1, dim, generator=gen) < share)
                    / share**0.5
                    for _ in range(n)
                ]
                whole = gradient_noise(model, lambda m, b: (b @ m.w).mean(), rows, num_batches=n).overall
                found.append((whole.density_raw, whole.density_raw / c4(n) ** 2, whole.density))
            means = [statistics.mean(column) for column in zip(*found, strict=True)]
            print(
                f"  active {100 * share:3.0f}%  n = {n:3d}  " + "  ".join(f"{mean:.3f}" for mean in means), flush=True
            )


NOISES = {
    "Gaussian": lambda z, gen: z,
    "Student t, 5 degrees": lambda z, gen: (
        z * (3 / torch.randn(*z.shape, 5, generator=gen).square().sum(-1).clamp(min=1e-9)).sqrt()
    ),
    "correlation 0.5": lambda z, gen: (z + torch.randn(1, 1, generator=gen)) * 0.5**0.5,
    "active in 25%, all at once": lambda z, gen: 2 * z * (torch.rand(1, 1, generator=gen) < 0.25),
    "active in 10%, each alone": lambda z, gen: 10**0.5 * z * (torch.rand(z.shape, generator=gen) < 0.1),
}


def coverage_table():
    """Share of 200 measurements whose 95% interval holds the density; lognormal sigmas of 1,000 coordinates."""
    from signscope._core.norms import density_of
    from signscope.measure import gradient_noise

    dim, rounds = 1_000, 200
    sigma = torch.special.ndtri((torch.arange(dim) + 0.5).double() / dim).exp().float()
    truth = density_of(float(sigma.sum()), float(sigma.norm()), dim)
    model = nn.Module()
    model.w = nn.Parameter(torch.zeros(dim))
    print(f"true density {truth:.4f}; share of intervals that hold it, mean width over the density")
    for name, law in NOISES.items():
        for n in (8, 32, 128):
            gen, inside, width = torch.Generator().manual_seed(n), 0, 0.0
            for _ in range(rounds):
                rows = [sigma * law(torch.randn(1, dim, generator=gen), gen) for _ in range(n)]
                whole = gradient_noise(model, lambda m, b: (b @ m.w).mean(), rows, num_batches=n).overall
                inside += whole.density_low <= truth <= whole.density_high
                width += (whole.density_high - whole.density_low) / truth / rounds
            print(f"  {name:28s} n = {n:3d}  {inside / rounds:.2f}  width {width:.2f}", flush=True)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=32)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--params", type=float, default=1.2e8)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--only", nargs="*", default=[], help="linear, convolution, transformer")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--table", choices=["density", "coverage"])
    parser.add_argument("--child", choices=["passes", "measurement"], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--force", action="store_true")
    args = parser.parse_args(argv)
    if args.out and args.out.exists() and not args.force:
        sys.exit(f"{args.out} exists; use --force to overwrite it")
    if args.child:
        child(args.child, args.params, args.rows, args.threads)
        return
    if args.clock == "cpu" and args.threads != 1:
        sys.exit("--clock cpu sees one thread: take --threads 1")
    clock = time.perf_counter if args.clock == "wall" else time.process_time
    torch.set_num_threads(args.threads)
    if args.table:
        {"density": density_table, "coverage": coverage_table}[args.table]()
        return
    print(f"gradient noise, {args.batches} batches of {args.rows}, {args.threads} threads")
    results = {
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
        "threads": args.threads,
        "time": race(args.rows, args.batches, args.rounds, clock, args.only),
    }
    if not args.no_memory:
        results["memory"] = memory(args.params, args.rows, args.threads)
    if args.out:
        args.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
