"""Spectra: closed values, the Marchenko-Pastur law by quadrature, Haar rotation, the command-line text."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from signscope._core.errors import InvalidInput
from signscope.problems import spectra


def marchenko_pastur_density(x, ratio):
    low, high = (1 - ratio**0.5) ** 2, (1 + ratio**0.5) ** 2
    return np.sqrt(max((high - x) * (x - low), 0)) / (2 * np.pi * ratio * x)


@pytest.mark.parametrize("ratio", [0.01, 0.3, 0.9, 1.0])
def test_marchenko_pastur_quantiles_match_the_density(ratio):
    dim = 20
    eigvals = spectra.marchenko_pastur(dim, ratio=ratio).numpy()
    low = (1 - ratio**0.5) ** 2
    for j, x in enumerate(eigvals):
        # x = low + u^2 takes the inverse square root at 0 (ratio = 1) and the edge away
        mass, error = integrate.quad(
            lambda u: 2 * u * marchenko_pastur_density(low + u * u, ratio), 0, (x - low) ** 0.5
        )
        assert mass == pytest.approx((j + 0.5) / dim, abs=10 * error + 1e-12)


@pytest.mark.parametrize("ratio", [1e-6, 1e-3, 0.5, 1.0])
def test_marchenko_pastur_has_its_moments(ratio):
    eigvals = spectra.marchenko_pastur(20_000, ratio=ratio)
    assert float(eigvals.mean()) == pytest.approx(1, abs=1e-4)
    assert float(eigvals.var()) == pytest.approx(ratio, rel=1e-3)


def test_marchenko_pastur_is_the_spectrum_of_noise():
    rows = np.random.default_rng(0).standard_normal((2000, 1000))
    sample = np.linalg.eigvalsh(rows.T @ rows / 2000)
    assert np.abs(sample - spectra.marchenko_pastur(1000, ratio=0.5).numpy()).max() < 0.05  # edges move as d^(-2/3)
    assert np.abs(sample - spectra.marchenko_pastur(1000, ratio=0.45).numpy()).max() > 0.05


def test_closed_values():
    torch.testing.assert_close(
        spectra.log_spaced(3, low=0.01, high=1), torch.tensor([0.01, 0.1, 1], dtype=torch.float64)
    )
    assert spectra.log_spaced(500, low=1e-8, high=0.3)[[0, -1]].tolist() == [1e-8, 0.3]
    assert spectra.log_spaced(1, low=0.5, high=2).tolist() == [0.5]
    assert spectra.power_law(4, exponent=2).tolist() == [1, 1 / 4, 1 / 9, 1 / 16]
    assert spectra.two_level(10, low=0.1, high=2, share=0.3).tolist() == [0.1] * 7 + [2] * 3
    assert spectra.two_level(3, low=0.1, high=2, share=0.01).tolist() == [0.1, 0.1, 2]
    assert spectra.blocks(7, scales=[1, 10, 100]).tolist() == [1, 1, 1, 10, 10, 100, 100]
    assert spectra.constant(2, value=3).tolist() == [3, 3]


FORMS = {
    "log:0.01,1": lambda d: spectra.log_spaced(d, low=0.01, high=1),
    "power-law:1.2": lambda d: spectra.power_law(d, exponent=1.2),
    "marchenko-pastur:0.5": lambda d: spectra.marchenko_pastur(d, ratio=0.5),
    "two-level:0.1,2,0.3": lambda d: spectra.two_level(d, low=0.1, high=2, share=0.3),
    "blocks:1,10, 100": lambda d: spectra.blocks(d, scales=[1, 10, 100]),
    "constant:3": lambda d: spectra.constant(d, value=3),
}


@pytest.mark.parametrize("text", FORMS)
def test_text_means_the_function(text):
    eigvals = spectra.parse_spectrum(text, 50)
    assert torch.equal(eigvals, FORMS[text](50))
    assert eigvals.dtype == torch.float64
    assert (eigvals > 0).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("log", "has 0 parameters, but the form is log:LOW,HIGH"),
        ("log:1", "has 1 parameters"),
        ("log:1,2,3", "has 3 parameters"),
        ("log:a,1", "must be a number, got 'a'"),
        ("log:nan,1", "must be finite"),
        ("log:0,1", "`low` must be above 0"),
        ("log:2,1", "`low` must not exceed `high`"),
        ("logspace:1,2", "unknown name 'logspace'.*power-law:EXPONENT"),
        ("", "unknown name"),
        ("power-law:-1", "`exponent` must be 0 or more"),
        ("marchenko-pastur:1.5", "at most 1, got 1.5"),
        ("two-level:1,2,1", "`share`.*below 1"),
        ("blocks:", "between 1 and dim = 4 values, got 0"),
        ("blocks:1,2,3,4,5", "got 5"),
        ("blocks:1,-1", "`scales` must be above 0"),
        ("constant:0", "`value` must be above 0"),
    ],
)
def test_bad_text_gets_one_clear_line(text, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        spectra.parse_spectrum(text, 4)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dim", [0, -1, 2.5, "many"])
def test_dimension_must_be_a_count(dim):
    with pytest.raises(InvalidInput, match="`dim` must be a whole number"):
        spectra.parse_spectrum("log:0.01,1", dim)


@settings(deadline=None, max_examples=25)
@given(dim=st.integers(1, 30), seed=st.integers(0, 1000))
def test_rotation_keeps_the_spectrum_and_moves_the_basis(dim, seed):
    eigvals = spectra.log_spaced(dim, low=1e-3, high=1)
    cov = spectra.rotated(eigvals, seed)
    torch.testing.assert_close(cov.eigvals, eigvals, rtol=1e-9, atol=1e-14)
    assert torch.equal(cov.dense(), spectra.rotated(eigvals, seed).dense())
    assert dim == 1 or not torch.equal(cov.dense(), spectra.rotated(eigvals, seed + 1).dense())


def test_rotation_is_haar():
    """E K_11 = tr/d and Var K_11 = 2 (tr K^2 - tr^2/d) / (d (d + 2)) under the Haar measure."""
    eigvals = torch.tensor([1.0, 2, 6], dtype=torch.float64)
    first = torch.stack([spectra.rotated(eigvals, seed).diagonal() for seed in range(1500)])
    variance = 2 * (41 - 81 / 3) / 15
    stderr = (variance / 1500) ** 0.5
    assert ((first.mean(0) - 3).abs() < 4.5 * stderr).all()
    assert first.var(0).numpy() == pytest.approx(variance, rel=0.15)


def test_rescaled_changes_units_alone():
    cov = spectra.rotated([1.0, 2, 6], 0)
    units = [1.0, 10, 100]
    factors = torch.tensor(units, dtype=torch.float64)
    other = spectra.rescaled(cov, units)
    torch.testing.assert_close(other.dense(), cov.dense() * torch.outer(factors, factors))
    assert spectra.rescaled([1.0, 4.0], [2.0, 1.0]).diagonal().tolist() == [4, 4]
    with pytest.raises(InvalidInput, match="must all be above 0"):
        spectra.rescaled(cov, [1.0, 0, 1])
    with pytest.raises(InvalidInput, match=r"shape \(3,\), got \(2,\)"):
        spectra.rescaled(cov, [1.0, 2.0])


@pytest.mark.parametrize("eigvals", [[], [[1.0]], [1.0, -1.0]])
def test_rotated_refuses_what_is_no_spectrum(eigvals):
    with pytest.raises(InvalidInput, match="`eigvals`"):
        spectra.rotated(eigvals)
