"""Every law of the catalogue against sampling, its own pdf and cdf, and its text."""

import json
import math
import pickle

import numpy as np
import pytest
import torch

from noise.catalogue import ROWS, t
from signscope._core.errors import InvalidInput, Unsupported
from signscope.noise import Discrete, Empirical, Mixture, NoiseLaw, batch_factor, fit_mixture, parse_noise, tabulate

DRAWS = 200_000
rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
smooth_rows = pytest.mark.parametrize("row", [r for r in ROWS if r.has_pdf], ids=lambda row: row.name)


def draw(law: NoiseLaw, seed: int = 0) -> np.ndarray:
    return law.sample(DRAWS, np.random.default_rng(seed))


@rows
def test_m_is_what_sampling_sees(row):
    squares = torch.from_numpy(draw(row.law)) ** 2
    a = t(0.03, 0.3, 3, 30)
    seen = torch.exp(-a[:, None] * squares)
    stderr = seen.std(1) / DRAWS**0.5 + 1e-12
    assert ((seen.mean(1) - row.law.m(a)).abs() <= 4.5 * stderr).all()


@rows
def test_m_starts_at_one_and_falls(row):
    a = torch.cat([t(0), torch.logspace(-20, 20, 81, dtype=torch.float64)])
    m = row.law.m(a)
    assert m.shape == a.shape
    assert m[0] == pytest.approx(1, abs=1e-12)
    assert (m >= 0).all()
    assert (m.diff() <= 1e-14).all()
    assert row.law.m(a.reshape(41, 2, 1).expand(41, 2, 3)).shape == (41, 2, 3)
    assert row.law.m(t(2.0)[0]).ndim == 0


@rows
def test_cdf_is_what_sampling_sees(row):
    sample = draw(row.law, seed=1)
    x = torch.from_numpy(np.quantile(sample, [0.02, 0.3, 0.5, 0.8, 0.99])) + 1e-9
    share = (torch.from_numpy(sample) <= x[:, None]).double().mean(1)
    p = row.law.cdf(x)
    assert ((share - p).abs() <= 4.5 * (p * (1 - p) / DRAWS).sqrt() + 1e-6).all()


@smooth_rows
def test_pdf_is_the_slope_of_the_cdf(row):
    sample = draw(row.law, seed=2)
    x = torch.from_numpy(np.quantile(sample, [0.03, 0.2, 0.41, 0.77, 0.9]))
    step = 1e-5 * (1 + x.abs())
    slope = (row.law.cdf(x + step) - row.law.cdf(x - step)) / (2 * step)
    torch.testing.assert_close(row.law.pdf(x), slope, rtol=1e-5, atol=1e-8)


@rows
def test_facts(row):
    law = row.law
    assert law.mean == pytest.approx(row.mean, abs=1e-12, nan_ok=True)
    assert law.second_moment == pytest.approx(row.second_moment)
    variance = row.second_moment - row.mean**2 if math.isfinite(row.second_moment) else math.inf
    assert law.variance == pytest.approx(variance)
    assert law.density_at_zero == pytest.approx(row.density_at_zero, rel=1e-6)
    assert law.atom_at_zero == pytest.approx(row.atom)
    assert law.gap == pytest.approx(row.gap)
    for order in (0.5, 1, 1.5, 2, 3, 4):
        assert law.has_moment(order) == (order < row.moment_limit), order


@rows
def test_sample_shape_dtype_and_seed(row):
    first, second = (row.law.sample((3, 5), np.random.default_rng(3)) for _ in range(2))
    assert first.shape == (3, 5)
    assert first.dtype == np.float64
    assert (first == second).all()


@rows
def test_spec_reads_back(row):
    if not row.reads_back:
        return
    again = parse_noise(row.law.spec)
    if row.name != "t-by-quadrature":  # reads back as the closed form
        assert str(again) == again.spec == row.law.spec
    a = torch.logspace(-3, 3, 13, dtype=torch.float64)
    torch.testing.assert_close(again.m(a), row.law.m(a), rtol=1e-10, atol=0)


@rows
def test_describe_is_json(row):
    text = json.dumps(row.law.describe(), allow_nan=False)
    assert json.loads(text)["spec"] == row.law.spec


@pytest.mark.parametrize("row", [r for r in ROWS if not r.has_pdf], ids=lambda row: row.name)
def test_discrete_laws_refuse_a_density(row):
    with pytest.raises(Unsupported, match="cdf or sample"):
        row.law.pdf(t(0))


@rows
def test_gradients_of_m_and_phi(row):
    a = t(0.3, 4.0).requires_grad_()
    assert torch.autograd.gradcheck(row.law.m, a)
    risk = t(0.02, 0.5).requires_grad_()
    for size in (1, 2, 5):
        assert torch.autograd.gradcheck(lambda r, b=size: row.law.phi(r, batch_size=b), risk)
        if math.isfinite(row.second_moment):
            assert torch.autograd.gradcheck(lambda r, b=size: row.law.psi(r, batch_size=b), risk)


@rows
def test_second_derivatives_of_m(row):
    if row.name == "none":  # constant
        return
    assert torch.autograd.gradgradcheck(row.law.m, t(0.3, 4.0).requires_grad_())


@rows
def test_pickles_after_use(row):
    before = row.law.phi(t(0.1), batch_size=2)
    again = pickle.loads(pickle.dumps(row.law))
    assert torch.equal(again.phi(t(0.1), batch_size=2), before)


@rows
def test_numbers_and_arrays_are_taken_like_tensors(row):
    law, x = row.law, t(0.25, 1.0, 3.0)
    for name in ("m", "cdf", "phi", "psi", *(["pdf"] if row.has_pdf else [])):
        method = getattr(law, name)
        wanted = method(x)
        for given in (x.tolist(), x.numpy(), x.float(), x.clone().requires_grad_()):
            assert torch.equal(method(given).detach(), wanted), (name, given)
        assert torch.equal(method(1), method(t(1.0)[0])), name
        assert method(1.0).dtype == torch.float64, name
        with pytest.raises(InvalidInput, match="must be a number or an array of numbers, got 'far'"):
            method("far")
    assert law.m(a=0.25) == law.m(0.25)
    assert torch.equal(law.residual_density(x.tolist(), 0.5), law.residual_density(x, t(0.5)))


@rows
def test_risks_and_batch_sizes_out_of_range_are_refused(row):
    for method in (row.law.phi, row.law.psi):
        with pytest.raises(InvalidInput, match="`risk` must be 0 or more"):
            method(-1.0)
        with pytest.raises(InvalidInput, match="`batch_size` must be a whole number"):
            method(1.0, batch_size=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Discrete("ab"), "Discrete: `values` must be a number or an array of numbers, got 'ab'"),
        (lambda: Discrete([0.0, 1.0], ["a", "b"]), "Discrete: `weights` must be a number or an array of numbers"),
        (lambda: Empirical(None), "Empirical: `values` must be a number or an array of numbers, got None"),
        (lambda: Mixture(1.0, 0.0, 1.0), "Mixture: `weights` must be a list of numbers, got 1.0"),
        (lambda: batch_factor([1, 2]), "batch_factor: `batch_size` must be a whole number"),
        (lambda: fit_mixture("ab"), "fit_mixture: `residuals` must be a number or an array of numbers"),
        (lambda: parse_noise(1.0), "parse_noise reads text, got 1.0. Use as_noise"),
        (lambda: tabulate(1.0, risk_low=0.1, risk_high=1.0), "`law` must be a NoiseLaw, got 1.0. Use as_noise"),
        (lambda: tabulate(parse_noise("gaussian:1"), risk_low=0.1, risk_high=1.0)("far"), "`risk` must be a number"),
    ],
)
def test_what_is_no_number_is_named(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()
