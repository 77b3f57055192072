"""No result depends on how the work is cut, and the buffers stay bounded."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import signscope as ss
from signscope._core.random import stream
from signscope.simulation import engine, settings
from signscope.simulation.streams import Granules

DIM = 6


def problem(noise=0.4) -> ss.LeastSquares:
    rng = np.random.default_rng(3)
    factor = rng.standard_normal((DIM, 2 * DIM))
    return ss.LeastSquares(factor @ factor.T / DIM, start=np.linspace(-1, 1, DIM), noise=noise, seed=5)


def simulated(optimizer="signsgd", **options) -> torch.Tensor:
    chosen = {"lr": 0.5, "horizon": 50, "num_runs": 5, "seed": 11, **options}
    return ss.simulate(problem(), optimizer, **chosen).runs


@pytest.fixture
def cuts(monkeypatch):
    """Record the layouts in use, and let a test choose sizes."""
    seen = []
    original = engine.layout

    def recording(*args, **kwargs):
        seen.append(original(*args, **kwargs))
        return seen[-1]

    monkeypatch.setattr(engine, "layout", recording)
    return seen


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd", "adam"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_block_length_changes_nothing(optimizer, batch_size, cuts, monkeypatch):
    wanted = simulated(optimizer, batch_size=batch_size)
    for numbers in (1, 1000, 7000):
        monkeypatch.setattr(settings, "BLOCK_NUMBERS", numbers)
        found = simulated(optimizer, batch_size=batch_size)
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=0)
    assert len({cut.block_steps for cut in cuts}) == 4


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_and_lanes_change_nothing(threads, cuts, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    found = simulated(num_runs=12)
    monkeypatch.setattr(settings, "BUFFER_BYTES", 100_000)
    torch.testing.assert_close(simulated(num_runs=12), found, rtol=1e-9, atol=0)
    assert cuts[0].workers == (0 if threads == 1 else threads)
    assert cuts[0].group_runs == 12 > cuts[1].group_runs
    monkeypatch.undo()
    torch.testing.assert_close(simulated(num_runs=12), found, rtol=1e-9, atol=0)


def test_float32_blocks_change_nothing_either(cuts, monkeypatch):
    wanted = simulated(dtype="float32", horizon=2000, times=[100, 1000, 2000], batch_size=2)
    monkeypatch.setattr(settings, "BLOCK_NUMBERS", 1)
    found = simulated(dtype="float32", horizon=2000, times=[100, 1000, 2000], batch_size=2)
    assert cuts[0].block_steps > cuts[1].block_steps == cuts[1].granule > 1
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=0)
    other = simulated(dtype="float32", horizon=2000, times=[100, 1000, 2000], batch_size=2, seed=12)
    assert (other / wanted - 1).abs().max() > 1e-2  # teeth


@pytest.mark.parametrize("rows", ["gaussian", "replace", "once"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_is_the_same_whatever_the_number_of_runs(rows, dtype):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((400, DIM))
    data = ss.LeastSquares.from_data(features, features.sum(1) + rng.standard_normal(400))
    few, many = (
        ss.simulate(data, "signsgd", lr=0.3, horizon=20, num_runs=n, rows=rows, dtype=dtype).runs for n in (3, 40)
    )
    torch.testing.assert_close(few, many[:3], rtol=1e-9 if dtype == "float64" else 1e-4, atol=0)
    assert len(many[:, -1].unique()) == 40


def test_longer_horizons_and_other_times_continue_the_same_run():
    long = simulated(horizon=50, times=[10, 20, 50])
    short = simulated(horizon=20, times=[10, 20])
    torch.testing.assert_close(short, long[:, :2], rtol=1e-9, atol=0)


def test_granules_do_not_depend_on_how_they_are_taken():
    def draw(rng: np.random.Generator, size: int) -> np.ndarray:
        scale = rng.gamma(2.0, size=size)  # two numbers per sample, in blocks: the order within a call matters
        return rng.standard_normal(size) / scale

    def taken(sizes: list[int]) -> np.ndarray:
        source = Granules(draw, [stream(0, "noise", run) for run in range(2)], granule=10)
        return np.concatenate([source.take(size) for size in sizes], axis=1)

    whole = taken([60])
    for sizes in ([1] * 60, [7, 3, 25, 25], [10] * 6, [59, 1]):
        assert np.array_equal(taken(sizes), whole)
    direct = np.concatenate([draw(stream(0, "noise", 0), 60)])
    assert not np.array_equal(direct, whole[0])  # teeth: without pieces the samples would differ


def test_runs_of_torch_generators_have_distinct_seeds():
    from signscope.simulation.streams import normals

    first = torch.empty(500, 4, dtype=torch.float32)
    for run in range(500):
        normals(3, run, granule=1, dtype=torch.float32, device=torch.device("cpu"))(first[run : run + 1])
    seen = {tuple(row.tolist()) for row in first}
    assert len(seen) == 500


def test_global_state_is_left_alone():
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads())  # noqa: NPY002
    simulated()
    simulated(dtype="float32")
    with pytest.raises(ss.InvalidInput):
        simulated(lr=lambda t: -t)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert before[2] == torch.get_num_threads()


@pytest.mark.parametrize("optimizer", ["signsgd", pytest.param("adam", marks=pytest.mark.slow)])
def test_buffers_stay_below_the_stated_bound(optimizer):
    code = f"""
import resource, numpy as np, signscope as ss
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
problem = ss.LeastSquares(np.ones(20_000), noise=0.1)
options = dict(lr=1.0, times=[0, 1e-4])
ss.simulate(problem, "{optimizer}", horizon=1, num_runs=2, **options)
start = peak()
ss.simulate(problem, "{optimizer}", horizon=1, num_runs=400, **options)
print(peak() - start)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    used = float(done.stdout.split()[-1])  # MiB; one buffer of all 400 runs alone would be 61 per step
    assert used < settings.BUFFER_BYTES / 2**20
