"""Cost of simulating 64 signSGD runs, against what cannot be avoided and against a plain NumPy loop.

    python benchmarks/simulation.py [--rounds 5] [--steps 5000] [--dim 500] [--runs 64] [--ladder]

Three things are timed in turn, round after round, in one process, so that all see the same machine:

- ``simulate``: `signscope.simulate` of all runs, dense covariance, Gaussian noise, 201 recorded risks;
- ``floor``: drawing the same Gaussians the same way, plus one matrix product of the same size;
- ``loop``: one run, one sample at a time, in NumPy.

``--ladder`` times ``simulate`` against ``floor`` over dimensions and numbers of runs instead (float32).

Reported are medians over rounds with the smallest and largest, and ratios taken within each round. Targets:
simulate / floor at most 1.3 in both dtypes; loop / (simulate per run) at least 5 in float32, 2 in float64.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

import signscope as ss
from signscope.simulation.streams import granule_steps, normals

LR, NOISE = 0.7, 0.5
TARGETS = {"float32": (1.3, 5.0), "float64": (1.3, 2.0)}
BLOCK = 64  # steps per block of the floor


def dense_problem(dim: int) -> ss.LeastSquares:
    """Eigenvalues from 0.01 to 1, evenly spaced in the logarithm, in a random orthogonal basis."""
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.standard_normal((dim, dim)))
    return ss.LeastSquares((basis * np.logspace(-2, 0, dim)) @ basis.T, noise=NOISE)


def time_simulate(
    problem: ss.LeastSquares, dtype: str, steps: int, num_runs: int, times: list[float] | None = None
) -> float:
    """Seconds for all runs, with the risks at ``times`` (201 of them by default)."""
    horizon = steps / problem.dim
    start = time.perf_counter()
    ss.simulate(problem, "signsgd", lr=LR, horizon=horizon, num_runs=num_runs, dtype=dtype, times=times)
    return time.perf_counter() - start


def time_floor(problem: ss.LeastSquares, dtype: str, steps: int, num_runs: int) -> float:
    """Seconds to draw the normals of all runs, by as many threads as `simulate` uses, and to multiply them."""
    dim, kind, device = problem.dim, getattr(torch, dtype), torch.device("cpu")
    granule = granule_steps(numbers_per_step=dim, dtype=kind, device=device)
    fillers = [normals(0, run, granule=granule, dtype=kind, device=device) for run in range(num_runs)]
    z = torch.empty(num_runs, max(1, BLOCK // granule) * granule, dim, dtype=kind)
    factor = problem.cov.colour(torch.eye(dim, dtype=torch.float64)).to(kind)
    rows = torch.empty(z.shape[0] * z.shape[1], dim, dtype=kind)
    workers = torch.get_num_threads()

    def draw(part: int) -> None:
        for run in range(part, num_runs, workers):
            fillers[run](z[run])

    with ThreadPoolExecutor(workers) as pool:
        start = time.perf_counter()
        for _ in range(steps // z.shape[1]):
            list(pool.map(draw, range(workers)))
            torch.mm(z.view(-1, dim), factor, out=rows)
        spent = time.perf_counter() - start
    return spent * steps / (steps // z.shape[1] * z.shape[1])


def time_loop(problem: ss.LeastSquares, dtype: str, steps: int) -> float:
    """Seconds for one run of the algorithm typed as one would."""
    kind = np.dtype(dtype).type
    rng = np.random.default_rng(0)
    factor = np.linalg.cholesky(np.asarray(problem.cov)).astype(kind)
    v, dim = problem.displacement.numpy().astype(kind), problem.dim
    start = time.perf_counter()
    for _ in range(steps):
        x = factor @ rng.standard_normal(dim, dtype=kind)
        residual = x @ v - kind(NOISE) * rng.standard_normal(dtype=kind)
        v -= kind(LR / dim) * np.sign(residual * x)
    return time.perf_counter() - start


def measure(problem: ss.LeastSquares, dtype: str, *, steps: int, num_runs: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of the three, one list entry per round, after a short warm-up."""
    jobs: dict[str, Callable[[int], float]] = {
        "simulate": lambda n: time_simulate(problem, dtype, n, num_runs),
        "floor": lambda n: time_floor(problem, dtype, n, num_runs),
        "loop": lambda n: time_loop(problem, dtype, n),
    }
    for job in jobs.values():
        job(BLOCK * 4)
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            spent[name].append(job(steps))
    return spent


def spread(values: list[float]) -> str:
    """Median with smallest and largest."""
    return f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})"


def machine() -> str:
    """Processor, cores and versions, in one line."""
    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    return (
        f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} threads, "
        f"Python {platform.python_version()}, torch {torch.__version__}, NumPy {np.__version__}, "
        f"signscope {ss.__version__}"
    )


def _cpuinfo() -> list[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return file.read().splitlines()
    except OSError:
        return []


def ladder(rounds: int) -> None:
    """Microseconds per run and step, and the ratio to the floor, as the dimension and the number of runs grow."""
    print(f"{'dim':>6} {'runs':>5} {'simulate, us per run and step':30} ratio to the floor")
    for dim, num_runs in ((100, 64), (300, 64), (1000, 64), (2000, 64), (500, 1), (500, 4), (500, 16), (500, 256)):
        problem = dense_problem(dim)
        steps = max(BLOCK * 4, int(4e9 / (dim**2 * num_runs)) // BLOCK * BLOCK)
        time_simulate(problem, "float32", BLOCK * 4, num_runs)  # warm-up
        pairs = [
            (
                time_simulate(problem, "float32", steps, num_runs, [steps / dim]),  # one record: a run is short here
                time_floor(problem, "float32", steps, num_runs),
            )
            for _ in range(rounds)
        ]
        each = [1e6 * spent / (steps * num_runs) for spent, _ in pairs]
        print(f"{dim:6} {num_runs:5} {spread(each):30} {spread([s / f for s, f in pairs])}", flush=True)


def main(argv: list[str] | None = None) -> bool:
    """Print the table; True if every target is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rounds", 5), ("steps", 5000), ("dim", 500), ("runs", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--ladder", action="store_true")
    options = parser.parse_args([] if argv is None else argv)
    if options.ladder:
        print(machine())
        ladder(options.rounds)
        return True
    problem = dense_problem(options.dim)
    print(f"{options.runs} signSGD runs x {options.steps} steps, d = {options.dim}; {machine()}")
    print(f"{'dtype':8} {'simulate s':22} {'floor s':22} {'ratio':20} {'loop s, one run':24} loop / run")
    good = True
    for dtype, (most, least) in TARGETS.items():
        spent = measure(problem, dtype, steps=options.steps, num_runs=options.runs, rounds=options.rounds)
        over = [s / f for s, f in zip(spent["simulate"], spent["floor"], strict=True)]
        faster = [n / (s / options.runs) for n, s in zip(spent["loop"], spent["simulate"], strict=True)]
        good &= statistics.median(over) <= most and statistics.median(faster) >= least
        columns = (spread(spent["simulate"]), spread(spent["floor"]), spread(over))
        print(f"{dtype:8} {columns[0]:22} {columns[1]:22} {columns[2]:20} {spread(spent['loop']):24} {spread(faster)}")
    return good


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
