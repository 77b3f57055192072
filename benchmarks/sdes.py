"""Cost of Euler-Maruyama on the SDE of signSGD, against what cannot be avoided and against two libraries.

    python benchmarks/sdes.py [--rounds 5] [--steps 5000] [--dim 500] [--paths 64]

Timed in turn, round after round, in one process, each on the same SDE (diagonal quadratic, Gaussian noise, one step of
dt = lr per step), so that all see the same machine:

- ``solve``: `signscope.sdes.solve`, loss and moments recorded at two times;
- ``loop``: a plain torch loop that draws the same numbers;
- ``torchsde``: `torchsde.sdeint`, Euler, its default Brownian interval;
- ``tree``: diffrax, Euler, VirtualBrownianTree;
- ``unsafe``: diffrax, Euler, UnsafeBrownianPath, jitted, compilation not counted.

Diffrax runs a tenth of the steps; all times are per step. Reported are medians over rounds with the smallest and
largest, and ratios taken within each round. Targets: solve / loop at most 1.3; torchsde / solve and tree / solve at
least 5; solve / unsafe at most 2.5 in float32. A library that is not installed is reported as absent.
"""

import argparse
import importlib.util
import math
import statistics
import time
from collections.abc import Callable

import torch

from simulation import machine, spread
from signscope.integrate.brownian import Normals
from signscope.problems.landscapes import Quadratic
from signscope.sdes import solve

LR, STD = 0.01, 0.5
Job = Callable[[int], None]


def curvatures(dim: int) -> torch.Tensor:
    return torch.linspace(0.1, 1.0, dim, dtype=torch.float64)


def solve_job(dim: int, paths: int, dtype: str) -> Job:
    loss, start = Quadratic(curvatures(dim)), torch.ones(dim)

    def run(steps: int) -> None:
        solve(
            loss, start, optimizer="signsgd", noise=STD, lr=LR, num_steps=steps, num_paths=paths, substeps=1,
            dtype=dtype, times=[0, steps],
        )  # fmt: skip

    return run


def loop_job(dim: int, paths: int, dtype: str) -> Job:
    kind = getattr(torch, dtype)
    h, c = curvatures(dim).to(kind), math.sqrt(0.5) / STD

    def run(steps: int) -> None:
        draws = Normals(0, "brownian", range(paths), width=dim, dtype=kind, device=torch.device("cpu"))
        x = torch.ones(paths, dim, dtype=kind)
        for _ in range(steps):
            e = torch.erf(h * x * c)
            x = x - LR * e + LR * torch.sqrt(1 - e * e) * draws.next()

    return run


def torchsde_job(dim: int, paths: int, dtype: str) -> Job:
    import torchsde

    kind = getattr(torch, dtype)
    h, c = curvatures(dim).to(kind), math.sqrt(0.5) / STD

    class Equation(torch.nn.Module):
        noise_type, sde_type = "diagonal", "ito"

        def f(self, t, y):
            return -torch.erf(h * y * c)

        def g(self, t, y):
            return math.sqrt(LR) * torch.sqrt(1 - torch.erf(h * y * c) ** 2)

    def run(steps: int) -> None:
        start, ends = torch.ones(paths, dim, dtype=kind), torch.tensor([0.0, steps * LR], dtype=kind)
        with torch.no_grad():
            torchsde.sdeint(Equation(), start, ends, dt=LR, method="euler")

    return run


def diffrax_job(dim: int, paths: int, dtype: str, *, tree: bool) -> Job:
    import diffrax
    import jax
    import jax.numpy as jnp
    import lineax
    from jax.scipy.special import erf

    jax.config.update("jax_enable_x64", dtype == "float64")
    h, c = jnp.asarray(curvatures(dim).numpy(), dtype=dtype), math.sqrt(0.5) / STD

    def drift(t, y, args):
        return -erf(h * y * c)

    def diffusion(t, y, args):
        return lineax.DiagonalLinearOperator(math.sqrt(LR) * jnp.sqrt(1 - erf(h * y * c) ** 2))

    @jax.jit
    def path(end, key):
        shape = jax.ShapeDtypeStruct((paths, dim), dtype)
        if tree:
            motion = diffrax.VirtualBrownianTree(0.0, end, tol=LR / 2, shape=shape, key=key)
        else:
            motion = diffrax.UnsafeBrownianPath(shape=shape, key=key)
        terms = diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(diffusion, motion))
        return diffrax.diffeqsolve(
            terms, diffrax.Euler(), 0.0, end, LR, jnp.ones((paths, dim), dtype=dtype), max_steps=None,
            adjoint=diffrax.ForwardMode(),
        ).ys  # fmt: skip

    return lambda steps: path(jnp.asarray(steps * LR, dtype=dtype), jax.random.key(0)).block_until_ready()


def jobs_for(dim: int, paths: int, dtype: str) -> dict[str, tuple[Job, int]]:
    """Name to (job, divisor of the steps)."""
    found = {"solve": (solve_job(dim, paths, dtype), 1), "loop": (loop_job(dim, paths, dtype), 1)}
    if importlib.util.find_spec("torchsde"):
        found["torchsde"] = (torchsde_job(dim, paths, dtype), 1)  # its tree of intervals deepens with the steps
    if importlib.util.find_spec("diffrax"):
        found["tree"] = (diffrax_job(dim, paths, dtype, tree=True), 10)
        found["unsafe"] = (diffrax_job(dim, paths, dtype, tree=False), 10)
    return found


def measure(jobs: dict[str, tuple[Job, int]], *, steps: int, rounds: int) -> dict[str, list[float]]:
    """Microseconds per step, one entry per round, after a warm-up of each job."""
    for job, divisor in jobs.values():
        job(max(2, steps // divisor // 10))
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, (job, divisor) in jobs.items():
            count = max(2, steps // divisor)
            begun = time.perf_counter()
            job(count)
            spent[name].append((time.perf_counter() - begun) / count * 1e6)
    return spent


def ratios(spent: dict[str, list[float]], over: str, under: str) -> list[float]:
    return [a / b for a, b in zip(spent[over], spent[under], strict=True)]


def main(argv: list[str] | None = None) -> bool:
    """Print the table; True if every target that could be measured is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rounds", 5), ("steps", 5000), ("dim", 500), ("paths", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args([] if argv is None else argv)
    print(f"{options.paths} paths, d = {options.dim}, Euler-Maruyama; {machine()}")
    good = True
    for dtype in ("float32", "float64"):
        jobs = jobs_for(options.dim, options.paths, dtype)
        spent = measure(jobs, steps=options.steps, rounds=options.rounds)
        checks = [("solve", "loop", 1.3, "most")]
        checks += [(name, "solve", 5.0, "least") for name in ("torchsde", "tree") if name in jobs]
        if "unsafe" in jobs and dtype == "float32":
            checks.append(("solve", "unsafe", 2.5, "most"))
        for name, values in spent.items():
            print(f"{dtype:8} {name:9} {spread(values)} microseconds per step")
        for name in ("torchsde", "tree", "unsafe"):
            if name not in jobs:
                print(f"{dtype:8} {name:9} absent")
        for over, under, limit, kind in checks:
            value = ratios(spent, over, under)
            met = statistics.median(value) <= limit if kind == "most" else statistics.median(value) >= limit
            good &= met
            print(f"{dtype:8} {over} / {under}: {spread(value)}, at {kind} {limit:g}: {'met' if met else 'MISSED'}")
    return good


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
