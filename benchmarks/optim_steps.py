# %%
"""Time per optimizer step against torch.optim, at 1e6 and 4e7 parameters, many small and few large tensors.

    python benchmarks/optim_steps.py [--threads 2] [--rounds 15] [--sizes 1e6 4e7] [--clock cpu] [--out FILE] [--force]

The contenders take turns, so that a busy moment of the machine hits all of them; medians are over the turns and
ratios are medians of per-turn ratios. On a busy machine take one thread and ``--clock cpu``, which counts the time
of that thread alone. Gradient evaluations are not part of a step: for the two-gradient methods the
closure hands over ready gradients.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path

import torch

from signscope import optim
from signscope.rules.spectral import newton_schulz, polar_factor

TARGETS = [("SignSGD", "torch SGD momentum", 1.1), ("Signum", "torch SGD momentum", 1.2), ("Signum", "floor", 1.7)]


def tensors(size, layout, device):
    """Parameters with gradients: tensors of 1000 entries, or of a quarter of the size."""
    each = 1000 if layout == "small" else max(1, size // 4)
    params = [torch.nn.Parameter(torch.randn(each, device=device)) for _ in range(size // each)]
    for p in params:
        p.grad = torch.randn_like(p)
    return params


def contenders(size, layout, device):
    """Name -> function that takes one step on its own copy of the parameters."""

    def one(make):
        params = tensors(size, layout, device)
        return make(params).step

    def two(make):
        params = tensors(size, layout, device)
        grads = [p.grad for p in params]

        def closure():
            for p, g in zip(params, grads, strict=True):
                p.grad = g
            return torch.zeros(())

        opt = make(params, closure)
        return lambda: opt.step(closure)

    return {
        "torch SGD momentum": lambda: one(lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9)),
        "floor": lambda: one(lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, fused=True)),
        "torch AdamW": lambda: one(lambda p: torch.optim.AdamW(p, lr=1e-3)),
        "SignSGD": lambda: one(lambda p: optim.SignSGD(p, lr=1e-3)),
        "Signum": lambda: one(lambda p: optim.Signum(p, lr=1e-3)),
        "Lion": lambda: one(lambda p: optim.Lion(p, lr=1e-3)),
        "EFSignSGD": lambda: one(lambda p: optim.EFSignSGD(p, lr=1e-3)),
        "SSVR": lambda: two(lambda p, _: optim.SSVR(p, lr=1e-3)),
        "SSVRFS": lambda: two(lambda p, c: optim.SSVRFS(p, lr=1e-3, full_gradient=c, period=10**6)),
        "SpiderSign": lambda: two(lambda p, c: optim.SpiderSign(p, lr=1e-3, full_gradient=c, period=10**6)),
        "SignSVRG": lambda: two(lambda p, c: optim.SignSVRG(p, lr=1e-3, full_gradient=c, period=10**6)),
    }


def timed(step, device, clock=time.perf_counter):
    start = clock()
    step()
    if device != "cpu":
        torch.cuda.synchronize()
    return 1e3 * (clock() - start)


def race(size, layout, device, rounds, names, clock):
    """Milliseconds per step and turn; at most four contenders are alive at once when memory is short."""
    makers = contenders(size, layout, device)
    base = ["torch SGD momentum", "floor"]
    rest = [n for n in makers if n not in base and (not names or n in names)]
    rows = {}
    for group in [rest[i : i + 2] for i in range(0, len(rest), 2)] if size > 10**7 else [rest]:
        steps = {name: makers[name]() for name in (*base, *group)}
        for step in steps.values():
            for _ in range(3):
                step()
        times = {name: [] for name in steps}
        for _ in range(rounds):
            for name, step in steps.items():
                times[name].append(timed(step, device, clock))
        for name, values in times.items():
            rows.setdefault(name, summary(values, times))
    return rows


def summary(values, times):
    def over(other):
        return statistics.median(own / base for own, base in zip(values, times[other], strict=True))

    return {
        "median_ms": statistics.median(values),
        "low_ms": sorted(values)[len(values) // 4],
        "high_ms": sorted(values)[-1 - len(values) // 4],
        "over_sgd": over("torch SGD momentum"),
        "over_floor": over("floor"),
    }


def orthogonalisation(device, rounds):
    """Milliseconds for the matrix sign of one matrix, by method."""
    table = {}
    for shape in ((256, 256), (768, 768), (768, 3072)):
        matrix = torch.randn(shape, device=device)
        methods = {
            "newton-schulz float32": lambda m=matrix: newton_schulz(m),
            "newton-schulz bfloat16": lambda m=matrix: newton_schulz(m, dtype=torch.bfloat16),
            "svd": lambda m=matrix: polar_factor(m),
        }
        for name, call in methods.items():
            call()
            table[f"{shape[0]}x{shape[1]} {name}"] = statistics.median(
                timed(call, device) for _ in range(min(rounds, 5))
            )
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e6, 4e7])
    parser.add_argument("--layouts", nargs="+", default=["small", "large"])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-muon", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--force", action="store_true")
    args = parser.parse_args()
    if args.out and args.out.exists() and not args.force:
        sys.exit(f"{args.out} exists; use --force to overwrite it")
    if args.clock == "cpu" and (args.threads != 1 or args.device != "cpu"):
        sys.exit("--clock cpu sees one thread of the CPU: take --threads 1")
    torch.set_num_threads(args.threads)
    results = {
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
        "threads": args.threads,
        "clock": args.clock,
    }
    clock = time.perf_counter if args.clock == "wall" else time.thread_time
    for size in map(int, args.sizes):
        for layout in args.layouts:
            rows = race(size, layout, args.device, args.rounds, args.only, clock)
            results[f"{size} {layout}"] = rows
            print(f"\n{size:.0e} parameters, {layout} tensors   ms (quartiles)      / SGD   / floor")
            for name, r in rows.items():
                spread = f"{r['median_ms']:9.3f} ({r['low_ms']:.3f}-{r['high_ms']:.3f})"
                print(f"  {name:22s}{spread:32s}{r['over_sgd']:6.2f}{r['over_floor']:9.2f}")
            for name, base, limit in TARGETS:
                if name in rows:
                    ratio = rows[name]["over_sgd" if base != "floor" else "over_floor"]
                    print(f"  {name} / {base}: {ratio:.2f}, target {limit}: {'met' if ratio <= limit else 'MISSED'}")
    if not args.no_muon:
        results["orthogonalisation_ms"] = orthogonalisation(args.device, args.rounds)
        print("\nmatrix sign, ms")
        for name, value in results["orthogonalisation_ms"].items():
            print(f"  {name:36s}{value:9.2f}")
    if args.out:
        args.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
