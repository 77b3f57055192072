"""The quick table of phi against the exact function."""

import math
import time

import numpy as np
import pytest
import torch

from noise.catalogue import BY_NAME, t
from signscope._core.errors import InvalidInput
from signscope.noise import Cauchy, Empirical, Rademacher, StudentT, as_noise, tabulate

NAMES = ["cauchy-shifted", "laplace", "mixture", "empirical", "gamma", "gamma-singular", "uniform-gap", "poisson"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 2, 30])
def test_table_is_exact_to_eight_digits(name, size):
    law = BY_NAME[name].law
    table = tabulate(law, size, risk_low=1e-4, risk_high=30)
    risk = torch.logspace(-4, math.log10(30), 301, dtype=torch.float64)
    exact = law.phi(risk, batch_size=size)
    visible = exact > 1e-250
    assert (table(risk) / exact - 1)[visible].abs().max() < 1e-8
    assert (table(risk) - exact)[~visible].abs().max() if (~visible).any() else 0 <= 1e-250
    assert table.error <= 1e-9


def test_derivatives_follow():
    law = Cauchy(1.0, 2.0)
    table = tabulate(law, 3, risk_low=1e-3, risk_high=10)
    risk = torch.logspace(-2.9, 0.9, 50, dtype=torch.float64).requires_grad_()
    (quick,) = torch.autograd.grad(table(risk).sum(), risk)
    (exact,) = torch.autograd.grad(law.phi(risk, batch_size=3).sum(), risk)
    assert ((quick - exact).abs() < 1e-7 * (exact.abs() + table(risk).detach() / risk.detach())).all()
    assert torch.autograd.gradcheck(table, t(0.002, 0.5, 5).requires_grad_())


def test_outside_its_range_the_exact_function_answers():
    law = StudentT(3, 0.5)
    table = tabulate(law, 2, risk_low=0.01, risk_high=1)
    risk = t(0, 1e-5, 0.1, 50).reshape(2, 2)
    torch.testing.assert_close(table(risk), law.phi(risk, batch_size=2), rtol=1e-8, atol=0)
    assert torch.autograd.gradcheck(table, t(1e-4, 0.1, 50).requires_grad_())


def test_noise_with_a_gap_may_underflow():
    for low, high in ((1e-8, 1), (1e-9, 1e-8)):
        table = tabulate(Rademacher(0.5), risk_low=low, risk_high=high)
        risk = torch.logspace(math.log10(low), math.log10(high), 200, dtype=torch.float64)
        exact = Rademacher(0.5).phi(risk)
        assert (table(risk) - exact).abs().max() <= 1e-8 * exact.max()
        assert not torch.isnan(table(risk)).any()


@pytest.mark.parametrize("size", [1, 4])
def test_fifty_thousand_residuals_build_quickly(size):
    sample = torch.from_numpy(np.random.default_rng(0).standard_t(3, 50_000))
    start = time.process_time()
    table = tabulate(Empirical(sample), size, risk_low=1e-4, risk_high=10)
    assert time.process_time() - start < 1.5 * torch.get_num_threads()
    law = Empirical(sample)
    assert float(table(t(0.1))) == pytest.approx(float(law.phi(t(0.1), batch_size=size)), rel=1e-8)


def test_laws_say_when_a_table_pays():
    assert as_noise("scipy:gamma,2").is_costly
    assert BY_NAME["empirical"].law.is_costly
    assert not BY_NAME["discrete"].law.is_costly
    assert not Cauchy(1.0).is_costly


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 1), (2, 1), (float("nan"), 1)])
def test_bad_ranges(low, high):
    with pytest.raises(InvalidInput, match="risk_low"):
        tabulate(Cauchy(1.0), risk_low=low, risk_high=high)
