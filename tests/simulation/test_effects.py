"""The algorithms between SGD and signSGD, run: each follows its curve, and the rule is the box."""

import math

import numpy as np
import pytest
import torch

from signscope import LeastSquares, Unsupported, simulate
from signscope.limits.effects import effect_curve
from signscope.rules.effects import EFFECTS, PRECONDITIONED, effect_direction, effective_scale
from signscope.simulation.effects import simulate_effect

DIM, RUNS = 60, 256
TIMES = torch.linspace(0, 4, 9, dtype=torch.float64)


def problem(noise="laplace:0.4", dim=DIM) -> LeastSquares:
    basis, _ = np.linalg.qr(np.random.default_rng(7).standard_normal((dim, dim)))
    cov = (basis * np.logspace(-2, 0, dim)) @ basis.T
    cov = cov * np.outer(*[np.logspace(-0.3, 0.3, dim)] * 2)
    return LeastSquares(cov * dim / np.trace(cov), noise=noise, seed=3)


def follows(runs, curve, *, dim=DIM) -> bool:
    gap = (runs.value - curve.value).abs()
    return bool((gap <= 4.5 * runs.stderr + 4 / dim * runs.value)[1:].all())


@pytest.mark.parametrize(
    "effect",
    [
        "compression",
        "preconditioner",
        PRECONDITIONED,
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("frozen_rate", "effective_rate", "reshaping")),
    ],
)
def test_every_algorithm_follows_its_curve(effect):
    options = {"lr": 0.8, "horizon": 4, "times": TIMES}
    runs = simulate_effect(problem(), effect, num_runs=RUNS, seed=2, dtype="float32", **options)
    curve = effect_curve(problem(), effect, **options)
    assert runs.status == "ok"
    assert runs.optimizer == effect
    assert follows(runs, curve)
    neighbours = {"compression": "preconditioner", "effective_rate": "compression"}
    other = neighbours.get(effect, "reshaping" if effect != "reshaping" else "compression")
    assert not follows(runs, effect_curve(problem(), other, **options))  # teeth: another row of the table


@pytest.mark.slow
@pytest.mark.parametrize("effect", [*EFFECTS, PRECONDITIONED])
@pytest.mark.parametrize(("noise", "batch_size"), [("laplace:0.4", 1), ("rademacher:0.5", 3), ("student-t:3,0.4", 1)])
def test_every_algorithm_follows_its_curve_in_300_dimensions(effect, noise, batch_size):
    options = {"lr": 0.5, "horizon": 4, "times": TIMES, "batch_size": batch_size}
    runs = simulate_effect(problem(noise, 300), effect, num_runs=128, seed=2, dtype="float32", **options)
    assert follows(runs, effect_curve(problem(noise, 300), effect, **options), dim=300)


def test_a_step_is_the_box():
    """Three steps of each effect, one number at a time, on the simulator's own rows."""
    law, batch, lr, steps = problem(dim=5), 2, 0.3, 3
    seen = {}
    for effect in EFFECTS:
        runs = simulate_effect(
            law, effect, lr=lr, horizon=steps / 5, num_runs=1, batch_size=batch, seed=4, times=np.arange(steps + 1) / 5
        )
        seen[effect] = runs.runs[0].numpy()
    rows, noise = drawn(law, steps, batch, seed=4)
    cov, second = law.cov.dense().numpy(), law.noise.second_moment
    std = np.sqrt(np.diag(cov))
    for effect in EFFECTS:
        v = law.displacement.numpy().copy()
        first = 0.5 * v @ cov @ v + second / 2
        risks = [0.5 * v @ cov @ v]
        for k in range(steps):
            g = sum((rows[k, b] @ v - noise[k, b]) * rows[k, b] for b in range(batch)) / batch
            mean, risk = cov @ v, 0.5 * v @ cov @ v
            power = first if effect == "frozen_rate" else risk + second / 2
            s = 2 / math.pi * math.sqrt(batch / (2 * power))
            psi = float(law.noise.psi(torch.tensor(risk), batch_size=batch))
            u = {
                "frozen_rate": s * g,
                "effective_rate": s * g,
                "compression": s * (psi * mean + g - mean),
                "preconditioner": s * (psi * mean / std + g - mean),
                "reshaping": np.sign(g),
            }[effect]
            v = v - lr / 5 * u
            risks.append(0.5 * v @ cov @ v)
        np.testing.assert_allclose(seen[effect], risks, rtol=1e-7)


def drawn(law, steps, batch, *, seed):
    """Rows and noise of run 0, out of the public streams."""
    from signscope._core.random import stream

    z = stream(seed, "rows", 0).standard_normal((steps, batch, law.dim))
    noise = law.noise.sample(1024, stream(seed, "noise", 0))[: steps * batch].reshape(steps, batch)
    return law.cov.colour(torch.from_numpy(z)).numpy(), noise


def test_directions_keep_mean_and_fluctuation_apart():
    gen = torch.Generator().manual_seed(0)
    grad, mean = torch.randn(2, 4, 3, dtype=torch.float64, generator=gen)
    std = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    scale, psi = torch.full((4, 1), 0.7), torch.full((4, 1), 1.3)
    common = {"scale": scale, "compression": psi, "std": std}
    for effect, wanted in (
        ("compression", 1.3 * mean),
        ("preconditioner", 1.3 * mean / std),
        ("effective_rate", mean),
        (PRECONDITIONED, mean / std),
    ):
        torch.testing.assert_close(effect_direction(effect, mean, mean, **common), 0.7 * wanted, rtol=1e-6, atol=1e-9)
    for effect in ("compression", "preconditioner"):  # the noise part is that of plain SGD
        moved = effect_direction(effect, grad, mean, **common) - effect_direction(effect, mean, mean, **common)
        torch.testing.assert_close(moved, 0.7 * (grad - mean), rtol=1e-6, atol=1e-9)
    assert torch.equal(effect_direction("reshaping", grad, mean, **common), torch.sign(grad))
    power = torch.tensor(0.3, dtype=torch.float64)
    assert float(effective_scale(power, batch_size=4)) == pytest.approx(2 * float(effective_scale(power)))


def test_reshaping_is_signsgd_and_rows_are_shared():
    options = {"lr": 0.5, "horizon": 1, "num_runs": 3, "seed": 1}
    last = simulate_effect(problem(), "reshaping", **options)
    assert torch.equal(last.runs, simulate(problem(), "signsgd", **options).runs)
    fewer = simulate_effect(problem(), "compression", **{**options, "num_runs": 2})
    torch.testing.assert_close(
        fewer.runs, simulate_effect(problem(), "compression", **options).runs[:2], rtol=1e-9, atol=0
    )


def test_what_cannot_be_run_is_said():
    with pytest.raises(Unsupported, match="cauchy:2,1"):
        simulate_effect(problem("cauchy:2,1"), "compression", lr=0.5, horizon=1)
    assert simulate_effect(problem("cauchy:2,1"), "reshaping", lr=0.5, horizon=1, num_runs=2).status == "ok"
    at_optimum = LeastSquares(np.ones(4), start=np.ones(4), target=np.ones(4))
    with pytest.raises(Unsupported, match="first population risk"):
        simulate_effect(at_optimum, "frozen_rate", lr=0.5, horizon=1)
    with pytest.raises(ValueError, match="`effect` must be one of"):
        simulate_effect(problem(), "adam", lr=0.5, horizon=1)
    assert bool(simulate_effect(at_optimum, "compression", lr=0.5, horizon=1, num_runs=2).runs.isfinite().all())
