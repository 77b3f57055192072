"""Lanczos quadrature and merged modes against eigenvalues; the error bar; what must be refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import signscope as ss
from signscope import InvalidInput, Unsupported
from signscope.limits import quadrature
from signscope.limits.bins import shared_on_grid
from signscope.limits.modes import modes_of
from signscope.problems import (
    Circulant,
    DiagonalPlusLowRank,
    Kronecker,
    Toeplitz,
    power_law,
    rescaled,
    rotated,
)
from signscope.problems.lanczos import lanczos

DIM = 300
GEN = np.random.default_rng(0)
LAGS = np.arange(DIM)


def spiked(dim: int = DIM) -> DiagonalPlusLowRank:
    gen = np.random.default_rng(5)
    return DiagonalPlusLowRank(np.exp(gen.uniform(-3, 0, dim)), 0.2 * gen.normal(size=(dim, 4)))


COVARIANCES = {
    "low rank": spiked,
    "toeplitz": lambda: Toeplitz(0.8**LAGS),
    "ring, double eigenvalues": lambda: Circulant(np.exp(-np.minimum(LAGS, DIM - LAGS) / 2)),
    "kronecker": lambda: Kronecker(Toeplitz(0.5 ** np.arange(20)).dense(), rotated(np.linspace(0.2, 1, 15))),
    "rescaled": lambda: rescaled(rotated(power_law(DIM, exponent=0.7)), np.exp(GEN.uniform(-1, 1, DIM))),
}
TIMES = torch.linspace(0, 5, 21, dtype=torch.float64)
LR = {"sgd": 0.3, "signsgd": 0.5, "adam": 0.5}


@pytest.fixture(autouse=True)
def few_probes(monkeypatch):
    """Sixteen probes in place of 64: the error bar says what that costs."""
    monkeypatch.setattr(quadrature, "_MOST", 16)


@pytest.fixture(scope="module", params=COVARIANCES)
def problem(request):
    return ss.LeastSquares(COVARIANCES[request.param](), noise=0.3, seed=1)


@pytest.mark.parametrize("optimizer", LR)
def test_curve_agrees_with_eigenvalues_within_its_bar(problem, optimizer):
    dense, found = (
        ss.predict(problem, optimizer, lr=LR[optimizer], horizon=5, times=TIMES, method=m)
        for m in ("dense", "quadrature")
    )
    off = ((found.value - dense.value) / dense.value).abs()
    assert float(off.max()) < 6e-3
    assert dense.stderr is None
    assert found.stderr is not None
    bar = found.stderr / dense.value
    assert float(bar.max()) < 6e-3
    assert bool((off <= 5 * bar + 2e-4).all())
    assert found.provenance["spectrum"]["spectrum"] == "lanczos"
    assert found.provenance["spectrum"]["probes"] >= 2
    assert dense.provenance["spectrum"]["spectrum"] == "eigenvalues"


def late(modes) -> float:
    """Noise that is left after some time: sum of g/lambda exp(-3 lambda)."""
    seen = modes.eigvals > 1e-12
    return float((modes.sources[0] / modes.eigvals * torch.exp(-3 * modes.eigvals))[seen].sum())


def tied(dim: int = 300) -> DiagonalPlusLowRank:
    """Two strong common factors: correlations far from the linear part of arcsin."""
    gen = np.random.default_rng(5)
    return DiagonalPlusLowRank(np.exp(gen.uniform(-3, 0, dim)), 0.5 * gen.normal(size=(dim, 2)))


@pytest.mark.parametrize("build", [lambda: Toeplitz(0.9**LAGS), tied], ids=["product", "sampled columns"])
def test_ksig_is_met_without_bias_and_its_linear_part_is_not_enough(build):
    problem = ss.LeastSquares(build(), noise=0.3, seed=1)
    found = quadrature.lanczos_quadrature(problem, "signsgd", num_probes=128)
    assert found.exact_signs == (build is not tied)
    exact, plain = (modes_of(problem, name, method="dense") for name in ("signsgd", "adam"))
    linear = replace(plain, sources=plain.sources[:1] + (torch.pi / 2 - 1) * plain.sources[1:])
    seen = torch.tensor([late(nodes) for nodes in found.groups])
    stderr = float(seen.std()) / len(seen) ** 0.5
    assert abs(float(seen.mean()) - late(exact)) <= 5.4 * stderr  # Student with 7 degrees of freedom: 99.9%
    assert abs(late(linear) - late(exact)) > 10 * stderr  # teeth


def test_known_traces_are_met_by_every_probe():
    problem = ss.LeastSquares(spiked(), noise=0.3, seed=1)
    found = quadrature.lanczos_quadrature(problem, "signsgd", num_probes=3)
    total = np.pi / 2 * float(problem.cov.diagonal().sqrt().sum())
    for nodes in (found.mean, found.coarse, *found.groups):
        seen = nodes.eigvals > 0
        assert float((nodes.sources[0][seen] / nodes.eigvals[seen]).sum()) == pytest.approx(total, rel=1e-8)
        assert float(nodes.start.sum()) == pytest.approx(float(problem.excess_risk(problem.start)), rel=1e-8)


def test_eigenvectors_found_exactly_keep_multiple_eigenvalues_right():
    row = np.zeros(400)
    row[0], row[[1, -1]] = 1.0, 0.45
    problem = ss.LeastSquares(Circulant(row), noise=0.3, seed=3)  # every eigenvalue but two is double
    for optimizer in ("sgd", "signsgd"):
        dense, found = (
            ss.predict(problem, optimizer, lr=0.4, horizon=5, times=TIMES, method=m) for m in ("dense", "quadrature")
        )
        torch.testing.assert_close(found.value, dense.value, rtol=3e-3, atol=0)


def test_same_seed_same_curve_and_another_seed_another():
    cov, target = spiked(), np.ones(DIM) / DIM**0.5
    first, again, other = (
        ss.predict(
            ss.LeastSquares(cov, target=target, noise=0.3, seed=s), "adam", lr=0.5, horizon=5, method="quadrature"
        )
        for s in (1, 1, 2)
    )
    assert torch.equal(first.value, again.value)
    assert not torch.equal(first.value, other.value)


@pytest.mark.parametrize(
    "options", [{"batch_size": 4}, {"betas": (0.0, 0.8)}, {"lr": "schedule"}, {"noise": "cauchy:0,1"}]
)
def test_options_reach_the_quadrature(options):
    schedule = ss.schedules.Cosine(0.5, horizon=5)
    problem = ss.LeastSquares(spiked(), noise=options.get("noise", 0.3), seed=1)
    common = {"batch_size": options.get("batch_size", 1), "betas": options.get("betas", (0.0, 0.9))}
    lr = schedule if "lr" in options else 0.5
    plain = ss.predict(
        ss.LeastSquares(spiked(), noise=0.3, seed=1), "adam", lr=0.5, horizon=5, times=TIMES, betas=(0.0, 0.9)
    )
    dense, found = (
        ss.predict(problem, "adam", lr=lr, horizon=5, times=TIMES, method=m, **common) for m in ("dense", "quadrature")
    )
    torch.testing.assert_close(found.value, dense.value, rtol=2e-3, atol=0)
    assert not torch.allclose(found.value[1:], plain.value[1:], rtol=5e-3)


def test_beyond_reach_everything_works_without_the_matrix(monkeypatch):
    cov = spiked(4100)
    for name in ("dense", "eigh"):
        monkeypatch.setattr(type(cov), name, lambda self: pytest.fail("a d x d matrix was formed"))
    problem = ss.LeastSquares(cov, noise=0.3, seed=1)
    for optimizer in LR:
        curve = ss.predict(problem, optimizer, lr=LR[optimizer], horizon=3)
        assert curve.status == "ok"
        assert curve.stderr is not None
        end = ss.limit(problem, optimizer, lr=LR[optimizer])
        assert 0 < end.excess_risk < float(curve.value[0])
        assert end.rate > 0
    best = ss.best_lr(problem, "signsgd", horizon=3)
    assert best.curve.final <= 1.001 * ss.predict(problem, "signsgd", lr=0.5, horizon=3).final
    distance = ss.predict(problem, "sgd", lr=0.3, horizon=3, quantity="distance")
    assert float(distance.value[0]) == pytest.approx(float(problem.displacement.square().sum()), rel=1e-9)
    with pytest.raises(Unsupported, match="unequal variance"):
        ss.predict(problem, "signsgd", lr=0.3, horizon=3, quantity="distance")


@pytest.mark.parametrize(
    ("optimizer", "cov", "quantity"),
    [("sgd", "low rank", "distance"), ("sgd", "rescaled", "grad_norm"), ("signsgd", "toeplitz", "distance")],
)
def test_other_quantities_where_the_nodes_determine_them(quantity, optimizer, cov):
    problem = ss.LeastSquares(COVARIANCES[cov](), noise=0.3, seed=1)
    dense, found = (
        ss.predict(problem, optimizer, lr=0.4, horizon=4, method=m, quantity=quantity, times=[0.0, 0.5, 2.0, 4.0])
        for m in ("dense", "quadrature")
    )
    torch.testing.assert_close(found.value, dense.value, rtol=5e-3, atol=0)
    risk = ss.predict(problem, optimizer, lr=0.4, horizon=4, times=[0.0, 0.5, 2.0, 4.0])
    assert not torch.allclose(found.value, risk.value, rtol=0.05)


def test_limit_and_rate_from_nodes_are_near_those_from_eigenvalues(monkeypatch):
    import signscope.limits.modes as modes

    for optimizer in LR:
        problems = [ss.LeastSquares(spiked(), noise=0.3, seed=1) for _ in range(2)]
        exact = ss.limit(problems[0], optimizer, lr=LR[optimizer])
        with monkeypatch.context() as patch:
            patch.setattr(modes, "DENSE_REACH", 10)
            found = ss.limit(problems[1], optimizer, lr=LR[optimizer])
        assert found.excess_risk == pytest.approx(exact.excess_risk, rel=1e-9)
        assert found.rate == pytest.approx(exact.rate, rel=0.05)


def test_a_large_diagonal_is_merged_and_agrees_with_all_its_modes():
    dim = 8_300
    variances = np.exp(GEN.uniform(-8, 0, dim))
    problem = ss.LeastSquares(variances, noise=0.3, seed=1)
    for optimizer in LR:
        merged, full = (
            ss.predict(problem, optimizer, lr=LR[optimizer], horizon=8, method=m, rtol=1e-9, times=[0.0, 1.0, 8.0])
            for m in ("gaussian", "dense")
        )
        torch.testing.assert_close(merged.value, full.value, rtol=2e-6, atol=0)
        assert merged.provenance["spectrum"]["spectrum"] == "merged"


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(2, 20), st.integers(0, 10_000))
def test_sharing_keeps_sums_and_means(count, nodes, seed):
    gen = np.random.default_rng(seed)
    eigvals = torch.from_numpy(np.exp(gen.uniform(-9, 2, count)) * (gen.random(count) > 0.2))
    weights = torch.from_numpy(gen.normal(size=(2, count)))
    grid, found = shared_on_grid(eigvals, weights, num_nodes=nodes)
    assert len(grid) <= max(nodes, count if count <= nodes else nodes)
    torch.testing.assert_close(found.sum(1), weights.sum(1), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found @ grid, weights @ eigvals, rtol=1e-9, atol=1e-9)


def test_two_levels_stay_two_levels():
    eigvals = torch.tensor([0.3, 2.0], dtype=torch.float64).repeat(5000)
    grid, found = shared_on_grid(eigvals, torch.ones(1, 10_000, dtype=torch.float64))
    kept = found[0] > 1e-9
    torch.testing.assert_close(grid[kept], torch.tensor([0.3, 2.0], dtype=torch.float64))


def test_lanczos_is_exact_after_as_many_steps_as_there_are_eigenvalues():
    matrix = rotated(np.repeat([0.5, 1.0, 3.0], 20)).dense()
    start = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 60)))
    run = lanczos(lambda v: v @ matrix, start, num_steps=60)
    assert run.diagonal.shape[1] <= 4
    values, vectors = run.ritz()
    weights = (run.norms[:, None] * vectors[:, 0]) ** 2
    for power in range(4):
        moment = (start @ torch.linalg.matrix_power(matrix, power) * start).sum(1)
        torch.testing.assert_close((weights * values**power).sum(1), moment, rtol=1e-6, atol=0)


def test_dense_can_be_forced_and_is_refused_where_it_cannot_be():
    problem = ss.LeastSquares(DiagonalPlusLowRank(np.ones(50_000), np.ones((50_000, 1))), noise=0.3)
    with pytest.raises(Unsupported, match="20 GB"):
        ss.predict(problem, "sgd", lr=0.1, horizon=1, method="dense")
    with pytest.raises(InvalidInput, match="quadrature"):
        ss.predict(problem, "sgd", lr=0.1, horizon=1, method="lanczos")


def test_a_start_at_the_optimum_rises_as_the_dense_theory_says():
    problem = ss.LeastSquares(spiked(), target=np.zeros(DIM), noise=0.5)
    dense, found = (
        ss.predict(problem, "signsgd", lr=0.2, horizon=4, times=[0.0, 1.0, 4.0], method=m)
        for m in ("dense", "quadrature")
    )
    assert float(found.value[0]) == 0
    torch.testing.assert_close(found.value[1:], dense.value[1:], rtol=5e-3, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", LR)
def test_a_million_coordinates_within_the_bar(optimizer):
    problem = ss.LeastSquares(spiked(1_000_000), noise=0.3, seed=1)
    curve = ss.predict(problem, optimizer, lr=LR[optimizer], horizon=5)
    assert curve.status == "ok"
    assert curve.stderr is not None
    assert float((curve.stderr / curve.value).max()) <= 2e-3
