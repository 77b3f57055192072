"""The mean over runs against exact results that need no limit."""

import numpy as np
import pytest
import torch

import signscope as ss

NOISE = 0.5


def rotated(dim: int) -> np.ndarray:
    basis, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((dim, dim)))
    return (basis * np.logspace(-1, 0.5, dim)) @ basis.T


def exact_sgd(problem: ss.LeastSquares, *, lr: float, batch_size: int, num_steps: int, noise: float) -> np.ndarray:
    """Recursion (4.2): M_j <- M_j (1 - 2 g l + g^2 l^2) + (g^2/B) (l^2 M_j + l sum_i l_i M_i + l s^2)."""
    lam, q = np.linalg.eigh(np.asarray(problem.cov))
    g = lr / problem.dim
    moments = (q.T @ problem.displacement.numpy()) ** 2
    risks = [0.5 * lam @ moments]
    for _ in range(num_steps):
        spread = lam**2 * moments + lam * (lam @ moments) + lam * noise**2
        moments = moments * (1 - 2 * g * lam + g**2 * lam**2) + g**2 / batch_size * spread
        risks.append(0.5 * lam @ moments)
    return np.array(risks)


def assert_mean_close(curve: ss.Curve, expected: np.ndarray) -> None:
    gap = (curve.value - torch.from_numpy(expected)).abs()[1:]
    worst = float((gap / curve.stderr[1:]).max())
    assert worst <= 4.5, f"off by {worst:.1f} standard errors (limit 4.5)"


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sgd_follows_the_exact_recursion(batch_size, dtype):
    dim, steps = 12, 60
    problem = ss.LeastSquares(rotated(dim), noise=NOISE, seed=1)
    curve = ss.simulate(
        problem,
        "sgd",
        lr=0.5,
        horizon=steps / dim,
        batch_size=batch_size,
        num_runs=6000,
        dtype=dtype,
        times=np.arange(0, steps + 1, 10) / dim,
    )
    exact = exact_sgd(problem, lr=0.5, batch_size=batch_size, num_steps=steps, noise=NOISE)[::10]
    assert_mean_close(curve, exact)
    if batch_size > 1:  # teeth: the noise of a single row is rejected
        with pytest.raises(AssertionError, match="standard errors"):
            assert_mean_close(curve, exact_sgd(problem, lr=0.5, batch_size=1, num_steps=steps, noise=NOISE)[::10])
    wrong = exact_sgd(problem, lr=0.5, batch_size=batch_size, num_steps=steps, noise=1.1 * NOISE)
    with pytest.raises(AssertionError, match="standard errors"):  # teeth: and so is another noise level
        assert_mean_close(curve, wrong[::10])


def test_one_sign_step_in_one_dimension_has_a_closed_form():
    """d = 1, x ~ N(0, 1), no noise: sign(g) = sign(v), so v walks to 0 and then jumps between +-."""
    problem = ss.LeastSquares(np.ones(1), start=[1.0], target=[0.0])
    curve = ss.simulate(problem, "signsgd", lr=0.3, horizon=6, times=range(7), num_runs=5)
    v = np.array([1.0, 0.7, 0.4, 0.1, -0.2, 0.1, -0.2])
    np.testing.assert_allclose(curve.runs.numpy(), np.tile(v**2 / 2, (5, 1)), rtol=1e-12)


def test_mean_of_one_sign_step_is_the_orthant_probability():
    """E sign(g_i) = (2/pi) arcsin(K_i'v / sqrt(K_ii (v'Kv + s^2))): exact for Gaussian rows and noise."""
    dim = 6
    cov = rotated(dim)
    v = np.linspace(-1, 1.5, dim)
    problem = ss.LeastSquares(cov, start=v, target=np.zeros(dim), noise=NOISE)
    lr = 2.0
    curve = ss.simulate(problem, "signsgd", lr=lr, horizon=1 / dim, times=[0, 1 / dim], num_runs=10_000)
    size = lr / dim
    mean_sign = 2 / np.pi * np.arcsin(cov @ v / np.sqrt(cov.diagonal() * (v @ cov @ v + NOISE**2)))
    sign_cov = 2 / np.pi * np.arcsin(cov / np.sqrt(np.outer(cov.diagonal(), cov.diagonal())))
    expected = 0.5 * v @ cov @ v - size * (cov @ v) @ mean_sign + 0.5 * size**2 * np.trace(cov @ sign_cov)
    assert_mean_close(curve, np.array([0.0, expected]))
    independent = expected + 0.5 * size**2 * (np.trace(cov) - np.trace(cov @ sign_cov))
    with pytest.raises(AssertionError, match="standard errors"):  # teeth: independent signs
        assert_mean_close(curve, np.array([0.0, independent]))


@pytest.mark.gpu
def test_devices_agree_in_the_mean():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    problem = ss.LeastSquares(rotated(12), noise=NOISE, seed=1)
    options = {"lr": 0.5, "horizon": 5, "num_runs": 4000, "times": [1, 5]}
    here, there = (ss.simulate(problem, "signsgd", device=d, **options) for d in ("cpu", "cuda"))
    gap = (here.value - there.value).abs() / (here.stderr**2 + there.stderr**2).sqrt()
    assert float(gap.max()) < 4.5
