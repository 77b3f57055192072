"""Signal-to-noise ratios, phases, and the shape of the noise, against laws whose values are known."""

import math

import pytest
import torch

from signscope.measure import gradient_noise
from signscope.measure.snr import FAST, SLOW, count_ratios, phases_at, shares
from signscope.measure.tails import shape_of


def rows(n=64, k=4000, seed=0):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_phases_are_those_of_y_not_of_z():
    z = torch.tensor([0.0, 0.9, 1.2, 1.4, 1.6, 2.0, 2.2, 50.0], dtype=torch.float64)
    found = count_ratios(-z, torch.ones_like(z))
    assert found.phases.tolist() == [2, 2, 4]
    assert pytest.approx((1.41421356, 2.12132034)) == (SLOW, FAST)
    assert math.erf(FAST / math.sqrt(2)) == pytest.approx(0.96611, abs=1e-5)  # 0.8664 with the threshold on z
    assert int(found.bins.sum()) == 8


def test_coordinates_without_gradient_have_no_phase_and_without_noise_the_first():
    found = count_ratios(torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]))
    assert found.phases.tolist() == [1, 0, 1]
    assert math.isnan(shares(torch.zeros(3)).one)


def test_phases_at_another_batch_size(vector, rows_loss):
    gen = torch.Generator().manual_seed(0)
    signal = torch.logspace(-3, 1, 1500, dtype=torch.float64)
    model = vector(1500, dtype=torch.float64)

    def loader(size):
        return [signal + torch.randn(size, 1500, generator=gen, dtype=torch.float64) for _ in range(400)]

    small = gradient_noise(model, rows_loss, loader(1), num_batches=400, num_tracked=64)
    large = gradient_noise(model, rows_loss, loader(4), num_batches=400, num_tracked=64)
    assert small.phases_at(1) == pytest.approx(small.phases, abs=0.01)
    assert small.phases_at(4) == pytest.approx(large.phases, abs=0.02)
    assert abs(small.phases.three - large.phases.three) > 0.05  # teeth
    truth = [float((signal > FAST).double().mean()), float((signal < SLOW).double().mean())]
    assert (small.phases.one, small.phases.three) == pytest.approx(truth, abs=0.02)
    assert all(math.isnan(share) for share in phases_at([0] * 82, 2.0))


@pytest.mark.parametrize(
    ("kurtosis", "draw"),
    [
        (3.0, lambda x: x),
        (1.8, lambda x: torch.special.ndtr(x)),
        (1.0, lambda x: torch.sign(x)),
    ],
    ids=["gaussian", "uniform", "rademacher"],
)
def test_kurtosis_of_known_laws(kurtosis, draw):
    assert shape_of(draw(rows())).kurtosis == pytest.approx(kurtosis, abs=0.06)


def test_tail_exponents_are_told_apart():
    """Hill's estimate at the top percent: near the exponent for Pareto tails, large for a Gaussian."""
    uniform = torch.special.ndtr(rows())
    signs = torch.sign(rows(seed=1))
    for exponent in (1.5, 2.5):
        pareto = shape_of(signs * uniform ** (-1 / exponent))
        assert pareto.hill == pytest.approx(exponent, rel=0.12)
        assert 0 < pareto.hill_stderr < 0.1
    assert shape_of(rows()).hill > 5


def test_asymmetry_is_zero_for_symmetric_noise_and_right_for_the_exponential():
    above = math.exp(-1)  # P(X > EX) of an exponential
    skew = shape_of(-torch.log(torch.special.ndtr(rows(n=256, k=2000))))
    assert skew.asymmetry == pytest.approx(abs(2 * above - 1), abs=0.02)
    assert shape_of(rows(n=256, k=2000)).asymmetry == 0
    assert shape_of(torch.sign(rows(n=256, k=2000)) * rows(n=256, k=2000) ** 4).asymmetry == 0  # heavy, but symmetric


@pytest.mark.parametrize("k", [1, 3])
def test_few_coordinates_are_not_called_asymmetric_by_chance(k):
    """Their scatter says nothing; with enough gradients an exponential is still told."""
    chance = [shape_of(rows(k=k, seed=seed)).asymmetry for seed in range(60)]
    assert max(chance) == 0
    skew = shape_of(-torch.log(torch.special.ndtr(rows(n=4096, k=k))))
    assert skew.asymmetry == pytest.approx(1 - 2 / math.e, abs=0.06)


def test_scale_and_shift_leave_the_shape_alone():
    one, other = shape_of(rows(k=500)), shape_of(1e4 + 1e-3 * rows(k=500))
    assert other.kurtosis == pytest.approx(one.kurtosis, abs=1e-4)
    assert other.hill == pytest.approx(one.hill, rel=1e-4)
    assert other.asymmetry == pytest.approx(one.asymmetry, abs=1e-6)


def test_too_little_says_nan():
    assert math.isnan(shape_of(rows(n=8)).kurtosis)
    assert math.isnan(shape_of(torch.ones(64, 5, dtype=torch.float64)).kurtosis)
