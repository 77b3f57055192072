"""The risk equations of the four effects, against the matrix equation of the table and against known cases."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from signscope import InvalidInput, LeastSquares, Unsupported, predict
from signscope.curves import Curve
from signscope.limits.effects import compression_along, crossings, effect_curve
from signscope.rules.effects import EFFECTS, PRECONDITIONED
from signscope.schedules import Function, Linear

LR, DIM = 0.4, 8
TIMES = torch.linspace(0, 5, 11, dtype=torch.float64)


def problem(noise="laplace:0.4") -> LeastSquares:
    gen = np.random.default_rng(4)
    factor = gen.standard_normal((DIM, 2 * DIM))
    scales = np.logspace(-0.4, 0.4, DIM)
    cov = factor @ factor.T / (2 * DIM) * np.outer(scales, scales)
    return LeastSquares(cov, start=gen.standard_normal(DIM), target=np.zeros(DIM), noise=noise)


def matrix_equation(effect: str, noise, batch_size: int) -> np.ndarray:
    """d E vv' = -s lr (A V + V A') + (4/pi^2) lr^2 M/d dt, typed from the table of the four effects."""
    law = problem(noise)
    cov = law.cov.dense().numpy()
    root = np.sqrt(np.diag(cov))
    first = float(law.excess_risk(law.start)) + 0.5 * law.noise.second_moment
    signs = np.arcsin(np.clip(cov / np.outer(root, root), -1, 1))
    np.fill_diagonal(signs, math.pi / 2)
    grid = np.linspace(-12, 4, 4001)  # interpolates psi to 1e-6
    compression = law.noise.psi(torch.from_numpy(np.exp(grid)), batch_size=batch_size).numpy()

    def slope(t, flat):
        second = flat.reshape(DIM, DIM)
        risk = 0.5 * np.trace(cov @ second)
        power = risk + 0.5 * law.noise.second_moment
        psi = float(np.interp(math.log(risk), grid, compression))
        seen = first if effect == "frozen_rate" else power
        scale = 2 / math.pi * math.sqrt(batch_size / (2 * seen))
        drift = {
            "frozen_rate": cov,
            "effective_rate": cov,
            "compression": psi * cov,
            "preconditioner": psi * cov / root[:, None],
            "reshaping": psi * cov / root[:, None],
            PRECONDITIONED: cov / root[:, None],
        }[effect]
        spread = {
            "frozen_rate": cov * power / first,
            "reshaping": math.pi / 2 * signs,
            PRECONDITIONED: cov / np.outer(root, root),
        }.get(effect, cov)
        change = -scale * LR * (drift @ second + second @ drift.T) + 4 / math.pi**2 * LR**2 / DIM * spread
        return change.ravel()

    v0 = law.displacement.numpy()
    found = solve_ivp(slope, (0, 5), np.outer(v0, v0).ravel(), "LSODA", TIMES.numpy(), rtol=1e-9, atol=1e-12)
    return 0.5 * np.einsum("ij,jit->t", cov, found.y.reshape(DIM, DIM, -1))


@pytest.mark.parametrize(
    ("effect", "noise", "batch_size"),
    [
        *((effect, "laplace:0.4", 1) for effect in (*EFFECTS, PRECONDITIONED)),
        ("compression", "rademacher:0.5", 3),
        ("reshaping", "rademacher:0.5", 3),
    ],
)
def test_every_curve_solves_the_equation_of_the_table(effect, noise, batch_size):
    curve = effect_curve(problem(noise), effect, lr=LR, horizon=5, times=TIMES, rtol=1e-8, batch_size=batch_size)
    np.testing.assert_allclose(curve.value, matrix_equation(effect, noise, batch_size), rtol=5e-6)
    assert curve.optimizer == effect
    assert curve.lr == LR


@pytest.mark.parametrize("batch_size", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_the_last_curve_is_signsgd(batch_size):
    for noise in ("gaussian:0.4", "cauchy:2,1"):
        options = {"lr": LR, "horizon": 5, "batch_size": batch_size}
        curve = effect_curve(problem(noise), "reshaping", **options)
        expected = predict(problem(noise), "signsgd", **options)
        torch.testing.assert_close(curve.value, expected.value, rtol=1e-6, atol=0)
        assert curve.status == expected.status


@pytest.mark.parametrize("batch_size", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_the_first_two_curves_are_sgd_at_their_rates(batch_size):
    law = problem()
    power = float(law.excess_risk(law.start)) + 0.5 * law.noise.second_moment
    rate = LR * 2 / math.pi * math.sqrt(batch_size / (2 * power))
    frozen = effect_curve(law, "frozen_rate", lr=LR, horizon=5, times=TIMES, batch_size=batch_size)
    expected = predict(law, "sgd", lr=rate, horizon=5, times=TIMES, batch_size=batch_size)
    torch.testing.assert_close(frozen.value, expected.value, rtol=1e-6, atol=0)
    # SGD whose schedule is the effective rate along the second curve itself runs along that curve.
    dense = torch.linspace(0, 5, 2001, dtype=torch.float64)
    effective = effect_curve(law, "effective_rate", lr=LR, horizon=5, times=dense, batch_size=batch_size)
    rates = LR * 2 / math.pi * torch.sqrt(batch_size / (2 * effective.value + law.noise.second_moment))
    table = (dense.numpy(), rates.numpy())
    follow = Function(lambda t: torch.as_tensor(np.interp(t.numpy(), *table)))
    again = predict(law, "sgd", lr=follow, horizon=5, times=TIMES, batch_size=batch_size, rtol=1e-5)
    torch.testing.assert_close(again.value, effective.at(TIMES), rtol=1e-4, atol=0)


def test_gaussian_noise_and_unit_scales_leave_nothing_to_the_middle_effects():
    """D = I and psi = 1: compression and preconditioner change nothing."""
    gen = np.random.default_rng(0)
    cov = np.corrcoef(gen.standard_normal((6, 20)))
    law = LeastSquares(cov, noise=0.5, seed=1)
    curves = {name: effect_curve(law, name, lr=LR, horizon=3).value for name in EFFECTS}
    torch.testing.assert_close(curves["compression"], curves["effective_rate"], rtol=1e-6, atol=0)
    torch.testing.assert_close(curves["preconditioner"], curves["effective_rate"], rtol=1e-6, atol=0)
    assert not torch.allclose(curves["reshaping"], curves["effective_rate"], rtol=1e-3)
    diagonal = LeastSquares(np.ones(6), noise=0.5, seed=1)  # and with K = I the noise keeps its shape too, but not
    last = [effect_curve(diagonal, name, lr=LR, horizon=3).value for name in ("preconditioner", "reshaping")]
    assert bool((last[1][1:] > last[0][1:]).all())  # its size: (pi/2) Ksig has pi/2 where K has 1


def test_diagonal_and_dense_routes_agree():
    variances = np.logspace(-1, 0.3, 7)
    nearly = np.diag(variances)
    nearly[0, 1] = nearly[1, 0] = 1e-13
    for effect in (*EFFECTS, PRECONDITIONED):
        one, two = (
            effect_curve(LeastSquares(cov, noise="gaussian:0.3", seed=2), effect, lr=LR, horizon=4).value
            for cov in (variances, nearly)
        )
        torch.testing.assert_close(one, two, rtol=1e-7, atol=0)


def test_schedules_and_batches_move_every_curve():
    law = problem("gaussian:0.5")
    for effect in EFFECTS:
        plain, later, batch = (
            effect_curve(law, effect, horizon=3, times=[3.0], rtol=1e-4, **options).final
            for options in ({"lr": LR}, {"lr": Linear(LR, 3.0)}, {"lr": LR, "batch_size": 2})
        )
        assert abs(later / plain - 1) > 1e-3
        assert abs(batch / plain - 1) > 1e-3


def test_noise_without_variance_leaves_signsgd_alone():
    for effect in EFFECTS[:-1]:
        curve = effect_curve(problem("cauchy:2,1"), effect, lr=LR, horizon=2)
        assert curve.status == "undefined"
        assert "cauchy:2,1" in curve.message
    assert effect_curve(problem("cauchy:2,1"), "reshaping", lr=LR, horizon=2).status == "ok"


def test_degenerate_starts_and_rates():
    at_optimum = LeastSquares(np.ones(5), start=np.ones(5), target=np.ones(5))
    assert effect_curve(at_optimum, "frozen_rate", lr=LR, horizon=1).status == "undefined"
    for effect in ("effective_rate",):
        curve = effect_curve(at_optimum, effect, lr=LR, horizon=1, times=[0.0, 1.0], rtol=1e-3)
        assert bool(curve.value.isfinite().all())
    big = LeastSquares(np.ones(5), start=np.full(5, 1e-3), target=np.zeros(5), noise=1e-3)
    wild = effect_curve(big, "frozen_rate", lr=0.1, horizon=1)
    assert wild.status == "unstable"
    assert "stability limit" in wild.message


def test_bad_arguments_get_a_clear_answer():
    for change, message in (
        ({"effect": "speed"}, "`effect` must be one of 'frozen_rate'"),
        ({"lr": 0}, "`lr` must be above 0"),
        ({"batch_size": 0}, "`batch_size` must be"),
        ({"horizon": -1}, "`horizon` must be above 0"),
    ):
        options = {"effect": "compression", "lr": LR, "horizon": 1.0, **change}
        with pytest.raises(InvalidInput, match=message):
            effect_curve(problem(), options.pop("effect"), **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("signscope.limits.effects._LARGEST", 3)
        with pytest.raises(Unsupported, match="dim = 8 is beyond 3"):
            effect_curve(problem(), "preconditioner", lr=LR, horizon=1)


def curve_of(values) -> Curve:
    values = torch.tensor(values, dtype=torch.float64)
    return Curve(time=torch.arange(len(values), dtype=torch.float64), value=values)


def test_crossings():
    assert crossings(curve_of([0.5, 1.5, 0.5]), 1.0) == (0.5, 1.5)
    assert crossings(curve_of([2.0, 1.0, 2.0]), 1.0) == ()  # touches
    assert crossings(curve_of([2.0, 1.0, 0.0]), 1.0) == (1.0,)
    assert crossings(curve_of([1 + 1e-12, 1 - 1e-12, 1.0]), 1.0) == ()
    assert crossings(curve_of([math.inf, math.inf]), 1.0) == ()


def test_compression_along_a_curve():
    law = problem()
    risk = predict(law, "signsgd", lr=LR, horizon=5, times=TIMES)
    psi = compression_along(risk, law)
    power = 2 * risk.value + law.noise.second_moment
    torch.testing.assert_close(psi.value, law.noise.phi(risk.value) * math.pi / 2 * power.sqrt(), rtol=1e-12, atol=0)
    assert psi.quantity == "compression"
