"""Several processes measure what one process measures on the union of their data."""

import dataclasses
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers import noise_rank
from signscope.measure import NoiseReport, ShortLoader, gradient_noise

pytestmark = pytest.mark.multiproc
SCRIPT = Path(noise_rank.__file__)


def run(folder, size):
    """Run all kinds of measurement on ``size`` processes; nothing waits for more than two minutes."""
    surroundings = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    words = [[str(rank), str(size), str(folder / "store"), str(folder / str(rank))] for rank in range(size)]
    started = [
        subprocess.Popen([sys.executable, str(SCRIPT), *w], env=surroundings, stderr=subprocess.PIPE, text=True)
        for w in words
    ]
    try:
        for process in started:
            _, said = process.communicate(timeout=120)
            assert process.returncode == 0, said
    finally:
        for process in started:
            process.kill()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The files of two processes."""
    folder = tmp_path_factory.mktemp("pair")
    run(folder, 2)
    return folder


def alone(samples="batches"):
    with torch.random.fork_rng(devices=[]):
        model, batches = noise_rank.model_and_batches()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ShortLoader)
        return gradient_noise(model, nn.CrossEntropyLoss(), batches, num_batches=len(batches), samples=samples)


def assert_equal_reports(found, wanted):
    for one, other in zip(found.all_rows(), wanted.all_rows(), strict=True):
        for name, value in dataclasses.asdict(one).items():
            expected = dataclasses.asdict(other)[name]
            if isinstance(value, dict):
                assert value == pytest.approx(expected, rel=1e-9, nan_ok=True), name
            else:
                assert value == (pytest.approx(expected, rel=1e-9, nan_ok=True) if value != expected else value), name
    for name in ("num_batches", "num_refused", "first_refused", "num_gradients", "batch_size", "bytes_per_parameter"):
        assert getattr(found, name) == getattr(wanted, name), name
    assert found.loss == pytest.approx(wanted.loss, rel=1e-12)
    for one, other in zip(found.tracked, wanted.tracked, strict=True):
        assert one.sigma == pytest.approx(other.sigma, rel=1e-9)


def assert_all_equal_to_one_process(folder, size, kind):
    wanted = alone("each" if kind == "each" else "batches")
    for rank in range(size):  # the same on every process
        report = NoiseReport.load(folder / f"{rank}-{kind}.json")
        assert report.num_processes == size
        assert_equal_reports(report, wanted)


@pytest.mark.parametrize("kind", ["plain", "each", "ddp"])
def test_two_processes_equal_one_on_the_union_of_the_data(pair, kind):
    assert_all_equal_to_one_process(pair, 2, kind)


@pytest.mark.slow
def test_three_processes_equal_one(tmp_path):
    run(tmp_path, 3)
    for kind in ("plain", "each"):
        assert_all_equal_to_one_process(tmp_path, 3, kind)


def test_a_process_that_fails_stops_the_others(pair):
    first, second = ((pair / f"{rank}-fails.json").read_text(encoding="utf-8") for rank in range(2))
    assert first.startswith("gradient_noise: process 1 failed: ValueError")
    assert "batch" in second
