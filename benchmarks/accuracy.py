"""How far predictions are from simulations: the tables of docs/accuracy.md.

    python benchmarks/accuracy.py [--table dimension|batch|settings|data|long|once|stability|cost] [--runs 256]

Every row is one prediction against the mean of many runs: the mean and the largest relative gap over the recorded
times, and the standard error of the simulated mean next to it. Seeds and sizes are fixed here.
"""

import argparse
import math
import platform
import time
from collections.abc import Callable

import numpy as np
import torch

import signscope as ss
from signscope.limits.prediction import row_moments
from signscope.limits.rows import settle
from signscope.problems import bundled, rescaled, rotated
from signscope.problems.spectra import log_spaced

LR = 0.5
HORIZON = 8.0


def synthetic(dim: int, noise: str) -> ss.LeastSquares:
    """Log-spaced eigenvalues in a random basis, then features in unequal units; tr K = d."""
    cov = np.asarray(rescaled(rotated(log_spaced(dim, low=0.01, high=1.0), seed=7), np.logspace(-0.3, 0.3, dim)))
    return ss.LeastSquares(cov * dim / np.trace(cov), noise=noise, seed=3)


def gap_of(dim: int, noise: str, optimizer: str, num_runs: int, **options) -> str:
    """Mean gap, worst gap, standard error, status of one setting, as cells of a table."""
    problem = synthetic(dim, noise)
    times = torch.linspace(0, HORIZON, 41, dtype=torch.float64)
    common = {"lr": LR, "horizon": HORIZON, "times": times, **options}
    predicted = ss.predict(problem, optimizer, **common)
    runs = ss.simulate(problem, optimizer, num_runs=num_runs, seed=11, dtype="float32", **common)
    found = ss.gap(predicted, runs)
    noise_level = float((runs.stderr / runs.value)[1:].mean())
    return f"{100 * found.mean:.2f}% | {100 * found.worst:.2f}% | {100 * noise_level:.2f}% | {predicted.status}"


def dimension(num_runs: int) -> None:
    print("dim | optimizer | runs | mean gap | worst gap | standard error | status")
    for dim, factor in ((10, 16), (25, 16), (50, 16), (100, 8), (200, 4), (500, 1)):
        for optimizer in ("sgd", "signsgd", "adam"):
            runs = factor * num_runs
            print(f"{dim} | {optimizer} | {runs} | {gap_of(dim, 'gaussian:0.5', optimizer, runs)}", flush=True)


def batch(num_runs: int) -> None:
    print("dim | batch size | mean gap | worst gap | standard error | status      (signsgd, gaussian:0.5)")
    for dim in (50, 200):
        for size in (1, 5, 20, 100):
            cells = gap_of(dim, "gaussian:0.5", "signsgd", num_runs, batch_size=size)
            print(f"{dim} | {size} | {cells}", flush=True)


SETTINGS = [
    ("sgd", "laplace:0.4", {}),
    ("signsgd", "cauchy:2,1", {}),
    ("signsgd", "rademacher:0.5", {}),
    ("signsgd", "student-t:1.5", {}),
    ("adam", "gaussian:0.5", {"betas": (0.0, 0.5)}),
    ("adam", "gaussian:0.5", {"betas": (0.0, 0.99)}),
    ("adam", "gaussian:0.5", {"betas": (0.9, 0.999)}),
    ("adam", "cauchy:2,1", {"betas": (0.0, 0.9)}),
]


def settings(num_runs: int) -> None:
    print("optimizer | noise | options | mean gap | worst gap | standard error | status      (dim 500)")
    for optimizer, noise, options in SETTINGS:
        print(f"{optimizer} | {noise} | {options} | {gap_of(500, noise, optimizer, num_runs, **options)}", flush=True)


def data(num_runs: int) -> None:
    print("data | scale | optimizer | lr | flow on the rows | Gaussian theory | standard error | status")
    for name in ("digits", "breast_cancer", "diabetes"):
        for scale in ("global", "columns"):
            problem = ss.LeastSquares.from_data(*bundled(name), scale=scale)
            result = ss.compare(problem, horizon=20, num_runs=num_runs)
            for entry in result.entries:
                if entry.rows != "data":
                    continue
                runs = entry.simulation
                level = float((runs.stderr / runs.value)[1:].mean())
                print(
                    f"{name} | {scale} | {entry.optimizer} | {entry.lr:.3g} | {100 * entry.gap.mean:.1f}% | "
                    f"{100 * entry.gaussian_gap.mean:.1f}% | {100 * level:.1f}% | {entry.status}",
                    flush=True,
                )


def long(num_runs: int) -> None:
    """SignSGD left running on digits: the bias floor against the algorithm."""
    problem = ss.LeastSquares.from_data(*bundled("digits"))
    found = settle(row_moments(problem), optimizer="signsgd", lr=0.0774)
    print(f"digits, signsgd, lr 0.0774: limit {found.excess_risk:.4f}, of it bias {found.bias_floor:.4f}")
    times = torch.tensor([0.0, 5, 20, 50, 100, 200, 500, 1000, 2000], dtype=torch.float64)
    common = {"lr": 0.0774, "horizon": 2000, "times": times}
    flow = ss.predict(problem, "signsgd", **common)
    theory = ss.predict(problem, "signsgd", method="gaussian", **common)
    runs = ss.simulate(problem, "signsgd", rows="replace", num_runs=max(4, num_runs // 16), seed=1, **common)
    print("time | flow | Gaussian theory | simulated | standard error")
    for row in zip(times, flow.value, theory.value, runs.value, runs.stderr, strict=True):
        print(" | ".join(f"{float(x):.4g}" for x in row))


def once(num_runs: int) -> None:
    """A single pass over the digits against rows drawn with replacement."""
    problem = ss.LeastSquares.from_data(*bundled("digits"))
    print("optimizer | predicted | with replacement | one pass")
    for optimizer, lr in (("sgd", 0.115), ("signsgd", 0.0774)):
        cells = [f"{ss.predict(problem, optimizer, lr=lr, horizon=29).final:.5f}"]
        for rows in ("replace", "once"):
            runs = ss.simulate(problem, optimizer, lr=lr, horizon=29, num_runs=num_runs, rows=rows)
            cells.append(f"{runs.final:.5f} +- {float(runs.stderr[-1]):.5f}")
        print(" | ".join([optimizer, *cells]))


def stability(num_runs: int) -> None:
    """Largest stable rate of SGD on the rows of a data set."""
    for name in ("digits", "breast_cancer", "diabetes"):
        for scale in ("global", "columns"):
            problem = ss.LeastSquares.from_data(*bundled(name), scale=scale)
            theory = 2 * problem.dim / problem.cov.trace
            found = ss.limit(problem, "sgd", lr=1e-3).max_lr
            print(f"{name} | {scale} | {found:.4g} | Gaussian rows {theory:.4g}")


def cost(num_runs: int) -> None:
    """Processor seconds, with everything imported; a second call on the same problem costs less."""

    def timed(label: str, job: Callable[[], object]) -> None:
        begin = time.process_time()
        job()
        print(f"{label} | {time.process_time() - begin:.2f} s", flush=True)

    ss.compare(synthetic(20, "none"), horizon=1, num_runs=2)
    for name in ("sgd", "signsgd", "adam"):
        fresh = synthetic(500, "gaussian:0.5")
        timed(f"predict {name}, dim 500", lambda p=fresh, n=name: ss.predict(p, n, lr=LR, horizon=HORIZON))
    fresh = synthetic(500, "gaussian:0.5")
    timed(
        "best_lr of all three, dim 500", lambda: [ss.best_lr(fresh, n, horizon=10) for n in ("sgd", "signsgd", "adam")]
    )
    timed(
        "simulate signsgd, dim 500, 64 runs x 5,000 steps, float32",
        lambda: ss.simulate(fresh, "signsgd", lr=LR, horizon=10, dtype="float32"),
    )
    for name in ("sgd", "signsgd", "adam"):
        digits = ss.LeastSquares.from_data(*bundled("digits"))
        timed(f"predict {name} on the rows of digits", lambda p=digits, n=name: ss.predict(p, n, lr=0.1, horizon=20))
    digits = ss.LeastSquares.from_data(*bundled("digits"))
    timed("compare on digits, 64 runs", lambda: ss.compare(digits, horizon=20))


TABLES: dict[str, Callable[[int], None]] = {
    "dimension": dimension,
    "batch": batch,
    "settings": settings,
    "data": data,
    "long": long,
    "once": once,
    "stability": stability,
    "cost": cost,
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=list(TABLES))
    parser.add_argument("--runs", type=int, default=256)
    chosen = parser.parse_args(argv)
    print(f"{platform.machine()}, torch {torch.__version__}, signscope {ss.__version__}")
    for name in [chosen.table] if chosen.table else list(TABLES):
        begin = time.perf_counter()
        TABLES[name](chosen.runs)
        print(f"-- {name}: {math.ceil(time.perf_counter() - begin)} s\n", flush=True)


if __name__ == "__main__":
    main()
