"""Signum's constants are those of simulated averages; its curves are those of the algorithm."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from scipy.signal import lfilter

import signscope as ss
from signscope._core.errors import InvalidInput, Unsupported
from signscope.limits import predict_many
from signscope.limits.assumptions import saturation
from signscope.limits.coefficients import Setting
from signscope.limits.optimal import design_schedule
from signscope.limits.signum_constants import SignumMoments, gaussian_constants
from signscope.noise import as_noise

LONG = 400_000


def simulated(momentum, squares, products, correlations):
    """Slope and sums over lags of 2/pi E arcsin(c rho), from a long path of residuals, by running averages.

    Given the residuals the average is Gaussian: its variance is the average of their squares with weights momentum^2j,
    and what is passed on l steps later is momentum^l of it.
    """
    second = lfilter([1], [1, -(momentum**2)], squares)[2000:]
    first = lfilter([1], [1, -momentum], products)[2000:]
    sums = np.array([math.asin(c) for c in correlations])
    for lag in range(1, math.ceil(math.log(1e-5) / math.log(momentum))):
        shared = np.minimum(momentum**lag * np.sqrt(second[:-lag] / second[lag:]), 1.0)
        sums += [2 * np.arcsin(c * shared).mean() for c in correlations]
    return math.sqrt(2 / math.pi) * (first / np.sqrt(second)).mean(), 2 / math.pi * sums


def covariance(noise, c):
    """Of two coordinates with correlation c, or of one with itself (c = 1)."""
    arcsine, linear = noise
    return 2 / math.pi * (arcsine * math.asin(c) + linear * c)


@pytest.mark.parametrize("momentum", [0.3, 0.9])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_gaussian_constants_are_those_of_a_long_path(momentum, batch_size):
    slope, *noise = gaussian_constants(momentum, batch_size)
    normal = np.random.default_rng(0).normal(size=(LONG, batch_size))
    squares = (normal**2).sum(1)  # E[z | r] = r where there is no noise
    cs = (0.05, 0.5, 0.9, 1.0)
    expected, sums = simulated(momentum, squares, squares, cs)
    assert slope == pytest.approx(expected, rel=4e-3)
    for c, value in zip(cs, sums, strict=True):
        tolerance = {0.5: 1e-2, 0.9: 2.5e-2}.get(c, 3e-3)  # interpolated in between, low by 0.8% and 2.1% at most
        assert covariance(noise, c) == pytest.approx(value, rel=tolerance)
    if momentum == 0.9:  # teeth: lags left out, or signs as correlated as the averages
        assert covariance(noise, 1.0) > 10
        assert covariance(noise, 1.0) < 0.8 * (1 + momentum) / (1 - momentum)


@pytest.mark.parametrize(
    ("law", "risk"),
    [(ss.noise.Rademacher(0.5), 0.02), (ss.noise.Rademacher(0.5), 1.0), (scipy.stats.cauchy(scale=0.5), 0.1)],
)
def test_constants_under_other_noise(law, risk):
    momentum, gen = 0.8, np.random.default_rng(1)
    law = as_noise(law)
    slope, *noise = (float(part) for part in SignumMoments(law, momentum=momentum)(torch.tensor(risk)))
    z, eps = math.sqrt(2 * risk) * gen.normal(size=LONG), law.sample(LONG, gen)
    residual = z - np.asarray(eps)
    expected, sums = simulated(momentum, residual**2, z * residual, (0.9, 1.0))
    error = 4 / math.sqrt(LONG) * 5
    assert slope * 2 * risk == pytest.approx(expected, rel=0.01, abs=error * math.sqrt(2 * risk))
    assert covariance(noise, 0.9) == pytest.approx(sums[0], rel=0.035)  # interpolated
    assert covariance(noise, 1.0) == pytest.approx(sums[1], rel=0.01)
    if law.second_moment == 0.25 and risk == 0.02:  # teeth: Gaussian residuals of the same variance
        assert gaussian_constants(momentum)[0] / math.sqrt(2 * risk + 0.25) > 1.1 * slope


def test_a_long_memory_has_a_closed_form():
    """The squares average out; sums over lags become integrals of arcsin(c exp(-x))."""
    for momentum in (0.99, 0.999, 0.9999):
        slope, *noise = gaussian_constants(momentum)
        gap = 3 * (1 - momentum)
        assert slope == pytest.approx(math.sqrt(2 / math.pi * (1 + momentum) / (1 - momentum)), rel=gap)
        assert covariance(noise, 1.0) == pytest.approx(2 * math.log(2) / (1 - momentum), rel=gap)
        assert covariance(noise, 1e-6) * 1e6 == pytest.approx(2 / math.pi * (1 + momentum) / (1 - momentum), rel=gap)


def test_little_momentum_is_nearly_signsgd_and_none_is():
    law = as_noise(0.3)
    for batch_size in (1, 4):
        slope, arcsine, linear = SignumMoments(law, momentum=1e-4, batch_size=batch_size)(torch.tensor(0.2))
        assert float(slope) == pytest.approx(float(law.phi(torch.tensor(0.2), batch_size=batch_size)), rel=1e-3)
        assert float(arcsine) == pytest.approx(1, abs=1e-3)
        assert abs(float(linear)) < 2e-3
    problem = ss.LeastSquares(np.array([[1.0, 0.6], [0.6, 2.0]]), noise=0.3)
    common = {"lr": 0.3, "horizon": 4, "betas": (0.0, 0.5)}
    assert torch.equal(ss.predict(problem, "signum", **common).value, ss.predict(problem, "signsgd", **common).value)
    with pytest.raises(InvalidInput, match="momentum"):
        SignumMoments(law, momentum=1.0)


def test_constants_do_not_depend_on_the_scale():
    for law in (ss.noise.Laplace(0.3), ss.noise.Rademacher(0.3)):
        big = type(law)(3.0)
        small_moments, big_moments = (SignumMoments(each, momentum=0.9) for each in (law, big))
        small, large = small_moments(torch.tensor([0.01, 1.0])), big_moments(torch.tensor([1.0, 100.0]))
        assert torch.allclose(small[0], 10 * large[0], rtol=1e-7)
        for a, b in zip(small[1:], large[1:], strict=True):
            assert torch.allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("momentum", [0.9, 0.97, 0.99, 0.999])
def test_residuals_of_one_size_leave_the_lags_of_a_gaussian_average(momentum):
    """Noise of two values and hardly any risk: averages have a constant variance and correlations momentum^l."""
    for law in (ss.noise.Rademacher(0.5), ss.noise.Mixture((0.5, 0.5), (-0.5, 0.5), (1e-3, 1e-3))):
        _, *noise = SignumMoments(law, momentum=momentum)(torch.tensor([1e-12, 1e-7]))
        lags = 2 / math.pi * sum(2 * math.asin(momentum**lag) for lag in range(1, math.ceil(-20 / math.log(momentum))))
        for here in zip(*(part.tolist() for part in noise), strict=True):
            assert covariance(here, 1.0) == pytest.approx(1 + lags, rel=1e-4)


def test_signs_of_copies_do_not_part():
    """What they are covered by is a covariance: no direction has noise below 0, equal coordinates stay equal."""
    for momentum, law in ((0.3, as_noise(1.0)), (0.9, as_noise(scipy.stats.cauchy(scale=0.5)))):
        for part in SignumMoments(law, momentum=momentum)(torch.tensor(0.1))[1:]:
            assert bool((part >= 0).all())
    pairs = np.kron(np.eye(20), np.ones((2, 2)))
    problem = ss.LeastSquares(pairs, noise=1.0, start=np.zeros(40), target=np.zeros(40))
    common = {"lr": 0.3, "horizon": 60, "times": torch.tensor([1.0, 10.0, 60.0], dtype=torch.float64)}
    risk, distance = (
        ss.predict(problem, "signum", quantity=quantity, **common) for quantity in ("excess_risk", "distance")
    )
    assert torch.allclose(risk.value, distance.value, rtol=1e-6)  # v = (a, a) in every pair


# --- curves -----------------------------------------------------------------------------------------------------------


def correlated(dim):
    gen = np.random.default_rng(0)
    factor = gen.normal(size=(dim, 2 * dim)) / math.sqrt(2 * dim)
    sizes = np.geomspace(0.5, 1.5, dim)
    return factor @ factor.T * np.outer(sizes, sizes)


def by_euler(problem, *, lr, momentum, horizon, steps):
    """The risk equation without modes: dV = -(a Kbar V + V Kbar' a) dt + b M dt on the second-moment matrix."""
    cov = problem.cov.dense().numpy()
    root = np.sqrt(np.diag(cov))
    kbar, corr = cov / root[:, None], cov / np.outer(root, root)
    v = problem.displacement.numpy()
    moments, second, dt = SignumMoments(problem.noise, momentum=momentum), np.outer(v, v), horizon / steps
    arcs = np.arcsin(corr.clip(-1, 1))
    np.fill_diagonal(arcs, math.pi / 2)
    for _ in range(steps):
        slope, arcsine, linear = (float(x) for x in moments(torch.tensor(0.5 * (cov * second).sum())))
        noise = 2 / math.pi * (arcsine * arcs + linear * corr)
        drift = lr * slope * kbar @ second
        second = second - dt * (drift + drift.T) + dt * lr**2 / problem.dim * noise
    return 0.5 * (cov * second).sum()


def test_the_curve_solves_the_risk_equation():
    problem = ss.LeastSquares(correlated(40), noise=0.3)
    found = ss.predict(problem, "signum", lr=0.1, horizon=3, betas=(0.8, 0.0)).final
    coarse, fine = (by_euler(problem, lr=0.1, momentum=0.8, horizon=3, steps=n) for n in (1000, 2000))
    assert found == pytest.approx(2 * fine - coarse, rel=2e-5)  # Richardson; the first-order error is 100 times larger


@pytest.mark.parametrize("noise", [0.3, ss.noise.Rademacher(0.5)])
def test_predictions_agree_with_the_algorithm(noise):
    gen = np.random.default_rng(2)
    problem = ss.LeastSquares(
        np.geomspace(0.2, 2, 600), noise=noise, start=1.3 * gen.normal(size=600) / math.sqrt(600), target=np.zeros(600)
    )
    common = {"lr": 0.2, "horizon": 3.0, "betas": (0.5, 0.0), "times": torch.linspace(0, 3, 7, dtype=torch.float64)}
    prediction = ss.predict(problem, "signum", **common)
    runs = ss.simulate(problem, "signum", num_runs=48, seed=1, **common)
    assert prediction.status == "ok"
    gap = ((prediction.value - runs.value) / runs.stderr.clamp(min=1e-12))[1:]
    assert gap.abs().max() < 4 + 0.01 * float((runs.value / runs.stderr)[1:].max())  # 4 errors, 1% for d = 600
    other = ss.predict(problem, "signsgd", **{**common, "betas": (0.9, 0.999)})  # teeth
    assert ((other.value - runs.value) / runs.stderr.clamp(min=1e-12)).abs().max() > 20


@pytest.mark.slow
def test_the_gap_falls_with_the_dimension():
    gaps = {}
    for dim in (200, 800, 3200):
        gen = np.random.default_rng(2)
        start = 1.3 * gen.normal(size=dim) / math.sqrt(dim)
        problem = ss.LeastSquares(np.geomspace(0.2, 2, dim), noise=0.3, start=start, target=np.zeros(dim))
        common = {"lr": 0.08, "horizon": 4.0, "times": torch.linspace(0, 4, 9, dtype=torch.float64)}
        prediction = ss.predict(problem, "signum", **common)
        runs = ss.simulate(problem, "signum", num_runs=max(32, 40_000 // dim), seed=1, **common)
        gaps[dim] = float((prediction.value / runs.value - 1)[1:].mean())
        assert prediction.status == ("ok" if dim > 380 else "inaccurate")
    assert -0.09 < gaps[200] < -0.04
    assert -0.03 < gaps[800] < -0.008
    assert abs(gaps[3200]) < 0.008


def test_every_spectrum_gives_the_same_curve():
    cov = correlated(400)
    problem = ss.LeastSquares(cov, noise=0.3, seed=1)
    dense, nodes = (ss.predict(problem, "signum", lr=0.08, horizon=4, method=m) for m in ("dense", "quadrature"))
    assert torch.allclose(dense.value, nodes.value, rtol=2e-3)
    many = predict_many(problem, "signum", lr=[0.04, 0.08], horizon=4)
    assert torch.allclose(many[1].value, dense.value, rtol=1e-5)
    spread = ss.LeastSquares(np.geomspace(0.2, 2, 9000), noise=0.3)  # merged on a grid
    plain = ss.LeastSquares(np.geomspace(0.2, 2, 8000), noise=0.3)
    finals = [
        ss.predict(each, "signum", lr=0.08, horizon=2).final / float(each.excess_risk(each.start))
        for each in (spread, plain)
    ]
    assert finals[0] == pytest.approx(finals[1], rel=0.02)


def test_where_it_settles_and_how_fast():
    problem = ss.LeastSquares(np.repeat([1.0, 2.0], 30), noise=0.3)  # two modes: the slower one is soon alone
    found = ss.limit(problem, "signum", lr=0.1, betas=(0.8, 0.0))
    late = torch.tensor([0.0, 8 / found.rate, 9 / found.rate], dtype=torch.float64)
    curve = ss.predict(problem, "signum", lr=0.1, horizon=float(late[-1]), betas=(0.8, 0.0), times=late, rtol=1e-9)
    gaps = (curve.value - found.excess_risk)[1:]
    assert float(gaps[0]) / found.excess_risk < 0.05
    assert float((gaps[0] / gaps[1]).log()) == pytest.approx(1, rel=0.02)
    assert found.max_lr == math.inf
    assert "average holds about" in found.message
    assert found.status == "inaccurate"


def test_the_best_rate_and_what_momentum_is_worth():
    """At one speed the noise falls by 2.27, what a long average of one-bit steps gains."""
    problem = ss.LeastSquares(np.ones(4000), noise=1.0)
    risks = {}
    for name, betas in (("signsgd", (0.9, 0.999)), ("signum", (0.9, 0.999))):
        best = ss.best_lr(problem, name, horizon=4, betas=betas)
        risks[name] = best.curve.final
        for factor in (0.8, 1.25):
            assert ss.predict(problem, name, lr=factor * best.lr, horizon=4, betas=betas).final > best.curve.final
    signsgd, signum = ss.limit(problem, "signsgd", lr=0.01), ss.limit(problem, "signum", lr=0.01 * 0.18)
    gain = (signsgd.excess_risk / signum.excess_risk) / (signsgd.rate / signum.rate)
    slope, *noise = gaussian_constants(0.9)
    assert gain == pytest.approx(slope**2 / covariance(noise, 1.0) * math.pi**2 / 4, rel=0.05)
    assert risks["signum"] < risks["signsgd"]


def test_what_is_not_covered_says_so():
    gen = np.random.default_rng(0)
    data = ss.LeastSquares.from_data(gen.normal(size=(80, 5)), gen.normal(size=80))
    assert ss.predict(data, "signum", lr=0.1, horizon=1).provenance["method"] == "gaussian"
    for options in ({"method": "rows"}, {"method": "exact"}, {"finite_dim": True}):
        with pytest.raises(Unsupported):
            ss.predict(data, "signum", lr=0.1, horizon=1, **options)
    wide = ss.predict(ss.LeastSquares(np.ones(400)), "signum", lr=0.1, horizon=1, batch_size=4)
    assert wide.status == "inaccurate"
    assert "76 rows, 0.19 of dim" in wide.message


def test_few_coordinates_saturate():
    """Signs of an average of some 19 rows, of which 10 coordinates of 1,500 hold all the drift."""
    dim = 1500
    for count, status in ((10, "inaccurate"), (dim, "ok")):
        start = np.zeros(dim)
        start[:count] = 1.3 / math.sqrt(count)
        problem = ss.LeastSquares(np.ones(dim), noise=0.3, start=start, target=np.zeros(dim))
        found = ss.predict(problem, "signum", lr=0.05, horizon=1)
        assert found.status == status
        if count == 10:
            assert "few of the 1500 coordinates" in found.message
        times = torch.tensor([0.04, 0.12], dtype=torch.float64)  # the start, once the average is full
        runs = ss.simulate(problem, "signum", lr=0.05, horizon=0.12, num_runs=128, times=times)
        short = 1 - (runs.value[0] - runs.value[1]) / (found.at(times)[0] - found.at(times)[1])
        expected = -saturation(problem, Setting("signum"))
        assert float(short) == pytest.approx(expected, abs=0.05)
        assert expected > 0.15 if count == 10 else expected < 0.02


def test_the_best_schedule_is_better_than_a_constant_and_is_predicted_alike():
    problem = ss.LeastSquares(np.geomspace(0.1, 1, 400), noise=0.5)
    found = design_schedule(problem, "signum", horizon=6, betas=(0.8, 0.0))
    seen = ss.predict(problem, "signum", lr=found.schedule, horizon=6, betas=(0.8, 0.0)).final
    assert seen == pytest.approx(found.risk, rel=1e-3)
    assert seen < 0.95 * ss.best_lr(problem, "signum", horizon=6, betas=(0.8, 0.0)).curve.final
