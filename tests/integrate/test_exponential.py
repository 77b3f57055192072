"""The exponential integrator against scipy's Radau, closed forms and its own stated error."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from signscope.integrate import ModeSystem, solve

TIMES = torch.linspace(0, 20, 41, dtype=torch.float64)


def sign_system(cond: float, *, noise: float, lr=0.5, dim=60, memory=None) -> ModeSystem:
    """Diagonal signSGD problem with Gaussian noise; lr may be a tensor of lanes."""
    variances = torch.logspace(-math.log10(cond), 0, dim, dtype=torch.float64)
    displacement = torch.tensor(np.random.default_rng(0).standard_normal(dim)) / dim**0.5
    rates = torch.as_tensor(lr, dtype=torch.float64).reshape(-1)

    def scalars(time, risk, _memory, lanes):
        eta = rates[lanes][:, None] * torch.ones_like(time)
        return 4 / math.pi * eta / torch.sqrt(2 * risk + noise**2), (eta**2 / (math.pi * dim))[..., None]

    return ModeSystem(
        variances.sqrt(),
        0.5 * variances * displacement**2,
        (math.pi / 2 * variances)[None],
        scalars,
        num_lanes=len(rates),
    )


def radau(system: ModeSystem, *, noise: float, lr=0.5) -> np.ndarray:
    lam, g = system.eigvals.numpy(), system.sources[0].numpy()
    dim = len(lam)

    def alpha(risk):
        return 4 / math.pi * lr / np.sqrt(2 * risk + noise**2)

    def slope(t, r):
        return -alpha(r.sum()) * lam * r + lr**2 / (math.pi * dim) * g

    def jacobian(t, r):
        risk = r.sum()
        change = -4 / math.pi * lr * (2 * risk + noise**2) ** -1.5
        return np.diag(-alpha(risk) * lam) - np.outer(change * lam * r, np.ones(dim))

    found = solve_ivp(
        slope, (0, 20), system.start.numpy(), "Radau", TIMES.numpy(), rtol=1e-11, atol=1e-18, jac=jacobian
    )
    return found.y.sum(0)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("noise", "cond"),
    [
        (1e-6, 1e8), (0.1, 1e2), (1.0, 1e8),
        *(pytest.param(*pair, marks=SLOW) for pair in ((1e-6, 1e2), (0.1, 1e8), (1.0, 1e2))),
    ],
)  # fmt: skip
def test_agrees_with_radau_on_stiff_problems(cond, noise):
    system = sign_system(cond, noise=noise)
    reference = radau(system, noise=noise)
    tight, default = (solve(system, TIMES, rtol=rtol) for rtol in (1e-9, 1e-6))
    np.testing.assert_allclose(tight.risk[0], reference, rtol=1e-8)
    np.testing.assert_allclose(default.risk[0], reference, rtol=2e-6)
    assert int(default.evaluations[0]) <= 600
    assert bool(default.finished.all())


def test_tolerance_buys_accuracy_at_high_order():
    system = sign_system(1e4, noise=0.1)
    reference = radau(system, noise=0.1)
    runs = [solve(system, TIMES, rtol=rtol) for rtol in (1e-4, 1e-8)]
    errors = [float(np.abs(run.risk[0].numpy() / reference - 1).max()) for run in runs]
    # Four more digits for under six times the evaluations: order 4 or more. An order-2 method would need 100 times.
    assert errors[1] < 1e-3 * errors[0]
    assert runs[1].evaluations[0] < 6 * runs[0].evaluations[0]


def test_lanes_do_not_influence_one_another():
    rates = torch.tensor([0.01, 0.5, 3.0], dtype=torch.float64)
    together = solve(sign_system(1e4, noise=0.1, lr=rates), TIMES).risk
    for lane, rate in enumerate(rates):
        alone = solve(sign_system(1e4, noise=0.1, lr=float(rate)), TIMES).risk[0]
        torch.testing.assert_close(together[lane], alone, rtol=1e-6, atol=0)


def test_constant_coefficients_are_exact_in_one_pass():
    lam = torch.tensor([1e-9, 1e-3, 1.0, 1e6], dtype=torch.float64)
    start, push = torch.ones(4, dtype=torch.float64), torch.tensor([[1e-3, 2.0, 0.5, 7.0]], dtype=torch.float64)
    system = ModeSystem(lam, start, push, lambda t, r, w, i: (torch.full_like(t, 0.7), torch.ones_like(t)[..., None]))
    found = solve(system, TIMES).risk[0]
    decay = torch.exp(-0.7 * lam * TIMES[:, None])
    exact = (start * decay + push[0] * -torch.expm1(-0.7 * lam * TIMES[:, None]) / (0.7 * lam)).sum(-1)
    torch.testing.assert_close(found, exact, rtol=1e-13, atol=0)


def test_memory_relaxes_like_the_exponential_average():
    # dR/dt = 0, target jumps nowhere: w stays; then a decaying R with known convolution.
    lam, rho = torch.tensor([0.8], dtype=torch.float64), 1.7

    def scalars(time, risk, memory, lanes):
        # b feeds a second mode with w, so that R reveals the memory.
        force = torch.stack([torch.zeros_like(time), memory], dim=-1)
        return torch.ones_like(time), force

    system = ModeSystem(
        torch.cat([lam, torch.zeros(1, dtype=torch.float64)]),
        torch.tensor([1.0, 0.0], dtype=torch.float64),
        torch.tensor([[0.0, 0.0], [0.0, 1e-9]], dtype=torch.float64),
        scalars,
        memory_rate=rho,
        memory_target=lambda risk: 2 * risk,
    )
    found = solve(system, TIMES, rtol=1e-10).risk[0]
    t = np.linspace(0, 20, 400_001)
    with np.errstate(invalid="ignore"):
        average = rho * 2 * (np.exp(-0.8 * t) - np.exp(-rho * t)) / (rho - 0.8) / -np.expm1(-rho * t)
    average[0] = 2.0
    fed = np.concatenate([[0], np.cumsum((average[1:] + average[:-1]) / 2 * (t[1] - t[0]))])
    expected = np.exp(-0.8 * TIMES.numpy()) + 1e-9 * np.interp(TIMES.numpy(), t, fed)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)  # without lag: off by 1e-9


def test_gradient_with_respect_to_the_rate_matches_differences():
    rate = torch.tensor([0.4], dtype=torch.float64, requires_grad=True)
    end = torch.tensor([0.0, 5.0], dtype=torch.float64)
    risk = solve(sign_system(1e3, noise=0.2, lr=rate), end, rtol=1e-8).risk[0, -1]
    (slope,) = torch.autograd.grad(risk, rate)
    step = 1e-3
    near = torch.tensor([0.4 + step, 0.4 - step], dtype=torch.float64)
    high, low = solve(sign_system(1e3, noise=0.2, lr=near), end, rtol=1e-10).risk[:, -1]
    assert float(slope) == pytest.approx(float(high - low) / (2 * step), rel=1e-5)


def test_divergence_is_recorded_and_spares_the_other_lanes():
    growth = torch.tensor([-5.0, 1.0], dtype=torch.float64)

    def scalars(time, risk, memory, lanes):
        alpha = torch.ones_like(time)
        return alpha, ((1 - growth[lanes][:, None]) * risk)[..., None]

    one = torch.ones(1, dtype=torch.float64)
    system = ModeSystem(one, one, one[None], scalars, num_lanes=2)
    found = solve(system, TIMES, max_risk=1e12)
    assert torch.isinf(found.risk[0, -1])
    assert bool(torch.isfinite(found.risk[1]).all())
    assert found.finished.tolist() == [False, True]


def test_a_negative_sum_is_no_reason_to_accept_a_step():
    """Sources of both signs may take R below 0; there, too, the error is held against its size."""
    system = ModeSystem(
        eigvals=torch.tensor([0.1, 5.0], dtype=torch.float64),
        start=torch.tensor([0.5, 0.5], dtype=torch.float64),
        sources=torch.tensor([[-1.0, 0.2]], dtype=torch.float64),
        coefficients=lambda time, risk, memory, lanes: (
            1 + 0.9 * torch.sin(40 * time),
            (0.3 * (1 + 0.9 * torch.sin(40 * time)))[..., None],
        ),
    )
    times = torch.linspace(0, 3, 5, dtype=torch.float64)
    found = solve(system, times, rtol=1e-6).risk[0]
    sigma = times + 0.9 * (1 - torch.cos(40 * times)) / 40
    decay = torch.exp(-sigma[:, None] * system.eigvals)
    wanted = (0.5 * decay + 0.3 * system.sources * (1 - decay) / system.eigvals).sum(1)
    assert float(wanted[-1]) < 0
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
