"""Homogenized SDEs: their mean is the risk equation, their spread falls like 1/d, their steps are accurate."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from signscope import InvalidInput, LeastSquares, Unsupported, predict
from signscope.limits import homogenized_driver as driver
from signscope.limits.coefficients import Setting
from signscope.limits.homogenized import homogenized_paths
from signscope.limits.homogenized_step import mode_sde, step
from signscope.schedules import Constant, Function, Linear, PiecewiseConstant, WarmupStableDecay

DIM, PATHS = 100, 400
TIMES = torch.linspace(0, 4, 9, dtype=torch.float64)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def covariance(dim: int) -> np.ndarray:
    """Log-spaced spectrum in a random basis, then unequal scales: D is far from a multiple of I."""
    basis, _ = np.linalg.qr(np.random.default_rng(7).standard_normal((dim, dim)))
    cov = (basis * np.logspace(-2, 0, dim)) @ basis.T
    scales = np.logspace(-0.3, 0.3, dim)
    cov = cov * np.outer(scales, scales)
    return cov * dim / np.trace(cov)


def problem(noise="gaussian:0.5", dim=DIM) -> LeastSquares:
    return LeastSquares(covariance(dim), noise=noise, seed=3)


def within(paths, expected, *, allowed) -> bool:
    """Mean within 4.5 standard errors and the allowance for O(dt) and O(1/d), relative to the prediction."""
    gap = (paths.value - expected).abs()
    return bool((gap <= 4.5 * paths.stderr + allowed * expected)[1:].all())


CASES = [
    ("sgd", "gaussian:0.5", 5, "distance"),
    ("signsgd", "gaussian:0.5", 5, "grad_norm"),
    ("signsgd", "cauchy:2,1", 1, "distance"),
    ("adam", "gaussian:0.5", 1, "excess_risk"),
]
SLOW = [
    ("sgd", "gaussian:0.5", 1, "excess_risk"),
    ("signsgd", "gaussian:0.5", 1, "excess_risk"),
    ("signsgd", "cauchy:2,1", 5, "excess_risk"),
    ("adam", "gaussian:0.5", 1, "grad_norm"),
    ("adam", "gaussian:0.5", 5, "excess_risk"),
    ("adam", "cauchy:2,1", 1, "excess_risk"),
]
CASES += [pytest.param(*case, marks=pytest.mark.slow) for case in SLOW]


@pytest.mark.parametrize(("optimizer", "noise", "batch_size", "quantity"), CASES)
def test_mean_path_is_the_risk_equation(optimizer, noise, batch_size, quantity):
    options = {"horizon": 4, "times": TIMES, "batch_size": batch_size, "quantity": quantity, "betas": (0.0, 0.8)}
    found = homogenized_paths(problem(noise), optimizer, lr=0.5, num_paths=PATHS, **options)
    expected = predict(problem(noise), optimizer, lr=0.5, **options)
    assert found.status == expected.status == "ok"
    assert within(found, expected.value, allowed=2 / DIM)
    assert float(found.value[0]) == pytest.approx(float(expected.value[0]), rel=1e-12)
    other = predict(problem(noise), optimizer, lr=0.6, **options)  # teeth: the curve of another rate is rejected
    assert not within(found, other.value, allowed=2 / DIM)


def test_any_quadratic_statistic():
    """(4.3) for a matrix Q that is neither K nor I: a few coordinates, with opposite signs."""
    form = np.zeros((DIM, DIM))
    form[:8, :8] = np.random.default_rng(0).standard_normal((8, 8))
    options = {"horizon": 4, "times": TIMES, "quantity": form + form.T + 20 * np.diag(np.arange(DIM) < 8)}
    found = homogenized_paths(problem(), "signsgd", lr=0.5, num_paths=PATHS, **options)
    expected = predict(problem(), "signsgd", lr=0.5, **options)
    assert found.quantity == "quadratic"
    assert within(found, expected.value, allowed=2 / DIM)


@pytest.mark.parametrize("wrong", ["preconditioned", "correlation"])
def test_other_diffusions_are_rejected(wrong):
    """D^-1/2 K D^-1/2 (similar to Kbar) or the correlations in place of Ksig: same drift, another curve."""
    law = problem("cauchy:2,1")
    sde = mode_sde(law, Setting("signsgd"), Constant(2.0))
    expected = predict(law, "signsgd", lr=2.0, horizon=12, times=TIMES * 3)
    root, cov = law.cov.diagonal().sqrt(), law.cov.dense()
    power = {"preconditioned": -0.5, "correlation": -1.0}[wrong]
    noise = math.pi / 2 * cov * torch.outer(root, root) ** (power + 0.5)
    swapped = replace(sde, factors=(torch.linalg.cholesky(sde.eigvecs.T @ noise @ sde.eigvecs),))
    legs = driver.legs_between(expected.time.tolist(), [], [0.25] * len(TIMES))
    fixed = {"first_recorded": True, "num_times": len(TIMES), "num_paths": PATHS, "seed": 1, "meter": Silent()}
    for equation, right in ((sde, True), (swapped, False)):
        paths = driver.run_paths(equation, legs, read=equation.risk, **fixed).values
        gap = (paths.mean(0) - expected.value).abs()[1:]
        allowed = 4.5 * paths.std(0)[1:] / PATHS**0.5 + 2 / DIM * expected.value[1:]
        assert bool((gap <= allowed).all()) is right


class Silent:
    def update(self, done, message=""):
        pass

    def close(self):
        pass


@pytest.mark.parametrize("optimizer", ["sgd", pytest.param("signsgd", marks=pytest.mark.slow)])
def test_variance_of_the_risk_falls_like_one_over_dim(optimizer):
    """Relative variance at a fixed time for d = 25 ... 200, 600 paths each: slope -1, with error 0.04."""
    dims, spread = [25, 50, 100, 200], []
    for dim in dims:
        start = np.sqrt(2 / dim) * np.ones(dim)
        law = LeastSquares(covariance(dim), start=start, target=np.zeros(dim), noise=0.5)
        found = homogenized_paths(law, optimizer, lr=0.5, horizon=2, times=[2.0], num_paths=600, dt=0.1)
        spread.append(float((found.runs[:, 0] / found.value[0]).var()))
    slope = np.polyfit(np.log(dims), np.log(spread), 1)[0]
    assert slope == pytest.approx(-1, abs=0.2)


def coupled_errors(optimizer: str, advance) -> list[float]:
    """Relative change of E R when every 16 or 32 of 128 steps are made as one, on the same Brownian paths."""
    dim, num_paths, fine, length = 50, 1000, 128, 4 / 128
    sde = mode_sde(problem(0.3, dim), Setting(optimizer), Constant(0.5))
    gen = torch.Generator().manual_seed(0)
    normals = torch.randn(num_paths, fine, 1, dim, dtype=torch.float64, generator=gen)
    ends = []
    for merged in (1, 8, 16):
        modes = sde.start.repeat(num_paths, 1)
        coarse = normals.view(num_paths, fine // merged, merged, 1, dim).sum(2) / merged**0.5
        shocks = sde.shocks(coarse)
        for k in range(fine // merged):
            modes = advance(sde, modes, k * length * merged, length * merged, shocks[:, k])
        ends.append(float(sde.risk(modes).mean()))
    return [end / ends[0] - 1 for end in ends[1:]]


def euler_maruyama(sde, modes, time, length, shocks):
    alpha, force = sde.scalars(time, sde.risk(modes), None)
    drift = 0.5 * length * alpha[:, None] * sde.eigvals * modes
    return modes - drift + (2 * length * force).sqrt() * shocks[:, 0]


@pytest.mark.parametrize("optimizer", ["signsgd", pytest.param("sgd", marks=pytest.mark.slow)])
def test_weak_error_is_far_below_that_of_euler_maruyama(optimizer):
    ours = coupled_errors(optimizer, lambda sde, c, t, h, xi: step(sde, c, None, t, h, xi)[0])
    theirs = coupled_errors(optimizer, euler_maruyama)
    assert abs(ours[0]) < 0.01
    assert abs(ours[0]) < 0.15 * abs(theirs[0])
    assert abs(ours[1]) < 0.15 * abs(theirs[1])
    assert theirs[1] / theirs[0] > 1.7  # first order: the comparison is resolved


def test_moments_of_a_step_are_exact_however_stiff():
    """SGD at so small a rate that P is that of the noise: one step of 1e-3 to 1,000 relaxation times."""
    law = LeastSquares(np.logspace(-3, 3, 4), start=np.ones(4) * 1e-3, target=np.zeros(4), noise=1.0)
    sde, lr, length = mode_sde(law, Setting("sgd"), Constant(1e-6)), 1e-6, 1e6
    gen = torch.Generator().manual_seed(1)
    normals = torch.randn(20_000, 1, 4, dtype=torch.float64, generator=gen)
    moved, _ = step(sde, sde.start.repeat(20_000, 1), None, 0.0, length, sde.shocks(normals))
    decay = torch.exp(-lr * length * sde.eigvals)
    variance = lr / (2 * 4) * 0.5 * (1 - decay**2) * 2  # (eta^2 2P / d) lambda / (2 eta lambda), 2P = 1
    torch.testing.assert_close(moved.var(0), variance, rtol=4.5 * math.sqrt(2 / 20_000), atol=0)
    gap = (moved.mean(0) - 1e-3 * decay).abs()
    assert bool((gap <= 4.5 * (variance / 20_000).sqrt()).all())


@pytest.mark.parametrize("diagonal", [False, True])
def test_diffusion_of_one_update_is_the_covariance_of_signs(diagonal):
    """Shocks of one step: (2/pi) Ksig less the square of the mean sign, from 40,000 of them and from their formula."""
    law = problem(0.1, 6)
    if diagonal:
        law = LeastSquares(law.cov.diagonal(), start=law.start, target=law.target, noise=0.1)
    sde = mode_sde(law, Setting("signsgd"), Constant(1.0), diffusion="update")
    gen = torch.Generator().manual_seed(0)
    normals = torch.randn(40_000, 1, 6, dtype=torch.float64, generator=gen)
    length = 1e-9  # so short that a step is its noise
    start = sde.start.repeat(40_000, 1)
    moved, _ = step(sde, start, None, 0.0, length, sde.shocks(normals))
    v = (sde.displacement(moved) - sde.displacement(start)) * math.sqrt(6 / length)
    found = v.T @ v / 40_000
    cov, root = law.cov.dense(), law.cov.diagonal().sqrt()
    signs = 2 / math.pi * torch.arcsin((cov / torch.outer(root, root)).clamp(-1, 1)).fill_diagonal_(math.pi / 2)
    mean = float(law.noise.phi(sde.risk(sde.start[None]))) * (cov @ law.displacement) / root
    torch.testing.assert_close(found, signs - torch.outer(mean, mean), rtol=0, atol=4.5 * 1.4 / 40_000**0.5)
    assert float(torch.outer(mean, mean).abs().max()) > 0.1  # teeth: what is taken away is seen


def test_adam_tends_to_its_equation_without_lag():
    """The published form (3.3): one noise D^-1 K D^-1, drift Kbar / sqrt(2P), at beta2 -> 1 within the lag's reach."""
    sde = mode_sde(problem(), Setting("adam", 1, (0.0, 0.995)), Constant(0.5))
    risk = torch.tensor([0.3], dtype=torch.float64)
    alpha, force = sde.scalars(1.0, risk, 2 * risk + 0.25)
    assert float(alpha) == pytest.approx(2 * 0.5 / math.sqrt(0.85), rel=0.02)
    assert float(force[0, 0]) == pytest.approx(0.25 / (2 * DIM), rel=0.03)
    assert abs(float(force[0, 1])) < 0.02 * float(force[0, 0])
    whitened = covariance(DIM) / np.outer(*[np.sqrt(np.diag(covariance(DIM)))] * 2)
    back = sde.eigvecs / sde.root[:, None]
    noise = back @ torch.diag(sde.factors[0] ** 2) @ back.T  # in the coordinates of v
    np.testing.assert_allclose(noise, whitened, atol=1e-10)


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd", "adam"])
def test_diagonal_and_dense_routes_have_the_same_law(optimizer):
    variances = np.logspace(-1, 0.3, 20)
    nearly = np.diag(variances)
    nearly[0, 1] = nearly[1, 0] = 1e-9
    options = {"lr": 0.4, "horizon": 2, "times": [2.0], "num_paths": 1000, "betas": (0.0, 0.5), "dt": 0.2}
    one, two = (
        homogenized_paths(LeastSquares(cov, noise=0.3, seed=1), optimizer, **options) for cov in (variances, nearly)
    )
    assert abs(one.final - two.final) <= 4.5 * float((one.stderr**2 + two.stderr**2).sqrt())
    assert float(one.stderr / two.stderr) == pytest.approx(1, abs=4.5 / 1000**0.5)


def test_paths_do_not_depend_on_blocks_or_on_one_another(monkeypatch):
    whole = homogenized_paths(problem(dim=20), "signsgd", lr=0.5, horizon=2, num_paths=7, seed=4)
    monkeypatch.setattr(driver.run_paths, "__kwdefaults__", {"block_bytes": 15_000})
    cut = homogenized_paths(problem(dim=20), "signsgd", lr=0.5, horizon=2, num_paths=7, seed=4)
    torch.testing.assert_close(cut.runs, whole.runs, rtol=1e-12, atol=0)
    fewer = homogenized_paths(problem(dim=20), "signsgd", lr=0.5, horizon=2, num_paths=3, seed=4)
    torch.testing.assert_close(fewer.runs, whole.runs[:3], rtol=1e-12, atol=0)
    other = homogenized_paths(problem(dim=20), "signsgd", lr=0.5, horizon=2, num_paths=3, seed=5)
    assert not torch.allclose(other.runs, fewer.runs)


def test_blocks_stay_within_their_memory():
    seen = []
    sde = mode_sde(problem(dim=20), Setting("signsgd"), Constant(0.5))
    original = np.empty
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver.np, "empty", lambda shape: seen.append(8 * math.prod(shape)) or original(shape))
        driver.run_paths(
            sde,
            [driver.Leg(0.0, 0.01, 300, 0)],
            first_recorded=False,
            num_times=1,
            num_paths=9,
            seed=0,
            read=sde.risk,
            meter=Silent(),
            block_bytes=50_000,
        )
    assert max(seen) <= 25_000
    assert len(seen) > 9


def test_schedules_batches_and_steps_move_the_path():
    base = {"lr": 0.5, "horizon": 2.0, "num_paths": 3, "times": [1.0, 2.0]}
    plain = homogenized_paths(problem(dim=20), "signsgd", **base)
    for change in ({"lr": Linear(0.5, 2.0)}, {"batch_size": 2}, {"dt": 0.3}, {"seed": 1}):
        assert homogenized_paths(problem(dim=20), "signsgd", **{**base, **change}).final != plain.final
    adam = [homogenized_paths(problem(dim=20), "adam", betas=b, **base).final for b in ((0.0, 0.3), (0.0, 0.5))]
    assert adam[0] != adam[1]


def test_legs_end_on_times_and_kinks():
    legs = driver.legs_between([0.0, 1.0, 2.5], [0.4, 2.0, 9.0], [0.3, 0.3, 1.0])
    ends = [round(leg.start + leg.count * leg.length, 12) for leg in legs]
    assert ends == [0.4, 1.0, 2.0, 2.5]
    assert [leg.record for leg in legs] == [-1, 1, -1, 2]
    assert [leg.count for leg in legs] == [2, 2, 1, 1]
    kinked = PiecewiseConstant((0.0, 0.5), (0.6, 0.1))
    found = homogenized_paths(problem(), "sgd", lr=kinked, horizon=1, times=[1.0], num_paths=PATHS)
    expected = predict(problem(), "sgd", lr=kinked, horizon=1, times=[1.0])
    assert abs(found.final - expected.final) <= 4.5 * float(found.stderr[0]) + 2 / DIM * expected.final


def test_what_predict_rules_out_is_ruled_out_here():
    cauchy = problem("cauchy:2,1", 20)
    found = homogenized_paths(cauchy, "sgd", lr=0.1, horizon=1)
    assert (found.status, found.message) == ("undefined", predict(cauchy, "sgd", lr=0.1, horizon=1).message)
    assert bool(found.value.isnan().all())
    assert len(found.runs) == 0
    unstable = homogenized_paths(problem(dim=20), "sgd", lr=2.2, horizon=1, num_paths=4)
    assert unstable.status == "unstable"
    blown = homogenized_paths(problem(dim=20), "sgd", lr=60.0, horizon=4, times=[0.0, 4.0], num_paths=4, dt=0.04)
    assert blown.status == "unstable"
    assert "left the finite range" in blown.message
    start = np.ones(5)
    for noise in ("rademacher:0.5", 0.3):
        at_optimum = LeastSquares(np.logspace(-1, 0, 5), start=start, target=start, noise=noise)
        for optimizer in ("sgd", "signsgd"):
            curve = homogenized_paths(at_optimum, optimizer, lr=0.2, horizon=2, times=[2.0], num_paths=4)
            assert bool(curve.runs.isfinite().all())


class Stopper:
    """A meter that presses Ctrl-C once a share is done."""

    def __init__(self, at):
        self.at, self.seen = at, []

    def update(self, done, message=""):
        self.seen.append(done)
        if done > self.at:
            raise KeyboardInterrupt

    def close(self):
        pass


def test_the_keyboard_keeps_what_is_done(monkeypatch):
    monkeypatch.setattr(driver.run_paths, "__kwdefaults__", {"block_bytes": 15_000})
    options = {"lr": 0.5, "horizon": 2, "seed": 4, "times": np.linspace(0, 2, 41)}
    whole = homogenized_paths(problem(dim=20), "signsgd", num_paths=40, **options)
    late = homogenized_paths(problem(dim=20), "signsgd", num_paths=40, progress=Stopper(0.8), **options)
    assert late.status == "interrupted"
    assert 0 < late.num_runs < 40
    torch.testing.assert_close(late.runs, whole.runs[: late.num_runs], rtol=1e-12, atol=0)
    early = homogenized_paths(problem(dim=20), "signsgd", num_paths=40, progress=Stopper(0.05), **options)
    assert 0 < len(early.time) < 41
    assert "Stopped by the keyboard" in early.message
    meter = Stopper(2)
    homogenized_paths(problem(dim=20), "signsgd", num_paths=40, progress=meter, **options)
    assert meter.seen == sorted(meter.seen)
    assert meter.seen[-1] == pytest.approx(1)


def test_bad_arguments_get_a_clear_answer():
    cases = [
        ({"num_paths": 0}, "`num_paths` must be a whole number"),
        ({"dt": 0}, r"`dt` must be above 0 \(steps/dim\)"),
        ({"seed": -1}, "`seed` must be"),
        ({"lr": -1}, "`lr` must be above 0"),
        ({"quantity": "loss"}, "`quantity` must be one of"),
        ({"diffusion": "none"}, "`diffusion` must be one of"),
    ]
    for change, message in cases:
        with pytest.raises(InvalidInput, match=message):
            homogenized_paths(problem(dim=20), "signsgd", **{"lr": 0.1, "horizon": 1.0, **change})
    with pytest.raises(InvalidInput, match="`optimizer` must be one of"):
        homogenized_paths(problem(dim=20), "lion", lr=0.1, horizon=1.0)
    for optimizer, change in (("sgd", {}), ("signsgd", {"batch_size": 2}), ("adam", {})):
        with pytest.raises(Unsupported, match="'update' is known for signsgd at batch_size 1"):
            homogenized_paths(problem(dim=20), optimizer, lr=0.1, horizon=1.0, diffusion="update", **change)
    large = LeastSquares(np.ones(3), noise=0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("signscope.limits.homogenized_step._LARGEST", 3)
        assert homogenized_paths(large, "sgd", lr=0.1, horizon=1, num_paths=2).status == "ok"
        with pytest.raises(Unsupported, match="dim = 20 is beyond 3"):
            homogenized_paths(problem(dim=20), "sgd", lr=0.1, horizon=1, num_paths=2)


@pytest.mark.parametrize(
    "schedule",
    [
        WarmupStableDecay(0.7, 4.0, warmup=1, decay=1),
        PiecewiseConstant((0.0, 1.0, 2.0), (1e-4, 0.9, 0.05)),
        Function(lambda t: 0.001 + 2 * torch.exp(-(((t - 2) / 0.3) ** 2))),
    ],
    ids=["warm-up", "jumps", "peak"],
)
def test_steps_follow_the_rate_between_the_recorded_times(schedule):
    """One recorded time: a leg at rate a takes at least its length over a quarter of 1 / (a lambda_max)."""
    law = problem(dim=20)
    found = homogenized_paths(law, "signsgd", lr=schedule, horizon=4, times=[4.0], num_paths=2)
    curve = predict(law, "signsgd", lr=schedule, horizon=4)
    top = float(mode_sde(law, Setting("signsgd"), Constant(1.0)).eigvals[-1])
    speed = schedule(curve.time) * law.noise.phi(curve.value) * top
    needed = float(torch.trapezoid(speed, curve.time)) / 0.25
    assert needed <= 1.1 * found.provenance["options"]["num_steps"]


@pytest.mark.parametrize("cov", [np.ones((5, 5)), [[1, 1, 0], [1, 1, 0], [0, 0, 2.0]]], ids=["one row", "a copy"])
def test_signs_that_are_copies_of_one_another(cov):
    """Ksig is singular: no noise in a direction that no mean step has either."""
    law = LeastSquares(np.array(cov), noise=0.3, seed=1)
    options = {"lr": 0.1, "horizon": 2, "times": [2.0], "num_paths": 400}
    whole, less = (homogenized_paths(law, "signsgd", diffusion=d, **options) for d in ("homogenized", "update"))
    assert whole.status == less.status == "ok"
    assert float(less.runs.std()) < 0.9 * float(whole.runs.std())


def test_nothing_moves_an_adam_that_rests_at_the_optimum():
    law = LeastSquares(np.ones(5), start=np.ones(5), target=np.ones(5))
    found = homogenized_paths(law, "adam", lr=Constant(0.0), horizon=1, num_paths=2)
    assert found.value.tolist() == [0.0] * 201
    assert homogenized_paths(law, "sgd", lr=0.1, horizon=1, times=[0.0], num_paths=2).value.tolist() == [0.0]
