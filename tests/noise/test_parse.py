"""Text and other stand-ins for noise laws."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope._core.errors import InvalidInput
from signscope.noise import (
    USAGE,
    Cauchy,
    Discrete,
    Empirical,
    Gaussian,
    Laplace,
    Mixture,
    NoNoise,
    Rademacher,
    ScipyDiscrete,
    ScipyLaw,
    Stable,
    StudentT,
    Uniform,
    as_noise,
    parse_noise,
)

GRAMMAR = {
    "none": NoNoise(),
    "gaussian:0.5": Gaussian(0.5),
    " Gaussian: 0.3, 0.5 ": Gaussian(0.5, 0.3),
    "gaussian:0": NoNoise(),
    "rademacher:0.5": Rademacher(0.5),
    "uniform:0.8": Uniform(0.8),
    "laplace:0.4": Laplace(0.4),
    "cauchy:1": Cauchy(1),
    "cauchy:2,1": Cauchy(1, 2),
    "student-t:3": StudentT(3),
    "student-t:3,0.5": StudentT(3, 0.5),
    "stable:1.5": Stable(1.5),
    "stable:1.5,0.7": Stable(1.5, 0.7),
    "mixture:0.7,0,0.2;0.3,1,0.6": Mixture((0.7, 0.3), (0, 1), (0.2, 0.6)),
    "scipy:norm,0,2": Gaussian(2),
    "scipy:t,3": StudentT(3),
}


@pytest.mark.parametrize("text", GRAMMAR)
def test_grammar(text):
    assert parse_noise(text) == GRAMMAR[text]


def test_scipy_and_discrete_forms():
    law = parse_noise("scipy:gamma,2,-2,0.5")
    assert isinstance(law, ScipyLaw)
    assert law.spec == "scipy:gamma,2,-2,0.5"
    assert as_noise(scipy.stats.gamma(a=2, scale=0.5)).spec == "scipy:gamma,2,0,0.5"
    assert isinstance(parse_noise("scipy:binom,10,0.5,-5"), ScipyDiscrete)
    atoms = parse_noise("discrete:1,0.25;-1,0.75")
    assert isinstance(atoms, Discrete)
    assert atoms.values.tolist() == [-1, 1]
    assert atoms.spec == "discrete:-1,0.75;1,0.25"


BAD = {
    "gausian:1": "Did you mean `gaussian`",
    "": "unknown law",
    "gaussian": "0 parameters; write gaussian:STD",
    "gaussian:1,2,3": "3 parameters",
    "gaussian:abc": "must be numbers",
    "gaussian:-1": "above 0",
    "gaussian:nan": "finite",
    "none:1": "1 parameters; write none",
    "student-t:0": "above 0",
    "stable:3": "alpha",
    "mixture:1,0": "3 numbers in every part",
    "mixture:0.5,0,1;0.4,0,1": "add to 1",
    "mixture:": "3 numbers",
    "discrete:1,2": "add to 1",
    "empirical": "pass it as an array",
    "scipy:gama,1": "near: gamma",
    "scipy:": "has no law",
    "scipy:rv_continuous": "has no law",
    "scipy:gamma": "scipy:gamma,a,LOC,SCALE",
    "scipy:gamma,1,2,3,4": "scipy:gamma,a,LOC,SCALE",
    "scipy:gamma,-1": "does not accept",
    "scipy:gamma,x": "must be numbers",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_text_says_what_is_allowed(text):
    with pytest.raises(InvalidInput, match=BAD[text]) as caught:
        parse_noise(text)
    assert str(caught.value).startswith("noise:")
    assert "\n" not in str(caught.value)


def test_unknown_names_list_everything():
    with pytest.raises(InvalidInput) as caught:
        parse_noise("white:1")
    assert USAGE in str(caught.value)
    for name in ("none", "gaussian", "mixture", "scipy", "stable", "discrete"):
        assert name in USAGE


@settings(deadline=None, max_examples=60)
@given(st.floats(1e-6, 1e6), st.floats(-1e6, 1e6))
def test_specs_read_back_exactly(scale, centre):
    for law in (Gaussian(scale, centre), Cauchy(scale, centre), Laplace(scale), Uniform(scale), Rademacher(scale)):
        assert parse_noise(law.spec) == law
    mixture = Mixture((0.1, 0.2, 0.7), (centre, 0, 1), (scale, 1, 2))
    assert parse_noise(mixture.spec) == mixture
    assert parse_noise(StudentT(scale, scale).spec) == StudentT(scale, scale)


def test_as_noise():
    assert as_noise(None) == NoNoise()
    assert as_noise(0) == NoNoise()
    assert as_noise(0.5) == as_noise(np.float32(0.5)) == as_noise(torch.tensor(0.5)) == Gaussian(0.5)
    assert as_noise("laplace:2") == Laplace(2)
    law = Laplace(2)
    assert as_noise(law) is law
    for sample in ([1.0, -2.0], np.array([1, -2]), torch.tensor([1.0, -2.0])):
        assert isinstance(as_noise(sample), Empirical)
        assert as_noise(sample).values.tolist() == [-2, 1]


@pytest.mark.parametrize(
    "value",
    [-1, float("nan"), float("inf"), True, [], [1.0, float("nan")], [[1.0]], ["a"], {}, object(), 1j, scipy.stats.norm],
    ids=lambda v: type(v).__name__ + str(v)[:8].replace("<", ""),
)
def test_as_noise_refuses_the_rest(value):
    with pytest.raises(InvalidInput):
        as_noise(value)


def test_laws_refuse_bad_numbers():
    for build in (Gaussian, Rademacher, Uniform, Laplace, Cauchy, StudentT):
        for bad in (0, -1, float("inf"), float("nan"), "x", None):
            with pytest.raises(InvalidInput, match=build.__name__):
                build(bad)
    with pytest.raises(InvalidInput, match="centre"):
        Gaussian(1, float("nan"))
    with pytest.raises(InvalidInput, match="as many"):
        Mixture((1.0,), (0.0, 1.0), (1.0,))
    with pytest.raises(InvalidInput, match="probabilities"):
        Discrete(torch.ones(2), torch.tensor([1.5, -0.5]))


def test_inputs_are_not_changed():
    values = torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64)
    law = Empirical(values)
    assert values.tolist() == [3, 1, 2]
    assert law.values.tolist() == [1, 2, 3]
