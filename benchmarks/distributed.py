# %%
"""Time and bytes per step of a majority vote and of DVR-Sign against fp32 and bf16 all-reduce, and the break-even link.

    python benchmarks/distributed.py [--size 2.5e7] [--ranks 2 4] [--rounds 7] [--threads 1] [--out FOLDER] [--force]

gloo on loopback. Contenders take turns inside one run; medians over the turns, slowest rank. The exchange of
gradients alone is timed (an all-reduce with its division and the SGD step; a vote with pack, exchange, vote, unpack,
apply). DVR-Sign's two gradient evaluations are not part of it, its compression is. The model of the break-even link:
step time = own work + bytes / bandwidth, with the work measured here on a link taken as infinitely fast, so that the
bandwidth at which the packed protocol begins to win is an upper bound.
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from signscope.optim.distributed import DistributedSign
from signscope.optim.distributed.packing import pack_signs, unpack_signs, vote

TARGET = {2: 4.0, 4: 3.0}
"""Times faster than an fp32 all-reduce that is asked for, by number of ranks."""


def contenders(size, rank, tensors=20):
    """Name -> (function that takes one step, bytes that it sends)."""
    ranks = dist.get_world_size()
    ring = 2 * (ranks - 1) / ranks

    gen = torch.Generator().manual_seed(rank)
    local = [torch.randn(size // tensors, generator=gen) for _ in range(tensors)]  # the gradients of all contenders

    def parameters():
        return [torch.nn.Parameter(torch.zeros_like(grad)) for grad in local]

    def reduced(dtype):
        params = parameters()
        flat, opt = torch.zeros(size, dtype=dtype), torch.optim.SGD(params, lr=1e-3)
        views = flat.split(size // tensors)
        for p, view in zip(params, views, strict=True):
            p.grad = view if dtype is torch.float32 else torch.zeros_like(p)

        def step():
            torch._foreach_copy_(views, local)
            dist.all_reduce(flat)
            flat.div_(ranks)
            if dtype is not torch.float32:
                torch._foreach_copy_([p.grad for p in params], views)
            opt.step()

        return step, ring * flat.element_size() * size

    def signs(method, **options):
        params = parameters()
        opt = DistributedSign(params, lr=1e-3, method=method, check_every=None, allow_changes=True, **options)

        def closure():
            for p, g in zip(params, local, strict=True):
                p.grad = g
            return torch.zeros(())

        opt.step(closure)
        before = opt.payload_bytes
        opt.step(closure)
        return (lambda: opt.step(closure)), opt.payload_bytes - before

    return {
        "fp32 all-reduce": reduced(torch.float32),
        "bf16 all-reduce": reduced(torch.bfloat16),
        "majority-vote": signs("majority-vote"),
        "majority-vote, Signum": signs("majority-vote", momentum=0.9),
        "dvr-sign": signs("dvr-sign"),
        "ef-sign": signs("ef-sign"),
    }


def pieces(size, ranks):
    """Milliseconds of the parts of a vote in one process, without a link."""
    values, out, param = torch.randn(size), torch.empty(size), torch.zeros(size)
    padded = size // (64 * ranks) * 64 * ranks
    packed = pack_signs(values[:padded], zero=0x55)
    ballots = packed.view(ranks, -1).clone()
    work = {
        "pack": lambda: pack_signs(values[:padded], zero=0x55),
        "vote": lambda: vote(ballots, tie=0x55),
        "unpack": lambda: unpack_signs(packed, out[:padded], length=1e-3),
        "apply": lambda: param.sub_(out),
        "copy (memory speed)": lambda: out.copy_(values),
    }
    return {name: statistics.median(timed(f) for _ in range(7)) for name, f in work.items()}


def timed(step):
    start = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - start)


def worker(rank, ranks, size, rounds, threads, folder):
    torch.set_num_threads(threads)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    steps = contenders(size, rank)
    times = {name: [] for name in steps}
    for turn in range(rounds + 2):
        for name, (step, _) in steps.items():
            dist.barrier()
            took = torch.tensor(timed(step))
            dist.all_reduce(took, op=dist.ReduceOp.MAX)
            if turn >= 2:
                times[name].append(float(took))
    if rank == 0:
        parts = pieces(size, ranks)
        rows = {name: {"times_ms": times[name], "bytes": steps[name][1]} for name in steps}
        Path(folder, "result.json").write_text(json.dumps({"rows": rows, "pieces_ms": parts}))
    dist.destroy_process_group()


def measure(size, ranks, rounds, threads):
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(worker, (ranks, size, rounds, threads, folder), nprocs=ranks)
        result = json.loads(Path(folder, "result.json").read_text())
    base = result["rows"]["fp32 all-reduce"]["times_ms"]
    for row in result["rows"].values():
        row["median_ms"] = statistics.median(row["times_ms"])
        row["faster_than_fp32"] = statistics.median(b / own for b, own in zip(base, row["times_ms"], strict=True))
    return result


def report(size, ranks, result):
    print(f"\n{size:.1e} parameters, {ranks} ranks        ms      MB sent   times faster than fp32")
    for name, row in result["rows"].items():
        print(f"  {name:26s}{row['median_ms']:9.1f}{row['bytes'] / 1e6:12.2f}{row['faster_than_fp32']:12.2f}")
    print("  parts: " + ", ".join(f"{k} {v:.1f} ms" for k, v in result["pieces_ms"].items()))
    ratio, goal = result["rows"]["majority-vote"]["faster_than_fp32"], TARGET.get(ranks)
    if goal:
        print(f"  majority-vote: {ratio:.2f} times, target {goal:g}: {'met' if ratio >= goal else 'MISSED'}")


def break_even(result):
    """Bandwidth (GB/s) below which the vote is faster than fp32: (B_fp32 - B_vote) / (W_vote - W_fp32)."""
    own = sum(v for k, v in result["pieces_ms"].items() if not k.startswith("copy"))
    copy = result["pieces_ms"]["copy (memory speed)"]
    saved = result["rows"]["fp32 all-reduce"]["bytes"] - result["rows"]["majority-vote"]["bytes"]
    extra = max(own - 2 * copy, 1e-9)  # an all-reduce adds and divides: about two passes over memory
    return saved / extra / 1e6, own, 2 * copy


def draw(results, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    axes = plt.subplots(figsize=(6, 4))[1]
    speeds = [10 ** (k / 20) for k in range(-60, 61)]  # GB/s
    for ranks, result in results.items():
        even, own, base = break_even(result)
        full, small = (
            result["rows"][k]["bytes"] / 1e6 for k in ("fp32 all-reduce", "majority-vote")
        )  # MB = ms at GB/s
        ratio = [(base + full / s) / (own + small / s) for s in speeds]
        axes.plot(speeds, ratio, label=f"{ranks} ranks, even at {even:.3g} GB/s" if even < 1e4 else f"{ranks} ranks")
    axes.axhline(1, color="grey", lw=0.8)
    axes.axhline(32, color="grey", lw=0.8, ls=":")
    axes.set(xscale="log", yscale="log", xlabel="bandwidth per worker (GB/s)", ylabel="fp32 step time / vote step time")
    axes.set_title("Model: measured work + bytes / bandwidth (dotted: bytes alone, 32)", fontsize=9)
    axes.legend()
    axes.figure.tight_layout()
    axes.figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=float, default=2.5e7)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--force", action="store_true")
    args = parser.parse_args()
    if args.out and args.out.exists() and not args.force:
        sys.exit(f"{args.out} exists; use --force to overwrite it")
    results, size = {}, int(args.size)
    for ranks in args.ranks:
        results[ranks] = measure(size, ranks, args.rounds, args.threads)
        report(size, ranks, results[ranks])
        print(f"  break-even bandwidth by the model: {break_even(results[ranks])[0]:.3g} GB/s")
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        about = {"torch": torch.__version__, "machine": platform.machine(), "threads": args.threads, "size": size}
        (args.out / "distributed.json").write_text(json.dumps({**about, "results": results}, indent=1))
        draw(results, args.out / "break_even.png")


if __name__ == "__main__":
    main()
