"""Mixtures fitted to residuals."""

import numpy as np
import pytest
import torch

from noise.catalogue import t
from signscope._core.errors import InvalidInput
from signscope.noise import Gaussian, Mixture, as_noise, fit_mixture

TRUTH = Mixture((0.7, 0.3), (0, 1), (0.2, 0.6))


def sample(law, size=4000, seed=0):
    return law.sample(size, np.random.default_rng(seed))


def test_finds_the_components_it_was_drawn_from():
    fitted = fit_mixture(sample(TRUTH, 20_000))
    assert isinstance(fitted, Mixture)
    assert len(fitted.weights) == 2
    for name in ("weights", "centres", "stds"):
        assert np.allclose(getattr(fitted, name), getattr(TRUTH, name), atol=0.03)
    risk = torch.logspace(-2, 1, 9, dtype=torch.float64)
    assert (fitted.phi(risk) / TRUTH.phi(risk) - 1).abs().max() < 0.02
    assert (fitted.phi(risk) / Gaussian(TRUTH.variance**0.5).phi(risk) - 1).abs().max() > 0.1  # teeth


def test_gaussian_residuals_give_one_gaussian():
    fitted = fit_mixture(sample(Gaussian(0.5, 2.0)))
    assert isinstance(fitted, Gaussian)
    assert fitted.std == pytest.approx(0.5, abs=0.03)
    assert fitted.centre == pytest.approx(2, abs=0.04)


def test_heavy_tails_are_fitted_well():
    law = as_noise("student-t:4,0.5")
    fitted = fit_mixture(sample(law, 10_000))
    assert isinstance(fitted, Mixture)
    assert (fitted.phi(t(0.01, 0.1, 1)) / law.phi(t(0.01, 0.1, 1)) - 1).abs().max() < 0.03


def test_same_seed_same_law_and_units_do_not_matter():
    data = sample(TRUTH)
    assert fit_mixture(data, seed=3) == fit_mixture(data, seed=3)
    one, scaled = fit_mixture(data), fit_mixture(torch.from_numpy(1e6 * data))
    assert scaled.stds == pytest.approx([1e6 * s for s in one.stds], rel=1e-5)


def test_large_samples_are_thinned():
    fitted = fit_mixture(sample(TRUTH, 60_000), max_components=2)
    assert fitted.second_moment == pytest.approx(TRUTH.second_moment, rel=0.05)


@pytest.mark.parametrize("bad", [[], [1.0], [1.0, np.nan], [[1.0, 2.0]], [2.0, 2.0, 2.0]], ids=repr)
def test_bad_residuals(bad):
    with pytest.raises(InvalidInput, match="residuals"):
        fit_mixture(bad)


def test_one_component_is_the_normal_fit():
    data = sample(TRUTH)
    fitted = fit_mixture(data, max_components=1)
    assert fitted.mean == pytest.approx(data.mean())
    assert fitted.variance == pytest.approx(data.var(), rel=1e-4)
