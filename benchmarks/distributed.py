# %%
"""Time and bytes per step of one-bit methods against fp32 and bf16 all-reduce, phase by phase, and the break-even link.

    python benchmarks/distributed.py [--size 2.5e7] [--ranks 2 4] [--rounds 9] [--threads 1] [--all] [--out DIR]
        [--gbits 1 4 10]   # again on slow links: the loopback of a network namespace, held to these Gbit/s by tc

gloo on loopback. The contenders take turns inside one run; a turn counts with its slowest rank; medians over turns.
Every contender starts from gradients that lie ready and ends with moved weights, so pack, exchange, vote, unpack and
apply are all counted. The all-reduces are timed bare, with the division by n and the SGD step (gradients lie in one
flat buffer, which spares them a copy), and with the sign of the mean as step. DVR-Sign's gradients are not part of
the time, its compression is. "Sent" is the formula, "carried" what the loopback interface counted (with headers and
whatever else it carried). With fewer cores than ranks the ranks share cores, in every contender alike.

The model of the link: step time = work of a rank + bytes / bandwidth. The work is measured here without a link. Held
to R Gbit/s, n ranks share what the loopback carries: R / (8 n) GB/s each. (Linux, with `unshare`, `ip` and `tc`.)
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from signscope.optim.distributed import DistributedSign, bytes_per_step
from signscope.optim.distributed.streaming import VoteStream
from signscope.optim.distributed.wire import Pending, Wire

TARGET = {2: 4.0, 4: 3.0}
"""Times faster than an fp32 all-reduce that is asked for, by number of ranks."""
LR = 1e-3


def contenders(size, rank, tensors=20, everything=False):
    """Name -> function that takes one step; all move the same weights."""
    ranks = dist.get_world_size()
    grads = torch.randn(size, generator=torch.Generator().manual_seed(rank))
    params = [torch.nn.Parameter(torch.zeros(size // tensors)) for _ in range(tensors)]
    reduced, half = grads.clone(), grads.bfloat16()
    full_views, half_views = (flat.split(size // tensors) for flat in (reduced, half))
    sgd = torch.optim.SGD(params, lr=LR)

    def point_to(flat):
        for p, view in zip(params, flat.split(size // tensors), strict=True):
            p.grad = view

    def with_sgd():
        dist.all_reduce(reduced)
        reduced.div_(ranks)
        point_to(reduced)
        sgd.step()

    def with_sign():
        dist.all_reduce(reduced)
        torch._foreach_add_(params, torch._foreach_sign(full_views), alpha=-LR)

    def bf16_with_sgd():
        torch._foreach_copy_(half_views, full_views)
        dist.all_reduce(half)
        half.div_(ranks)
        torch._foreach_copy_(full_views, half_views)
        point_to(reduced)
        sgd.step()

    def voting(method, **options):
        opt = DistributedSign(params, lr=LR, method=method, check_every=None, allow_changes=True, **options)

        def closure():
            point_to(grads)
            return torch.zeros(())

        return lambda: opt.step(closure)

    steps = {
        "fp32 all-reduce, bare": lambda: dist.all_reduce(reduced),
        "fp32 all-reduce, SGD": with_sgd,
        "fp32 all-reduce, sign of mean": with_sign,
        "bf16 all-reduce, bare": lambda: dist.all_reduce(half),
        "bf16 all-reduce, SGD": bf16_with_sgd,
        "majority-vote": voting("majority-vote"),
        "majority-vote, Signum": voting("majority-vote", momentum=0.9),
        "majority-vote, checked": voting("majority-vote", check_messages=True),
    }
    if everything:
        steps |= {name: voting(name) for name in ("sto-sign", "ef-sign", "dvr-sign")}
    for flat in (reduced, half):
        flat.mul_(1e-3)  # sums of sums stay finite
    return {name: no_grad(step) for name, step in steps.items()}


def no_grad(step):
    def run():
        with torch.no_grad():
            step()

    return run


def sent(name, size, ranks):
    """Bytes that one rank sends per step."""
    ring = 2 * (ranks - 1) / ranks * size
    if "all-reduce" in name:
        return ring * (4 if name.startswith("fp32") else 2)
    up, down = {"ef-sign": (1, 1), "dvr-sign": (1, 0)}.get(name, (0, 0))
    return bytes_per_step(size, ranks, up_scales=up * size // 256, down_scales=down * size // 256)


# %% Phases of a vote: wall and CPU time of one rank, summed over its buckets
PARTS = {
    "pack": (VoteStream, "_pack"),
    "start of exchanges": (Wire, "_start"),
    "wait": (Pending, "wait"),
    "vote": (VoteStream, "count"),
    "apply": (VoteStream, "apply"),
}


class Phases:
    """Wraps the parts of a streamed vote with clocks."""

    def __init__(self):
        self.spent = defaultdict(lambda: [0.0, 0.0])
        for name, (owner, method) in PARTS.items():
            setattr(owner, method, self._clocked(name, getattr(owner, method)))

    def _clocked(self, name, inner):
        def outer(*args, **options):
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return inner(*args, **options)
            finally:
                self.spent[name][0] += time.perf_counter() - wall
                self.spent[name][1] += time.thread_time() - cpu

        return outer


def phases(step, rounds):
    """Milliseconds (wall, CPU of the main thread) per step by phase, with the CPU time of all threads."""
    clocks, rows, total = Phases(), defaultdict(list), []
    for turn in range(rounds + 2):
        dist.barrier()
        clocks.spent.clear()
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        total.append((time.perf_counter() - wall, time.process_time() - cpu))
        if turn >= 2:
            for name, spent in clocks.spent.items():
                rows[name].append(tuple(spent))
    rows["step, all threads"] = total[2:]
    return {name: [1e3 * statistics.median(column) for column in zip(*r, strict=True)] for name, r in rows.items()}


def floors(size):
    """Milliseconds of passes over memory of the size of the gradients."""
    values, out = torch.randn(size), torch.zeros(size)
    work = {
        "read": lambda: values.sum(),
        "read and write": lambda: out.mul_(1.0),
        "add": lambda: out.add_(values),
        "SGD": lambda: out.add_(values, alpha=-LR),
    }
    return {name: statistics.median(timed(f) for _ in range(9)) for name, f in work.items()}


def timed(step):
    start = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - start)


# %% One run
def on_loopback():
    """Bytes that the loopback interface has carried so far, headers included; 0 where that cannot be read."""
    try:
        line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    except (OSError, StopIteration):
        return 0
    return int(line.split(":")[1].split()[0])


def worker(rank, ranks, options, folder):
    torch.set_num_threads(options["threads"])
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    steps = contenders(options["size"], rank, everything=options["all"])
    times = {name: [] for name in steps}
    for turn in range(options["rounds"] + 2):
        for name, step in steps.items():
            dist.barrier()
            cpu, carried = time.process_time(), on_loopback()
            took = [timed(step), 1e3 * (time.process_time() - cpu)]
            dist.barrier()
            took = torch.tensor([*took, (on_loopback() - carried) / ranks])
            dist.all_reduce(took, op=dist.ReduceOp.MAX)
            if turn >= 2:
                times[name].append(took.tolist())
    parts = phases(steps["majority-vote"], options["rounds"])
    dist.barrier()
    if rank == 0:
        result = {"times": times, "phases_ms": parts, "floors_ms": floors(options["size"])}
        Path(folder, "result.json").write_text(json.dumps(result))
    dist.barrier()
    dist.destroy_process_group()


def measure(ranks, options):
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(worker, (ranks, options, folder), nprocs=ranks)
        result = json.loads(Path(folder, "result.json").read_text())
    walls = {name: [wall for wall, _, _ in rows] for name, rows in result["times"].items()}
    result["rows"] = {
        name: {
            "wall_ms": statistics.median(own),
            "spread_ms": [min(own), max(own)],
            "cpu_ms": statistics.median(cpu for _, cpu, _ in result["times"][name]),
            "carried": statistics.median(carried for *_, carried in result["times"][name]),
            "bytes": sent(name, options["size"], ranks),
            "than_bare": ratio(walls["fp32 all-reduce, bare"], own),
            "than_sgd": ratio(walls["fp32 all-reduce, SGD"], own),
        }
        for name, own in walls.items()
    }
    return result


def ratio(base, own):
    """Median over turns of how many times faster."""
    return statistics.median(b / o for b, o in zip(base, own, strict=True))


def report(size, ranks, result):
    print(
        f"\n{size:.1e} parameters, {ranks} ranks: ms per step   CPU ms   MB sent   carried   "
        "faster than fp32 bare, with SGD"
    )
    for name, row in result["rows"].items():
        print(
            f"  {name:32s}{row['wall_ms']:9.1f}{row['cpu_ms']:13.1f}{row['bytes'] / 1e6:10.2f}"
            f"{row['carried'] / 1e6:10.2f}{row['than_bare']:18.2f}{row['than_sgd']:10.2f}"
        )
    print("  phases of the vote, ms wall/CPU: ", end="")
    print(", ".join(f"{name} {wall:.1f}/{cpu:.1f}" for name, (wall, cpu) in result["phases_ms"].items()))
    print("  passes over memory, ms: " + ", ".join(f"{k} {v:.1f}" for k, v in result["floors_ms"].items()))
    got, goal = result["rows"]["majority-vote"]["than_sgd"], TARGET.get(ranks)
    if goal:
        verdict = "met" if got >= goal else "MISSED"
        print(f"  majority-vote against fp32 with SGD: {got:.2f} times, target {goal:g}: {verdict}")
    for factor in (1, 2, 4):
        print(f"  model: {factor} times faster from {link(result, ranks, factor):.3g} GB/s per rank downwards")


# %% The link
def work(result, ranks):
    """Milliseconds of one rank without a link: fp32 (add, mean, SGD), vote (pack, vote, apply)."""
    floor, phase = result["floors_ms"], result["phases_ms"]
    full = (ranks - 1) / ranks * floor["add"] + floor["read and write"] + floor["SGD"]
    return full, sum(phase[name][1] for name in ("pack", "vote", "apply"))


def link(result, ranks, factor):
    """Largest bandwidth (GB/s) at which the vote is ``factor`` times faster; infinite where it is so without a link."""
    full, own = work(result, ranks)
    rows = result["rows"]
    saved = rows["fp32 all-reduce, SGD"]["bytes"] - factor * rows["majority-vote"]["bytes"]
    extra = factor * own - full
    return saved / extra / 1e6 if extra > 0 else float("inf")


def on_links(args):
    """The same run on slow links, in namespaces of their own: Gbit/s -> results by number of ranks."""
    found = {}
    for rate in args.gbits:
        print(f"\n--- loopback held to {rate:g} Gbit/s", flush=True)
        hold = f"ip link set lo up && tc qdisc add dev lo root tbf rate {rate}gbit burst 200kb latency 400ms"
        with tempfile.TemporaryDirectory() as folder:
            own = ["--size", str(args.size), "--rounds", str(args.rounds), "--threads", str(args.threads)]
            own += ["--ranks", *map(str, args.ranks), "--out", f"{folder}/out"]
            inside = ["sh", "-c", f'{hold} && exec "$@"', "sh", sys.executable, __file__, *own]
            try:
                subprocess.run(["unshare", "--net", "--map-root-user", *inside], check=True)
            except (OSError, subprocess.CalledProcessError) as cause:
                sys.exit(f"--gbits needs Linux with unshare, ip and tc, and the right to make namespaces: {cause}")
            results = json.loads(Path(folder, "out", "distributed.json").read_text())["results"]
        found[rate] = {int(ranks): result for ranks, result in results.items()}
    return found


def draw(results, path, links):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    axes = plt.subplots(figsize=(6.5, 4.2), constrained_layout=True)[1]
    speeds = [10 ** (k / 20) for k in range(-60, 41)]  # GB/s
    for colour, (ranks, result) in zip(("C0", "C1", "C2", "C3"), results.items(), strict=False):
        full, own = work(result, ranks)
        big, small = (
            result["rows"][k]["bytes"] / 1e6 for k in ("fp32 all-reduce, SGD", "majority-vote")
        )  # ms at 1 GB/s
        curve = [(full + big / s) / (own + small / s) for s in speeds]
        axes.plot(
            speeds, curve, color=colour, label=f"model, {ranks} ranks: 4 times below {link(result, ranks, 4):.2g} GB/s"
        )
        seen = result["rows"]["majority-vote"]["than_sgd"]
        axes.axhline(seen, color=colour, ls="--", lw=0.8, label=f"measured on loopback, {ranks} ranks: {seen:.1f}")
        if links:
            held = {rate / (8 * ranks): on[ranks]["rows"]["majority-vote"]["than_sgd"] for rate, on in links.items()}
            axes.plot(held.keys(), held.values(), "o", color=colour, label=f"measured on held links, {ranks} ranks")
    for level, style in ((1, "-"), (4, ":"), (32, ":")):
        axes.axhline(level, color="grey", lw=0.8, ls=style)
    axes.set(xscale="log", yscale="log", xlabel="bandwidth per rank (GB/s)", ylabel="step time, fp32 with SGD / vote")
    axes.set_title("work of a rank + bytes / bandwidth (dotted: 4, and 32 = the ratio of bytes)", fontsize=9)
    axes.legend(fontsize=8)
    axes.figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=float, default=2.5e7)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="methods with random signs or scales as well")
    parser.add_argument("--gbits", type=float, nargs="+", default=[], help="also on links of so many Gbit/s")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--force", action="store_true")
    args = parser.parse_args()
    if args.out and args.out.exists() and not args.force:
        sys.exit(f"{args.out} exists; use --force to overwrite it")
    results, size = {}, int(args.size)
    options = {"size": size, "rounds": args.rounds, "threads": args.threads, "all": args.all}
    for ranks in args.ranks:
        results[ranks] = measure(ranks, options)
        report(size, ranks, results[ranks])
    links = on_links(args)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        about = {"torch": torch.__version__, "machine": platform.machine(), **options}
        saved = {**about, "results": results, "links_gbits": links}
        (args.out / "distributed.json").write_text(json.dumps(saved, indent=1))
        draw(results, args.out / "break_even.png", links)


if __name__ == "__main__":
    main()
