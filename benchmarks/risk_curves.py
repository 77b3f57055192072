"""Cost of predicting: the risk equation against its eigendecomposition, and against explicit Euler.

    python benchmarks/risk_curves.py [--dim 2000] [--rounds 3]

- ``predict``: `signscope.predict` for signSGD from a fresh dense problem (eigendecomposition included);
- ``floor``: the same eigendecomposition and one dim x dim product. Target: predict / floor at most 1.15.
- evaluations at relative error 1e-5: ours against explicit Euler with a constant step on the same modes. Target: 20x.
- ``best_lr`` over three optimizers at dim 500. Target: under 2 s.
"""

import argparse
import statistics
import time

import numpy as np
import torch

import signscope as ss
from signscope.limits.coefficients import Setting
from signscope.limits.gaussian import solve_risk
from signscope.limits.spectrum import spectrum
from signscope.schedules import Constant


def dense_covariance(dim: int) -> np.ndarray:
    """Condition number 1e4 in a random basis with unequal scales."""
    gen = np.random.default_rng(0)
    basis, _ = np.linalg.qr(gen.standard_normal((dim, dim)))
    scales = np.logspace(-0.5, 0.5, dim)
    return (basis * np.logspace(-4, 0, dim)) @ basis.T * np.outer(scales, scales)


def time_predict(cov: np.ndarray) -> float:
    problem = ss.LeastSquares(cov, noise=0.3)
    start = time.perf_counter()
    ss.predict(problem, "signsgd", lr=0.5, horizon=10)
    return time.perf_counter() - start


def time_floor(cov: np.ndarray) -> float:
    root = np.sqrt(np.diag(cov))
    matrix = torch.as_tensor(cov / np.sqrt(np.outer(root, root)))
    start = time.perf_counter()
    _, eigvecs = torch.linalg.eigh(matrix)
    matrix @ eigvecs
    return time.perf_counter() - start


def euler_evaluations(problem: ss.LeastSquares, horizon: float, rtol: float) -> tuple[int, int]:
    """Evaluations at relative error ``rtol`` at the horizon: (ours, explicit Euler's)."""
    setting = Setting("signsgd")
    times = torch.tensor([0.0, horizon], dtype=torch.float64)

    def ours(tolerance: float) -> tuple[float, int]:
        found = solve_risk(problem, setting, Constant(0.5), times, rtol=tolerance)
        return float(found.risk[0, -1]), int(found.evaluations[0])

    truth = ours(1e-11)[0]
    used = next(
        evaluations
        for tolerance in (1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
        for value, evaluations in [ours(tolerance)]
        if abs(value / truth - 1) <= rtol
    )
    modes = spectrum(problem, "signsgd")
    lam, g = modes.eigvals.numpy(), modes.sources[0].numpy()

    def euler(steps: int) -> float:
        r, h = modes.start.numpy().copy(), horizon / steps
        for _ in range(steps):
            phi = 2 / np.pi / np.sqrt(2 * r.sum() + problem.noise.second_moment)
            r += h * (-2 * 0.5 * phi * lam * r + 0.25 / (np.pi * problem.dim) * g)
        return float(r.sum())

    steps = 250
    with np.errstate(all="ignore"):
        while not abs(euler(steps) / truth - 1) <= rtol:
            steps *= 2
    return used, steps


def time_best_lr(dim: int) -> float:
    problem = ss.LeastSquares(dense_covariance(dim), noise=0.3)
    start = time.perf_counter()
    for optimizer in ("sgd", "signsgd", "adam"):
        ss.best_lr(problem, optimizer, horizon=10)
    return time.perf_counter() - start


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dim", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    cov = dense_covariance(options.dim)
    time_predict(dense_covariance(100)), time_floor(dense_covariance(100))
    pairs = [(time_predict(cov), time_floor(cov)) for _ in range(options.rounds)]
    print(f"risk ODE, signSGD, dim {options.dim}, {torch.get_num_threads()} threads")
    print(f"  predict  {spread([p for p, _ in pairs])} s")
    print(f"  floor    {spread([f for _, f in pairs])} s   (eigh + one product)")
    print(f"  ratio    {spread([p / f for p, f in pairs])}   target 1.15")
    small = ss.LeastSquares(dense_covariance(500), noise=0.3)
    ours, euler = euler_evaluations(small, 10.0, 1e-5)
    print(
        f"evaluations at relative error 1e-5, dim 500: {ours}; explicit Euler {euler}; {euler / ours:.0f}x, target 20x"
    )
    times = [time_best_lr(500) for _ in range(options.rounds)]
    print(f"best_lr, three optimizers, dim 500: {spread(times)} s   target 2")


if __name__ == "__main__":
    main()
