"""Statistics, statuses and messages: divergence, interruption, infinite variance, bad input."""

import numpy as np
import pytest
import torch

import signscope as ss
from signscope._core.status import OPTIMIZERS
from signscope.simulation.lanes import GaussianLane

DIM = 4


def problem(noise=0.4) -> ss.LeastSquares:
    return ss.LeastSquares(np.array([1.0, 0.5, 2.0, 0.2]), start=[1.0, -1.0, 0.5, 0.2], noise=noise)


def simulated(optimizer="sgd", prob=None, **options) -> ss.Curve:
    chosen = {"lr": 0.5, "horizon": 20, "num_runs": 6, "seed": 1, **options}
    return ss.simulate(problem() if prob is None else prob, optimizer, **chosen)


class KeyAfter:
    """A meter during whose n-th update the user presses Ctrl-C."""

    def __init__(self, updates: int) -> None:
        self.left, self.closed, self.seen = updates, False, []

    def update(self, done: float, message: str = "") -> None:
        self.seen.append(done)
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_statistics_are_what_they_say(optimizer):
    curve = simulated(optimizer, num_runs=50)
    runs = curve.runs.numpy()
    assert curve.status == "ok"
    assert not curve.message
    np.testing.assert_allclose(curve.value, runs.mean(0), rtol=1e-12)
    np.testing.assert_allclose(curve.stderr, runs.std(0, ddof=1) / np.sqrt(50), rtol=1e-12, atol=1e-15)
    low, high = (band.numpy() for band in curve.band)
    np.testing.assert_allclose(low, np.quantile(runs, 0.1, axis=0), rtol=1e-12)
    np.testing.assert_allclose(high, np.quantile(runs, 0.9, axis=0), rtol=1e-12)
    assert ((runs >= low) & (runs <= high)).mean(0).min() == pytest.approx(0.8, abs=1e-12)
    np.testing.assert_allclose(runs[:, 0], float(problem().excess_risk(problem().start)), rtol=1e-14)


def test_curve_says_where_it_comes_from(tmp_path):
    curve = simulated("adam", betas=(0.8, 0.9), lr=0.3)
    assert (curve.num_runs, curve.optimizer, curve.lr, curve.step_size) == (6, "adam", 0.3, 0.3 / DIM)
    assert curve.time.tolist() == pytest.approx(np.linspace(0, 20, 201).tolist())
    assert curve.provenance["method"] == "simulation"
    assert curve.provenance["rows"] == "gaussian"
    assert curve.provenance["seed"] == 1
    assert curve.provenance["options"]["betas"] == [0.8, 0.9]
    assert curve.provenance["options"]["horizon"] == 20
    curve.save(tmp_path / "curve.npz")
    back = ss.Curve.load(tmp_path / "curve.npz")
    assert torch.equal(back.runs, curve.runs)
    assert back.provenance == curve.provenance


def test_recorded_steps_are_the_nearest_whole_ones():
    every = simulated(times=np.arange(81) / DIM)
    some = simulated(times=[0.0, 0.124, 0.125, 1.1, 20.0])
    assert torch.equal(some.runs, every.runs[:, [0, 0, 1, 4, 80]])
    assert some.time.tolist() == [0.0, 0.124, 0.125, 1.1, 20.0]


@pytest.mark.parametrize("kick", [1e30, np.inf, np.nan])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_run_that_diverges_does_not_spoil_the_others(kick, optimizer, monkeypatch):
    clean = simulated(optimizer, times=np.arange(81) / DIM)
    original = GaussianLane.fill

    def kicked(self, rows, noise):
        original(self, rows, noise)
        if 2 in self.runs:
            noise[2 - self.runs.start, 39] = kick  # the 40th update of run 2

    monkeypatch.setattr(GaussianLane, "fill", kicked)
    curve = simulated(optimizer, times=np.arange(81) / DIM)
    if optimizer == "adam" and kick == 1e30:  # Adam normalises it away
        assert curve.status == "ok"
        return
    assert curve.status == "diverged"
    assert "1 of 6 runs diverged" in curve.message
    others = [0, 1, 3, 4, 5]
    assert torch.equal(curve.runs[others], clean.runs[others])
    assert torch.equal(curve.runs[2, :40], clean.runs[2, :40])
    assert bool(curve.runs[2, 40:].isinf().all())
    torch.testing.assert_close(curve.value[40:], clean.runs[others][:, 40:].mean(0))
    torch.testing.assert_close(curve.value[:40], clean.runs[:, :40].mean(0))
    assert bool(curve.stderr.isfinite().all())
    assert bool((curve.band[1][40:] <= clean.runs[others][:, 40:].max(0).values).all())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sgd_beyond_its_limit_diverges_in_every_run(dtype):
    curve = simulated(lr=30.0, horizon=200, dtype=dtype)
    assert curve.status == "diverged"
    assert "6 of 6 runs diverged" in curve.message
    assert curve.final == np.inf
    assert float(curve.band[0][-1]) == float(curve.stderr[-1]) == np.inf
    assert bool(curve.value[:3].isfinite().all())
    assert not bool(curve.runs.isnan().any())
    worst = curve.runs[curve.runs.isfinite()].max() / curve.runs[0, 0]
    assert 1 < float(worst) <= 1e12


def test_a_start_at_the_target_is_not_a_divergence():
    still = ss.LeastSquares(np.ones(DIM), start=np.ones(DIM), target=np.ones(DIM), noise=0.4)
    curve = simulated("signsgd", still)
    assert curve.status == "ok"
    assert float(curve.value[0]) == 0 < curve.final


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_keeps_what_is_done(threads, monkeypatch):
    from signscope.simulation import settings

    monkeypatch.setattr(settings, "BLOCK_NUMBERS", 6 * DIM * 10)  # blocks of 10 steps
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    whole = simulated()
    meter = KeyAfter(3)
    curve = simulated(progress=meter)
    assert curve.status == "interrupted"
    assert "6 of 6 runs, 77 of 201 recorded times" in curve.message  # 30 of 80 steps: times 0 to 7.6
    assert meter.closed
    assert torch.equal(curve.runs, whole.runs[:, :77])
    assert torch.equal(curve.time, whole.time[:77])


def test_ctrl_c_before_anything_is_recorded_gives_an_empty_curve(monkeypatch):
    from signscope.simulation import settings

    monkeypatch.setattr(settings, "BLOCK_NUMBERS", 6 * DIM * 10)
    curve = simulated(times=[10, 20], progress=KeyAfter(1))
    assert curve.status == "interrupted"
    assert curve.runs.shape == (6, 0)
    assert np.isnan(curve.final)


def test_ctrl_c_in_a_later_group_keeps_the_finished_groups(monkeypatch):
    from signscope.simulation import settings

    monkeypatch.setattr(settings, "BUFFER_BYTES", 70_000)  # room for two or three runs at a time
    whole = simulated()
    meter = KeyAfter(10**9)
    simulated(progress=meter)
    assert meter.seen == sorted(meter.seen)
    assert meter.seen[-1] == 1
    curve = simulated(progress=KeyAfter(len(meter.seen) - 1))
    assert curve.status == "interrupted"
    assert 0 < curve.num_runs < 6
    assert torch.equal(curve.runs, whole.runs[: curve.num_runs])


def test_infinite_variance_is_simulated_and_said():
    heavy = problem(noise="cauchy:0,1")
    assert "infinite variance" in simulated("sgd", heavy).message
    for optimizer in ("signsgd", "adam"):
        curve = simulated(optimizer, heavy)
        assert (curve.status, curve.message) == ("ok", "")


def test_one_run_has_no_standard_error():
    curve = simulated(num_runs=1)
    assert bool(curve.stderr.isnan().all())
    assert torch.equal(curve.value, curve.runs[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adagrad"}, "`optimizer` must be one of 'sgd', 'signsgd', 'adam'"),
        ({"lr": 0}, "`lr` must be above 0"),
        ({"lr": float("nan")}, "`lr` must be finite"),
        ({"lr": lambda t: 1 - t}, "`lr` is -0.0"),
        ({"horizon": -1}, "`horizon` must be above 0"),
        ({"horizon": "long"}, "`horizon` must be a number"),
        ({"batch_size": 0}, "`batch_size` must be a whole number of at least 1"),
        ({"betas": (0.9, 1.0)}, "`betas\\[1\\]` must lie in"),
        ({"eps": -1e-8}, "`eps` must be 0 or more"),
        ({"num_runs": 2.5}, "`num_runs` must be a whole number"),
        ({"seed": -1}, "`seed` must be a whole number of at least 0"),
        ({"rows": "shuffled"}, "`rows` must be one of"),
        ({"rows": "replace"}, "the problem has no data"),
        ({"times": [0, 30]}, "`times` must lie between 0 and the horizon 20"),
        ({"times": [1, 1]}, "`times` must be a vector of increasing numbers"),
        ({"times": [0, float("nan")]}, "`times` must be a vector of increasing numbers"),
        ({"times": ["soon"]}, "`times` must be numbers"),
        ({"times": []}, "`times` must be a vector"),
        ({"dtype": "float16"}, "`dtype` must be one of 'float32', 'float64'"),
        ({"device": "abacus"}, "`device` 'abacus' cannot be used"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ss.InvalidInput, match=message):
        simulated(**options)


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), torch.float32, "float32", "torch.float32"])
def test_dtype_may_be_written_in_any_of_these_ways(dtype):
    assert simulated(dtype=dtype, horizon=1).provenance["options"]["dtype"] == "float32"
