"""Batch sizes for a budget of samples: what is known in closed form, plans, and their predictions."""

import math

import numpy as np
import pytest
import torch

from helpers.schedule_problems import section_seven
from signscope import InvalidInput, Unsupported, predict
from signscope.limits.optimal import optimal_schedule
from signscope.limits.optimal_batches import best_batch_size, optimal_batch_plan
from signscope.limits.optimal_plan import predict_plan
from signscope.schedules import BatchPlan, PiecewiseConstant

SIZES = (1, 2, 4, 16)


def test_sgd_depends_on_the_samples_alone():
    found = best_batch_size(section_seven(dim=60), "sgd", samples=600, batch_sizes=SIZES)
    risks = list(found.risks.values())
    np.testing.assert_allclose(risks, risks[0], rtol=1e-6)
    assert found.batch_size == 16
    assert found.at_bound
    assert found.horizon == pytest.approx(600 / 16 / 60)


def test_signsgd_follows_phi_over_root_b():
    """The risk orders the batch sizes as phi_B(R)/sqrt(B) does where R hardly matters."""
    for noise, best in (("gaussian:2", 16), ("cauchy:0,5", 1)):
        law = section_seven(noise, dim=60)
        found = best_batch_size(law, "signsgd", samples=600, batch_sizes=SIZES)
        risk = torch.tensor(float(law.excess_risk(law.start)), dtype=torch.float64)
        gains = {size: float(law.noise.phi(risk, batch_size=size)) / math.sqrt(size) for size in SIZES}
        assert found.batch_size == best == max(gains, key=gains.get)
        assert sorted(found.risks, key=found.risks.get) == sorted(gains, key=gains.get, reverse=True)


def test_a_constant_batch_is_that_of_predict():
    law = section_seven("laplace:0.2", dim=60)
    found = best_batch_size(law, "signsgd", samples=600, batch_sizes=[4])
    trusted = predict(law, "signsgd", lr=found.design.schedule, horizon=found.horizon, batch_size=4, rtol=1e-4).final
    assert found.design.risk == pytest.approx(trusted, rel=2e-3)
    better = best_batch_size(law, "signsgd", samples=600, batch_sizes=[4], schedule="optimal")
    assert better.design.risk < found.design.risk


@pytest.fixture(scope="module")
def laplace():
    """Noise peaked at 0: large batches early, single rows late."""
    law = section_seven("laplace:0.2", dim=100)
    return law, optimal_batch_plan(law, "signsgd", samples=4000, batch_sizes=(1, 2, 4, 8))


@pytest.mark.slow
def test_the_plan_beats_every_constant_batch_size(laplace):
    law, design = laplace
    best = best_batch_size(law, "signsgd", samples=4000, batch_sizes=(1, 2, 4, 8), schedule="optimal")
    assert design.risk < 0.999 * min(best.risks.values())


@pytest.mark.slow
def test_the_plan_obeys_the_pointwise_rule(laplace):
    law, design = laplace
    plan = design.plan
    middles = 0.5 * (torch.tensor(plan.times) + torch.tensor((*plan.times[1:], plan.horizon)))
    risks = predict_plan(law, "signsgd", plan=plan, times=middles.double(), rtol=1e-4).value
    gains = torch.stack([law.noise.phi(risks, batch_size=size) / math.sqrt(size) for size in (1, 2, 4, 8)])
    chosen = torch.tensor([(1, 2, 4, 8).index(size) for size in plan.batch_sizes])
    picked = gains.gather(0, chosen[None])[0]
    assert bool((picked >= gains.max(0).values * (1 - 2e-3)).all())


def test_the_plan_goes_from_large_batches_to_single_rows(laplace):
    _, design = laplace
    assert design.plan.batch_sizes[0] == 8
    assert design.plan.batch_sizes[-1] == 1
    assert list(design.plan.batch_sizes) == sorted(design.plan.batch_sizes, reverse=True)
    assert design.risk < design.constant_risk
    assert design.plan.samples == pytest.approx(40, rel=1e-9)


@pytest.mark.slow
def test_the_prediction_of_a_plan_is_its_risk(laplace):
    law, design = laplace
    curve = predict_plan(law, "signsgd", plan=design.plan, times=[design.plan.horizon], rtol=1e-4)
    assert curve.status == "ok"
    assert curve.final == pytest.approx(design.risk, rel=2e-3)
    swapped = BatchPlan(
        design.plan.times, design.plan.rates, tuple(reversed(design.plan.batch_sizes)), design.plan.horizon
    )
    assert abs(predict_plan(law, "signsgd", plan=swapped, rtol=1e-4).final / design.risk - 1) > 0.02  # teeth


@pytest.mark.parametrize(("optimizer", "options"), [("signsgd", {}), ("adam", {"betas": (0.0, 0.9)})])
def test_a_plan_with_one_batch_size_is_predict(optimizer, options):
    law = section_seven("gaussian:0.2", dim=50)
    plan = BatchPlan((0.0, 1.0, 2.5), (0.5, 0.3, 0.1), (3, 3, 3), 4.0)
    lr = PiecewiseConstant(plan.times, plan.rates)
    expected = predict(law, optimizer, lr=lr, horizon=4, batch_size=3, rtol=1e-4, **options)
    found = predict_plan(law, optimizer, plan=plan, rtol=1e-4, **options)
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-3)


def test_a_plan_is_joined_from_its_pieces():
    """SGD after a change of batch size: its risk depends on lr / B and samples alone."""
    law = section_seven("gaussian:0.2", dim=50)
    plan = BatchPlan((0.0, 1.0), (0.4, 1.2), (1, 3), 3.0)
    same = predict(law, "sgd", lr=0.4, horizon=7)
    found = predict_plan(law, "sgd", plan=plan, times=[0.5, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(found.value, same.at([0.5, 1.0, 4.0, 7.0]), rtol=2e-4)


def test_the_door_of_joint_schedules():
    plan = optimal_schedule(section_seven(dim=30), "signsgd", horizon=10, batch_sizes=[1, 2])
    assert isinstance(plan, BatchPlan)
    assert set(plan.batch_sizes) <= {1, 2}
    assert plan.samples == pytest.approx(10)


@pytest.mark.slow
def test_choices_are_found_where_none_are_given():
    auto = optimal_schedule(section_seven(dim=30), "sgd", horizon=10, batch_sizes="auto")
    assert set(auto.batch_sizes) == {3}  # dim / 10; for SGD all are equal
    found = best_batch_size(section_seven(dim=200), "sgd", samples=1000)
    assert list(found.risks) == [1, 2, 3, 4, 6, 8]  # 100 updates are left


def test_updates_are_what_a_training_loop_makes():
    plan = BatchPlan((0.0, 1.0), (0.5, 0.25), (4, 1), 2.0)
    updates = plan.updates(10)
    assert updates == [(4, 0.05)] * 10 + [(1, 0.025)] * 10
    assert sum(size for size, _ in updates) == plan.samples * 10
    assert BatchPlan(**{k: v for k, v in plan.describe().items() if k != "schedule"}) == plan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_sizes": (1,)}, "one batch size per piece"),
        ({"batch_sizes": (1, 0)}, "`batch_sizes` must be a whole number"),
        ({"rates": (1.0, -1.0)}, "cannot be negative"),
        ({"times": (0.0, 3.0)}, "pieces before the horizon"),
        ({"times": (0.5, 1.0)}, "times starting at 0"),
        ({"horizon": 0.0}, "`horizon` must be above 0"),
    ],
)
def test_bad_plans_are_refused(change, message):
    good = {"times": (0.0, 1.0), "rates": (0.5, 0.2), "batch_sizes": (2, 1), "horizon": 2.0}
    with pytest.raises(InvalidInput, match=message):
        BatchPlan(**{**good, **change})


def test_bad_calls_are_refused():
    law = section_seven(dim=20)
    with pytest.raises(InvalidInput, match="`plan` must be a BatchPlan"):
        predict_plan(law, "sgd", plan=0.5)
    with pytest.raises(InvalidInput, match="`schedule` must be one of"):
        best_batch_size(law, "sgd", samples=100, schedule="best")
    with pytest.raises(InvalidInput, match="`samples` must be a whole number"):
        best_batch_size(law, "sgd", samples=0.5)
    with pytest.raises(Unsupported, match="best_batch_size: sgd has no risk curve"):
        best_batch_size(section_seven("cauchy:0,1", dim=20), "sgd", samples=100)
