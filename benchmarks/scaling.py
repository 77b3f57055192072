"""Cost of a prediction against dim: eigenvalues, Lanczos quadrature, and a diagonal covariance.

    python benchmarks/scaling.py [--case large] [--threads 2]

- ``ladder``: signSGD on diagonal plus rank 16, dim 1,000 to 1,000,000, each in a fresh process: seconds, seconds of
  CPU time, memory, error bar, and the ratio of the CPU time to its floor, the products of the covariance with a
  vector that were made. Target: linear in dim (slope of the logarithms at most 1.1 above dim = 30,000).
- ``dense``: signSGD on a rotated spectrum, dim 250 to 2,000, against its floor: the eigendecomposition and one product
  of two d x d matrices.
- ``large``: dim 1,000,000 alone. Target: 10 s, 2 GB, an error bar of at most 0.2%.
- ``diagonal``: dim 10,000,000. Target: 60 s.
- ``accuracy``: quadrature against eigenvalues at dim 4,000 for seven covariances and three optimizers. Target: 0.5%.
- ``simulation``: two runs of signSGD at dim 100,000 to horizon 2 (200,000 steps each) against the curve; minutes.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch

import signscope as ss
from signscope.problems import Circulant, DataMatrix, DiagonalPlusLowRank, Kronecker, Toeplitz, power_law
from signscope.problems import log_spaced, rescaled, rotated

LADDER = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
OPTIMIZERS = ("sgd", "signsgd", "adam")


def low_rank(dim: int) -> DiagonalPlusLowRank:
    """Own variances over a factor 20, 16 common factors that hold a fifth of the variance."""
    gen = np.random.default_rng(0)
    own = np.exp(gen.uniform(-3, 0, dim))
    strength = np.sqrt(np.logspace(0, -1.5, 16)) * 0.15
    return DiagonalPlusLowRank(own, gen.standard_normal((dim, 16)) * strength)


def covariances(dim: int) -> dict[str, Callable[[], object]]:
    gen = np.random.default_rng(0)
    lags = np.arange(dim)
    rows = 40
    small = 0.6 ** np.abs(np.subtract.outer(np.arange(rows), np.arange(rows)))
    scales = np.exp(gen.uniform(-1, 1, dim))
    return {
        "diagonal plus rank 16": lambda: low_rank(dim),
        "Toeplitz 0.9^k": lambda: Toeplitz(0.9**lags),
        "circulant exp(-k/3)": lambda: Circulant(np.exp(-np.minimum(lags, dim - lags) / 3)),
        "Kronecker 40 x dim/40": lambda: Kronecker(small, rotated(power_law(dim // rows, exponent=1.0))),
        "data matrix, 2 dim rows": lambda: DataMatrix(
            gen.standard_normal((2 * dim, dim)) * np.exp(gen.uniform(-1, 0, dim))
        ),
        "power law 1.2, rotated": lambda: rotated(power_law(dim, exponent=1.2)),
        "condition 1e3, rotated, rescaled": lambda: rescaled(rotated(log_spaced(dim, low=1e-3, high=1)), scales),
    }


def one(dim: int, kind: str) -> dict[str, float]:
    """Build a problem and predict signSGD, in this process."""
    cov = low_rank(dim) if kind == "low-rank" else np.exp(np.random.default_rng(0).uniform(-3, 0, dim))
    counted = Counted(cov) if kind == "low-rank" else None
    wall, cpu = time.perf_counter(), time.process_time()
    problem = ss.LeastSquares(cov, noise=0.3, seed=1)
    curve = ss.predict(problem, "signsgd", lr=0.5, horizon=10)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    floor = np.nan if counted is None else counted.floor(dim)
    bar = 0.0 if curve.stderr is None else float((curve.stderr / curve.value).max())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {
        "dim": dim,
        "seconds": wall,
        "cpu": cpu,
        "gigabytes": peak,
        "bar": bar,
        "ratio": cpu / floor,
    } | curve.provenance["spectrum"]


class Counted:
    """Counts the vectors that a covariance is multiplied with, and times as many products afterwards."""

    def __init__(self, cov) -> None:
        self.product, self.lanes = cov.matvec, Counter()
        cov.matvec = self

    def __call__(self, v):
        self.lanes[1 if v.ndim == 1 else len(v)] += 1
        return self.product(v)

    def floor(self, dim: int) -> float:
        """CPU seconds of the same products with the same numbers of vectors at once, and nothing else."""
        total = 0.0
        for lanes, times in self.lanes.items():
            v = torch.randn(lanes, dim, dtype=torch.float64)
            self.product(v)
            start = time.process_time()
            for _ in range(min(times, 10)):
                self.product(v)
            total += (time.process_time() - start) * times / min(times, 10)
        return total


def fresh(dim: int, kind: str, threads: int) -> dict[str, float]:
    """The same in a process of its own, so that the memory is its own."""
    command = [sys.executable, __file__, "--case", "one", "--dim", str(dim), "--kind", kind, "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def show(row: dict[str, float]) -> None:
    products = f"{row['ratio']:5.2f}x its products" if row["spectrum"] == "lanczos" else 19 * " "
    print(
        f"  dim {row['dim']:>10,}  {row['seconds']:7.2f} s  cpu {row['cpu']:7.2f} s  {row['gigabytes']:5.2f} GB  "
        f"{products}  error bar {100 * row['bar']:.3f}%  {row['spectrum']}, "
        f"{row.get('probes', 0)} probes",
        flush=True,
    )


def ladder(threads: int) -> None:
    rows = [fresh(dim, "low-rank", threads) for dim in LADDER]
    for row in rows:
        show(row)
    large = [row for row in rows if row["dim"] >= 30_000]
    per_probe = [row["cpu"] / (2 * row["probes"] + 1) for row in large]  # runs: the start, and two for every probe
    slope = np.polyfit(np.log([row["dim"] for row in large]), np.log(per_probe), 1)[0]
    print(f"  slope of log(CPU time per Lanczos run) against log(dim): {slope:.2f}, target at most 1.1")


def dense(rounds: int = 5) -> None:
    """Whole prediction against eigendecomposition plus one product, in turn."""
    for dim in (250, 500, 1_000, 2_000):
        cov = np.asarray(rotated(log_spaced(dim, low=1e-2, high=1)).dense())
        ratios, seconds = [], []
        for _ in range(rounds):
            start = time.perf_counter()
            ss.predict(ss.LeastSquares(cov, noise=0.3, seed=1), "signsgd", lr=0.5, horizon=10)
            middle = time.perf_counter()
            matrix = torch.from_numpy(cov)
            torch.linalg.eigh(matrix)
            matrix @ matrix
            seconds.append(middle - start)
            ratios.append(seconds[-1] / (time.perf_counter() - middle))
        print(f"  dim {dim:>6,}  {np.median(seconds):7.3f} s  {np.median(ratios):6.2f}x eigh and a product", flush=True)


def accuracy(dim: int) -> None:
    for name, build in covariances(dim).items():
        problem = ss.LeastSquares(build(), noise=0.3, seed=1)
        for optimizer in OPTIMIZERS:
            lr = 0.5 * dim / problem.cov.trace if optimizer == "sgd" else 0.5
            dense, found = (
                ss.predict(problem, optimizer, lr=lr, horizon=10, method=method) for method in ("dense", "quadrature")
            )
            off = float(((found.value - dense.value) / dense.value).abs().max())
            bar = float((found.stderr / found.value).max())
            print(f"  {name:34s} {optimizer:8s} off {100 * off:.3f}%  error bar {100 * bar:.3f}%", flush=True)


def simulation(dim: int) -> None:
    problem = ss.LeastSquares(low_rank(dim), noise=0.3, seed=1)
    curve = ss.predict(problem, "signsgd", lr=0.5, horizon=2)
    start = time.perf_counter()
    runs = ss.simulate(problem, "signsgd", lr=0.5, horizon=2, num_runs=2, seed=0, dtype="float32", progress=True)
    seconds = time.perf_counter() - start
    off = (curve.value - runs.value)[1:] / runs.value[1:]
    scatter = (runs.runs[0] - runs.runs[1]).abs()[1:] / runs.value[1:]
    print(
        f"  {seconds:.0f} s; gap over time: signed mean {100 * float(off.mean()):.2f}%, mean size "
        f"{100 * float(off.abs().mean()):.2f}%; the two runs differ by {100 * float(scatter.mean()):.2f}%"
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cases = ("all", "ladder", "dense", "large", "diagonal", "accuracy", "simulation", "one")
    parser.add_argument("--case", default="all", choices=cases)
    parser.add_argument("--dim", type=int)
    parser.add_argument("--kind", default="low-rank", choices=("low-rank", "diagonal"))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    case = options.case
    if case == "one":
        print(json.dumps(one(options.dim, options.kind)))
        return
    if case in ("all", "ladder"):
        print("ladder"), ladder(options.threads)
    if case in ("all", "dense"):
        print("dense"), dense()
    if case == "large":
        show(fresh(options.dim or 1_000_000, "low-rank", options.threads))
    if case in ("all", "diagonal"):
        print("diagonal"), show(fresh(options.dim or 10_000_000, "diagonal", options.threads))
    if case in ("all", "accuracy"):
        print("accuracy"), accuracy(options.dim or 4_000)
    if case == "simulation":
        simulation(options.dim or 100_000)


if __name__ == "__main__":
    main()
