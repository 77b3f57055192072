"""Tails of signSGD and of its SDE: the printed ratios, the exact lattice law, and which of the two is lighter."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import erf, erfc

from signscope._core.errors import InvalidInput
from signscope.sdes.moments import chain_stationary, gaussian_up
from signscope.sdes.stationary_laws import sign_variance
from signscope.sdes.tails import quasi_potential, tail_probability
from signscope.simulation.descent import descend

PRINTED = {
    0.01: ((2, 0.99), (3, 0.95), (4, 0.85), (5, 0.66), (6, 0.41)),
    0.1: ((2.2, 0.86), (2.9, 0.56), (4.1, 0.08)),
}


@pytest.mark.parametrize("lr", PRINTED)
def test_printed_ratios(lr):
    deviations, wanted = (torch.tensor(v, dtype=torch.float64) for v in zip(*PRINTED[lr], strict=True))
    cuts = deviations * math.sqrt(sign_variance(1, 1, lr=lr))
    cuts = (torch.floor(cuts / lr) + 0.5) * lr
    ratio = tail_probability(cuts, 1, 1, lr=lr, law="sde") / tail_probability(cuts, 1, 1, lr=lr)
    torch.testing.assert_close(ratio, wanted, rtol=0, atol=0.03 if lr < 0.1 else 0.05)  # printed: one lattice


def test_costs_against_adaptive_quadrature():
    def chain(y):
        return 0.5 * math.log((1 + erf(y / math.sqrt(2))) / erfc(y / math.sqrt(2)))

    def sde(y):
        return erf(y / math.sqrt(2)) / (erfc(y / math.sqrt(2)) * (2 - erfc(y / math.sqrt(2))))

    for place in (0.1, 1.0, 3.0, 6.0):
        for law, cost in (("optimizer", chain), ("sde", sde)):
            found = float(quasi_potential(place / 2, 2.0, 1.0, lr=0.1, law=law))
            assert found == pytest.approx(2 / 0.1 / 2 * quad(cost, 0, place, epsrel=1e-12)[0], rel=1e-9)


def test_the_lattice_law_falls_as_its_potential_says():
    """-lr log pi tends to lr times the quasi-potential as lr falls; that of the SDE is another one."""
    gaps = {}
    for lr in (0.02, 0.01):
        x, p = chain_stationary(gaussian_up(1, 1), lr=lr, reach=3.0)
        away = int((x - 2.0).abs().argmin())
        drop = -lr * math.log(float(p[away] / p.max()))
        for law in ("optimizer", "sde"):
            gaps[law, lr] = abs(drop - lr * float(quasi_potential(float(x[away]), 1, 1, lr=lr, law=law)))
    assert gaps["optimizer", 0.01] < 0.6 * gaps["optimizer", 0.02]
    assert gaps["optimizer", 0.01] < 0.02
    assert gaps["sde", 0.01] > 10 * gaps["optimizer", 0.01], "teeth"


@settings(deadline=None, max_examples=30)
@given(z=st.floats(0.01, 8.0), h=st.floats(0.1, 10), std=st.floats(0.1, 10), lr=st.floats(1e-3, 0.5))
def test_excursions_cost_the_sde_more(z, h, std, lr):
    own, model = (float(quasi_potential(z * std / h, h, std, lr=lr, law=law)) for law in ("optimizer", "sde"))
    assert 0 < own < model * (1 + 1e-12)
    assert own == pytest.approx(float(quasi_potential(-z, 1, 1, lr=lr * h / std)), rel=1e-9)  # r and z are all
    if z < 0.1:
        assert model == pytest.approx(own, rel=z * z)


def test_runs_have_the_tail_of_the_lattice():
    """40,000 runs that start where the law says: counts of excursions at three deviations, binomial error."""
    lr, num_paths = 0.1, 40_000
    cut = 3 * math.sqrt(sign_variance(1, 1, lr=lr))
    start = {"optimizer": "signsgd", "noise": 1.0, "lr": lr, "num_steps": 101, "num_paths": num_paths}
    found = descend_counts(cut, **start)
    chance = float(tail_probability(cut, 1, 1, lr=lr))
    error = 4.5 * math.sqrt(chance / (2 * num_paths))
    assert abs(found - chance) < error + 0.1 * chance  # one lattice in place of all
    assert abs(found - float(tail_probability(cut, 1, 1, lr=lr, law="sde"))) > error + 0.1 * chance, "teeth"


def descend_counts(cut, **same):
    from signscope.problems.landscapes import Quadratic

    beyond = {"beyond": lambda x: (x[:, 0].abs() > cut).double()}
    runs = descend(Quadratic([1.0]), [0.025], times=[100, 101], observe=beyond, **same)
    return float(runs.observed["beyond"].value.mean())


def test_bad_input_and_ends():
    assert float(tail_probability(0.0, 1, 1, lr=0.1)) == pytest.approx(1)
    assert tail_probability(torch.zeros(0), 1, 1, lr=0.1).shape == (0,)
    assert float(tail_probability(1e3, 1, 1, lr=0.1)) == 0
    assert math.isinf(float(quasi_potential(30.0, 1, 1, lr=0.1)))
    with pytest.raises(InvalidInput, match="`law`"):
        tail_probability(1.0, 1, 1, lr=0.1, law="ode")
    with pytest.raises(InvalidInput, match="`distances`"):
        tail_probability(-1.0, 1, 1, lr=0.1)
    with pytest.raises(InvalidInput, match="`lr`"):
        quasi_potential(1.0, 1, 1, lr=0.0)


def lattice_tail(cut, lr):
    """P(|x| > cut), h = sigma = 1, in 40 digits: Gauss-Legendre over where the lattice lies, from the cut on."""
    nodes, weights = np.polynomial.legendre.leggauss(24 if lr == 1 else 8)
    total, reach = mpmath.mpf(0), 2 * cut + 8 * math.sqrt(lr) + 3 * lr
    for node, weight in zip(0.5 * (nodes + 1), 0.5 * weights, strict=True):
        first = -math.ceil((reach + cut) / lr)
        x = [cut + lr * (k + node) for k in range(first, -first)]
        law = [mpmath.mpf(1)]
        for here, there in itertools.pairwise(x):
            law.append(law[-1] * mpmath.ncdf(-here) / mpmath.ncdf(there))
        total += 2 * weight * sum(p for place, p in zip(x, law, strict=True) if place > cut) / sum(law)
    return float(total)


@pytest.mark.parametrize(("lr", "cut"), [(1.0, 2.0), (1.0, 9.0), (0.1, 0.77), (0.1, 3.0)])
def test_rare_excursions_have_their_digits(lr, cut):
    """Far out no step is lost to rounding, and it does not matter where between two lattices the cut lies."""
    with mpmath.workdps(40):
        wanted = lattice_tail(cut, lr)
    assert float(tail_probability(cut, 1, 1, lr=lr)) == pytest.approx(wanted, rel=3e-3 if lr == 1 else 1e-4, abs=0)


@pytest.mark.parametrize("cut", [0.3, 0.31, 1.0])
def test_tail_of_the_sde_against_adaptive_quadrature(cut):
    def density(x):
        q = erfc(x / math.sqrt(2))
        return math.exp(-float(quasi_potential(x, 1, 1, lr=0.1, law="sde"))) / (q * (2 - q))

    inner, outer = (quad(density, a, b, epsabs=0, epsrel=1e-8)[0] for a, b in ((0, cut), (cut, 2.5)))
    found = float(tail_probability(cut, 1, 1, lr=0.1, law="sde"))
    assert found == pytest.approx(outer / (inner + outer), rel=1e-4)
