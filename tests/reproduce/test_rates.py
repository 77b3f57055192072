"""The rate experiments: their constants, their bounds, their exponents, and a wrong rule being seen."""

import json

import numpy as np
import pytest
import torch

from signscope import bounds, rules
from signscope._core.errors import InvalidInput
from signscope.reproduce import rates, run_figure
from signscope.reproduce import rates_problem as problem
from signscope.reproduce.rates_runs import finite_sum_norm, stochastic_norm

DIM = 64


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rates")
    return run_figure("rates-sign-methods", out=folder, size="small"), folder


def test_the_gradient_is_that_of_the_function():
    x = torch.linspace(-4, 4, 101, dtype=torch.float64, requires_grad=True)
    problem.value(x).backward()
    torch.testing.assert_close(problem.exact_gradient(x.detach()), x.grad, rtol=1e-12, atol=1e-12)


def test_the_constants_are_those_of_the_function():
    known = problem.constants(DIM)
    x = torch.linspace(-5, 5, 20001, dtype=torch.float64)
    slope = torch.diff(problem.exact_gradient(x)) / torch.diff(x)
    assert float(slope.abs().max()) * DIM == pytest.approx(known.smoothness, rel=1e-5)
    start = problem.start(1, DIM)
    assert float(problem.value(start)) == pytest.approx(known.initial_gap)
    offset, factor = problem.draw(np.random.default_rng(0), 20_000, (1, 1), "skewed")
    sample = problem.Sample(offset[:, 0], factor[:, 0])
    far = torch.full((20_000, 1), problem.START, dtype=torch.float64)
    noise = sample.gradient(far, torch.zeros_like(far))
    assert float(noise.mean()) == pytest.approx(0, abs=4.5 * 3 / 20_000**0.5)
    assert float(noise.std()) * DIM == pytest.approx(known.noise_l1, rel=0.03)
    near = sample.gradient(far - 0.1, torch.full_like(far, -0.1 * known.smoothness / DIM))  # steepest place
    assert float(((noise - near) / 0.1).square().mean().sqrt()) * DIM == pytest.approx(known.mean_squared, rel=0.01)


def test_skewed_noise_has_a_median_away_from_its_mean():
    offset, _ = problem.draw(np.random.default_rng(0), 20_000, (1, 1), "skewed")
    assert float(offset.mean()) == pytest.approx(0, abs=4.5 * 2 / 20_000**0.5)
    assert float(offset.median()) == pytest.approx(2 * (1 - np.log(2)), abs=0.06)


def test_components_average_to_the_function():
    offsets, slopes = problem.draw_components(np.random.default_rng(1), 64, DIM)
    for table, std in ((offsets, 2.0), (slopes, 0.5)):
        torch.testing.assert_close(table.mean(0), torch.zeros(DIM, dtype=torch.float64), rtol=0, atol=1e-14)
        torch.testing.assert_close(table.std(0, correction=0), torch.full((DIM,), std, dtype=torch.float64))


def test_small_report_has_numbers_files_and_a_verdict(small):
    report, folder = small
    assert [p.name for p in report.files] == ["rates.png", "rates.csv", "report.json"]
    assert all(p.stat().st_size > 500 for p in report.files)
    saved = json.loads((folder / "report.json").read_text())
    assert saved["verdict"] == report.verdict
    assert len(saved["claims"]) == len(rates.LINES) + 1
    assert saved["settings"]["seed"] == 0
    failed = report.table[report.table["outcome"] == "fails"]
    assert (report.verdict == "matched") == failed.empty


def test_no_mean_norm_exceeds_its_bound(small):
    table = small[0].table.set_index("claim")
    assert table.loc["largest mean norm / bound", "measured"] < 1


def test_small_exponents_tell_the_methods_apart(small):
    """Far from asymptotic, but the order of the methods is already there."""
    slope = small[0].table.set_index("claim")["measured"]
    assert slope["signSGD, batch 1, skewed noise: exponent in T"] > -0.05
    assert slope["SSVR, Gaussian noise: exponent in T"] < slope["Signum, skewed noise: exponent in T"] - 0.05
    for name in ("SSVR-FS", "SPIDER-sign", "SignSVRG"):
        assert slope[f"{name}: exponent in T"] == pytest.approx(-0.5, abs=0.03)
    assert slope["SSVR-FS: exponent in m"] == pytest.approx(0.25, abs=0.03)


def test_a_seed_gives_the_same_numbers_and_another_gives_others():
    plan = bounds.ssvr(problem.constants(8), num_steps=50)
    run = {"dim": 8, "num_runs": 2, "law": "skewed"}
    first, again, other = (stochastic_norm(plan, seed=seed, **run) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_rule_without_the_correction_misses_the_interval(monkeypatch):
    """Teeth: SSVR's parameters with a plain running average leave the accepted exponents."""
    monkeypatch.setattr(rules, "ssvr", lambda grad, before, estimate, *, beta: torch.lerp(estimate, grad, beta))
    known = problem.constants(DIM)
    norms = [
        stochastic_norm(bounds.ssvr(known, num_steps=steps), dim=DIM, num_runs=2, seed=0, law="gaussian").mean()
        for steps in (512, 2048)
    ]
    assert float(torch.log(norms[1] / norms[0])) / np.log(4) > -0.29


def test_reset_and_period_move_the_path():
    plan = bounds.ssvr_fs(problem.constants(8), num_steps=100, num_components=16)
    run = {"dim": 8, "num_components": 16, "num_runs": 1, "seed": 0}
    plain, reset = finite_sum_norm(plan, **run), finite_sum_norm(plan, reset=True, **run)
    assert not torch.equal(plain, reset)


def test_refusals(small):
    with pytest.raises(InvalidInput, match="already holds"):
        run_figure("rates-sign-methods", out=small[1], size="small")
    with pytest.raises(InvalidInput, match="size"):
        run_figure("rates-sign-methods", size="huge")
    with pytest.raises(InvalidInput, match="no option `epochs`"):
        run_figure("rates-sign-methods", epochs=3)
    with pytest.raises(InvalidInput, match="NAME"):
        run_figure("figure-7")


@pytest.mark.slow
def test_full_exponents_lie_in_their_intervals(tmp_path):
    report = run_figure("rates-sign-methods", out=tmp_path, size="full")
    assert report.verdict == "matched", report.text
