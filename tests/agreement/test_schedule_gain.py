"""Runs of the algorithms confirm what schedules and plans are predicted to gain. Sizes were fixed before looking."""

import math

import numpy as np
import pytest
import torch

from helpers.schedule_problems import section_seven
from signscope import LeastSquares, predict, simulate
from signscope.limits.optimal_batches import best_batch_size, optimal_batch_plan
from signscope.limits.optimal_plan import predict_plan
from signscope.limits.optimal_shapes import compare_schedules

END = torch.tensor([0.0, 10.0], dtype=torch.float64)


def simulated(law, optimizer, schedule, *, num_runs, **options):
    runs = simulate(
        law, optimizer, lr=schedule, horizon=10, times=END, num_runs=num_runs, seed=21, dtype="float32", **options
    )
    return runs.final, float(runs.stderr[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "noise", "shapes"),
    [
        ("signsgd", "gaussian:0.1", ("constant", "linear", "greedy", "optimal")),
        ("signsgd", "cauchy:0,0.1", ("constant", "optimal")),
        ("sgd", "gaussian:0.1", ("constant", "optimal")),
        ("adam", "gaussian:0.1", ("constant", "optimal")),
    ],
)
def test_the_gain_of_a_schedule_is_real(optimizer, noise, shapes):
    """Dim 500, 64 runs: within 4.5 standard errors and an allowance of order 1/dim (3% for Adam's momentum)."""
    law = section_seven(noise)
    found = compare_schedules(law, optimizer, horizon=10, shapes=shapes)
    allowed = 0.03 if optimizer == "adam" else 0.01
    seen = {}
    for name, design in found.items():
        curve = predict(law, optimizer, lr=design.schedule, horizon=10, times=END, rtol=1e-5)
        seen[name], stderr = simulated(law, optimizer, design.schedule, num_runs=64)
        print(optimizer, noise, name, f"predicted {curve.final:.6f} simulated {seen[name]:.6f} +- {stderr:.6f}")
        assert abs(curve.final - seen[name]) <= 4.5 * stderr + allowed * seen[name]
        if name != "optimal":  # teeth: the prediction of the optimal schedule does not fit another
            assert abs(found["optimal"].risk - seen[name]) > 4.5 * stderr + allowed * seen[name]
    assert all(seen["optimal"] < seen[name] for name in shapes if name != "optimal")


def test_the_gain_of_a_schedule_is_real_in_small():
    law = section_seven(dim=100)
    found = compare_schedules(law, "signsgd", horizon=10, shapes=("constant", "optimal"))
    for name, design in found.items():
        seen, stderr = simulated(law, "signsgd", design.schedule, num_runs=128)
        assert abs(design.risk - seen) <= 4.5 * stderr + 0.04 * seen, name


def run_plan(law: LeastSquares, updates, *, num_runs, seed) -> np.ndarray:
    """Final risks of signSGD on diagonal K, one line per rule: fresh rows, the batch size of every update."""
    rng = np.random.default_rng(seed)
    spread = law.cov.diagonal().sqrt().numpy()
    v = np.tile(law.displacement.numpy(), (num_runs, 1))
    for batch_size, step_size in updates:
        rows = rng.standard_normal((num_runs, batch_size, law.dim)) * spread
        noise = law.noise.sample((num_runs, batch_size), rng)
        residual = np.einsum("rbd,rd->rb", rows, v) - noise
        v -= step_size * np.sign(np.einsum("rb,rbd->rd", residual, rows))
    return 0.5 * (v**2 * spread**2).sum(1)


@pytest.mark.slow
def test_a_batch_plan_does_what_is_predicted():
    """Laplace noise, dim 200: large batches first, single rows last; 128 runs."""
    law = section_seven("laplace:0.2", dim=200)
    design = optimal_batch_plan(law, "signsgd", samples=4000, batch_sizes=(1, 4, 16))
    assert len(set(design.plan.batch_sizes)) == 3
    risks = run_plan(law, design.plan.updates(200), num_runs=128, seed=5)
    predicted = predict_plan(law, "signsgd", plan=design.plan, times=[design.plan.horizon], rtol=1e-5).final
    stderr = risks.std(ddof=1) / math.sqrt(len(risks))
    print(f"plan: predicted {predicted:.6f} simulated {risks.mean():.6f} +- {stderr:.6f}")
    assert abs(risks.mean() - predicted) <= 4.5 * stderr + 0.03 * predicted


@pytest.mark.slow
def test_the_best_batch_size_is_best_in_simulation():
    """Gaussian noise at a fixed budget: signSGD gains from larger batches as phi_B / sqrt(B) says; 64 runs."""
    law = section_seven("gaussian:0.3", dim=300)
    found = best_batch_size(law, "signsgd", samples=6000, batch_sizes=(1, 16))
    assert found.batch_size == 16
    seen = {}
    for size in (1, 16):
        alone = best_batch_size(law, "signsgd", samples=6000, batch_sizes=(size,))
        end = [0.0, alone.horizon]
        options = {"lr": alone.design.schedule, "horizon": alone.horizon, "times": end, "batch_size": size}
        runs = simulate(law, "signsgd", num_runs=64, seed=8, dtype="float32", **options)
        seen[size] = runs.final
        print(
            f"B = {size}: predicted {found.risks[size]:.6f} simulated {runs.final:.6f} +- {float(runs.stderr[-1]):.6f}"
        )
        assert abs(runs.final - found.risks[size]) <= 4.5 * float(runs.stderr[-1]) + 0.04 * runs.final
    assert seen[16] < seen[1]
