"""Several processes measure what one process measures on the union of their data."""

import dataclasses
import warnings

import pytest
import torch
from torch import nn

from helpers import noise_rank
from helpers.processes import launch
from signscope.measure import ShortLoader, gradient_noise

pytestmark = pytest.mark.multiproc


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


def assert_all_equal_to_one_process(found, kind):
    wanted = alone("each" if kind == "each" else "batches")
    for reports in found:  # the same on every process
        assert reports[kind].num_processes == len(found)
        assert_equal_reports(reports[kind], wanted)


def test_two_processes_equal_one_on_the_union_of_the_data_and_stop_together():
    found = launch(noise_rank.reports, 2, ("plain", "fails"))
    assert_all_equal_to_one_process(found, "plain")
    first, second = (reports["fails"] for reports in found)
    assert first == f"gradient_noise: process 1 failed: {second}"
    assert second.startswith("gradient_noise: `loss_fn` failed on a batch of float64 (5, 6), int64 (4,): ValueError")


@pytest.mark.slow
@pytest.mark.parametrize(("size", "kinds"), [(2, ("each", "ddp")), (3, ("plain", "each"))])
def test_samples_wrapped_models_and_three_processes(size, kinds):
    found = launch(noise_rank.reports, size, kinds)
    for kind in kinds:
        assert_all_equal_to_one_process(found, kind)
