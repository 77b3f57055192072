"""Bounds and symmetries of the noise-compression factor, as properties."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noise.catalogue import ROWS, t
from signscope.noise import (
    Discrete,
    Gaussian,
    Laplace,
    Mixture,
    NoiseLaw,
    Rademacher,
    StudentT,
    Uniform,
    as_noise,
)

positive = st.floats(0.05, 5)
risks = st.floats(1e-4, 50)
finite_laws = st.one_of(
    positive.map(Gaussian),
    st.builds(Gaussian, positive, st.floats(-3, 3)),
    positive.map(Rademacher),
    positive.map(Uniform),
    positive.map(Laplace),
    st.builds(StudentT, st.floats(2.1, 30), positive),
    st.builds(lambda w, m, s: Mixture((w, 1 - w), (0.0, m), (s, 2 * s)), st.floats(0.1, 0.9), positive, positive),
)


def psi(law: NoiseLaw, risk: float) -> float:
    return float(law.psi(t(risk)))


@settings(deadline=None, max_examples=150)
@given(finite_laws, risks)
def test_jensen_bounds_psi_from_below(law, risk):
    ratio = law.second_moment / (2 * risk)
    assert psi(law, risk) >= math.sqrt(1 + ratio) * math.exp(-ratio / 2) * (1 - 1e-10)


@settings(deadline=None, max_examples=50)
@given(positive, risks)
def test_jensen_is_attained_by_rademacher(size, risk):
    ratio = size**2 / (2 * risk)
    bound = math.sqrt(1 + ratio) * math.exp(-ratio / 2)
    assert psi(Rademacher(size), risk) == pytest.approx(bound, rel=1e-12)
    assert psi(Uniform(size), risk) > bound  # teeth: no other law attains it


@settings(deadline=None, max_examples=30)
@given(positive)
def test_log_concave_bounds_are_attained_by_uniform_and_laplace(scale):
    assert psi(Uniform(scale), 0) == pytest.approx(math.sqrt(math.pi / 6), rel=1e-12)
    assert psi(Laplace(scale), 0) == pytest.approx(math.sqrt(math.pi), rel=1e-12)


@pytest.mark.parametrize("spec", ["scipy:logistic", "scipy:semicircular", "scipy:gennorm,1.5", "scipy:beta,3,3,-0.5"])
def test_log_concave_laws_stay_within_the_bounds(spec):
    value = psi(as_noise(spec), 0)
    assert 0.7236 < value < 1.7725
    assert psi(StudentT(2.05), 0) > 1.7725  # teeth: heavier tails leave them


@settings(deadline=None, max_examples=30)
@given(positive, risks, st.sampled_from([1, 2, 9]))
def test_gaussian_noise_has_psi_one_up_to_the_batch_factor(std, risk, size):
    from signscope.noise import batch_factor

    value = float(Gaussian(std).psi(t(risk), batch_size=size))
    assert value == pytest.approx(batch_factor(size) / math.sqrt(size), rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(finite_laws, risks, st.floats(0.1, 10))
def test_units_cancel(law, risk, unit):
    """phi(c eps, c^2 R) = phi(eps, R) / c."""
    sample = np.random.default_rng(0)
    values = torch.from_numpy(law.sample(20, sample))
    one, scaled = Discrete(values), Discrete(unit * values)
    for size in (1, 3):
        left = float(scaled.phi(t(unit**2 * risk), batch_size=size))
        assert left == pytest.approx(float(one.phi(t(risk), batch_size=size)) / unit, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("spec", ["gaussian:0.7,0.4", "cauchy:1.5,0.6", "scipy:gamma,2", "scipy:gumbel_r,0.3"])
@pytest.mark.parametrize("size", [1, 3])
def test_only_the_modulus_matters(spec, size):
    law = as_noise(spec)
    sample = law.sample(400, np.random.default_rng(0))
    signs = np.random.default_rng(1).choice([-1.0, 1.0], 400)
    risk = t(0.01, 0.2, 3)
    plain, flipped = as_noise(sample), as_noise(sample * signs)
    torch.testing.assert_close(plain.phi(risk, batch_size=size), flipped.phi(risk, batch_size=size))
    if spec.startswith("gaussian"):
        mirrored = Mixture((0.5, 0.5), (0.7, -0.7), (0.4, 0.4))
        torch.testing.assert_close(law.phi(risk, batch_size=size), mirrored.phi(risk, batch_size=size))


@pytest.mark.parametrize("row", [r for r in ROWS if r.gap > 0.1], ids=lambda r: r.name)
def test_gap_makes_a_floor_that_batches_soften(row):
    risk = torch.logspace(-3, 0, 7, dtype=torch.float64)
    bound = 2 / (math.pi * torch.sqrt(2 * risk)) * torch.exp(-(row.gap**2) / (4 * risk))
    assert (row.law.phi(risk) <= bound * (1 + 1e-12)).all()
    assert float(row.law.phi(t(0))) == 0
    assert float(row.law.phi(t(0), batch_size=2)) > 0.1


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_larger_batches_speed_the_mean_sign_unless_tails_are_heavier_than_cauchy(row):
    values = torch.stack([row.law.phi(t(0.05, 0.5), batch_size=b) for b in (1, 2, 3, 8, 64)])
    if row.moment_limit >= 1:
        assert (values.diff(dim=0) > 0).all()
    else:  # the mean of a batch is then wider than one value
        assert (values[-1] < values[0]).all()


def test_large_batches_see_the_central_limit():
    """By B = 5000 bounded noise acts like Gaussian noise of the same variance."""
    size = 5000
    for law in (Uniform(0.8), Rademacher(0.5), Laplace(0.4)):
        gaussian = Gaussian(math.sqrt(law.second_moment))
        ratio = law.phi(t(0.1), batch_size=size) / gaussian.phi(t(0.1), batch_size=size)
        assert float(ratio) == pytest.approx(1, abs=3e-4)
    heavy = as_noise(scipy.stats.t(1.5))
    assert float(heavy.phi(t(0.1), batch_size=size)) < 20  # teeth: without a variance it does not
    assert float(Gaussian(1.0).phi(t(0.1), batch_size=size)) > 50


def test_infinite_variance_gives_infinite_psi():
    assert as_noise("cauchy:1").psi(t(0.1, 1)).tolist() == [math.inf, math.inf]
    assert np.isinf(as_noise("stable:1.5").variance)
