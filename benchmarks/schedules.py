"""Cost of the optimal schedule: iterations, gradients, and one gradient against one solve.

    python benchmarks/schedules.py [--rounds 5]

- ``search``: `optimal_schedule` on the example of the docs (dim 500), spectrum known. Targets: 200 iterations, 3 s.
- ``gradient / solve``: adjoint and forward solve against the forward solve alone. Target: 4.
- ``dim``: the same search at growing dimension; the cost past the spectrum must not grow.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

import signscope as ss
from signscope.limits.coefficients import Setting
from signscope.limits.optimal import design_schedule
from signscope.limits.optimal_search import Task


def problem_of(dim: int, noise: str = "gaussian:0.1") -> ss.LeastSquares:
    """Diagonal K with eigenvalues logspace(-3, 0)."""
    variances = torch.logspace(-3, 0, dim, dtype=torch.float64)
    return ss.LeastSquares(
        variances, start=torch.full((dim,), math.sqrt(2 / dim)), target=torch.zeros(dim), noise=noise
    )


def median_time(job: Callable[[], object], rounds: int) -> float:
    times: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args(argv).rounds
    print(f"optimal schedules, horizon 10, {torch.get_num_threads()} threads")
    for optimizer, noise in (("signsgd", "gaussian:0.1"), ("sgd", "gaussian:0.1"), ("adam", "gaussian:0.1")):
        problem = problem_of(500, noise)
        found = design_schedule(problem, optimizer, horizon=10)
        seconds = median_time(lambda p=problem, o=optimizer: design_schedule(p, o, horizon=10), rounds)
        print(
            f"  {optimizer:8} risk {found.risk:.6f}: {found.iterations} iterations (target 200), "
            f"{found.evaluations} short solves, {seconds:.2f} s (target 3)"
        )
    flow = Task.of(problem_of(500), Setting("signsgd"), 10.0).flow(64)
    rates = np.full(64, 0.3)
    flow.gradient(rates)
    solve = median_time(lambda: flow.final(rates[None]), 4 * rounds)
    gradient = median_time(lambda: flow.gradient(rates), 4 * rounds)
    print(f"  gradient / solve {gradient / solve:.1f}   target 4")
    for dim in (500, 50_000, 1_000_000):
        problem = problem_of(dim)
        design_schedule(problem, "signsgd", horizon=10)
        seconds = median_time(lambda p=problem: design_schedule(p, "signsgd", horizon=10), rounds)
        print(f"  dim {dim:>9,}: {seconds:.2f} s")


if __name__ == "__main__":
    main()
