"""The published reference values, to every printed digit."""

import math

import pytest
import torch

from noise.catalogue import t
from signscope.noise import batch_factor, parse_noise
from signscope.noise.slope import phi_single

SECTION_2 = {  # phi(.01), phi(.1), phi(1), phi_2(.1), phi_5(.1), phi_20(.1)
    "none": (4.50158158, 1.42352509, 0.45015816, 2.23606798, 3.79606690, 7.87977171),
    "gaussian:0.5": (1.22517532, 0.94901672, 0.42441318, 1.49071198, 2.53071127, 5.25318114),
    "gaussian:0.3,0.5": (1.03708852, 0.85870584, 0.41600924, 1.35222622, 2.30243096, 4.79073408),
    "rademacher:0.5": (0.00869010, 0.76195807, 0.42288445, 1.31664858, 2.40811197, 5.19137304),
    "uniform:0.8": (0.99735569, 0.92391215, 0.42725956, 1.48513540, 2.58259854, 5.44886714),
    "laplace:0.4": (1.53661904, 0.98215770, 0.42049786, 1.50659140, 2.47608065, 4.97416791),
    "cauchy:1": (0.49834596, 0.43957537, 0.27715803, 0.57171596, 0.69198650, 0.76909785),
    "cauchy:2,1": (0.10249178, 0.11123732, 0.15976128, 0.24999016, 0.43103632, 0.63185600),
    "student-t:3,0.5": (1.11691191, 0.85146612, 0.40330790, 1.29463007, 2.08805706, 4.03378022),
    "mixture:0.7,0,0.2;0.3,1,0.6": (1.90240563, 1.01415304, 0.41259124, 1.50015055, 2.34403956, 4.53029979),
}
R8 = {  # phi at R = .05, .5, 2
    "none": (2.01316848, 0.63661977, 0.31830989),
    "gaussian:0.5": (1.07608382, 0.56941003, 0.30880595),
    "rademacher:0.7": (0.17372353, 0.49828518, 0.29939848),
    "uniform:1": (0.79663555, 0.54470741, 0.30552988),
}


def assert_printed(value: torch.Tensor, printed: tuple[float, ...], digits: int) -> None:
    assert (value - t(*printed)).abs().max() <= 0.5001 * 10.0**-digits


@pytest.mark.parametrize("spec", SECTION_2)
def test_table_of_section_2(spec):
    law, risks = parse_noise(spec), t(0.01, 0.1, 1)
    batches = [law.phi(t(0.1), batch_size=b) for b in (2, 5, 20)]
    assert_printed(torch.cat([law.phi(risks), *batches]), SECTION_2[spec], 8)


@pytest.mark.parametrize("spec", R8)
def test_table_r8(spec):
    assert_printed(parse_noise(spec).phi(t(0.05, 0.5, 2)), R8[spec], 8)


def test_table_r8_cauchy():
    assert_printed(parse_noise("cauchy:1").phi(t(0.05, 0.5, 2)), (0.467712, 0.333052, 0.222574), 6)


def test_the_tables_have_teeth():
    law = parse_noise("laplace:0.4")
    doubled = phi_single(lambda a: law.m(2 * a), t(0.01, 0.1, 1))  # 1/(2R) in place of 1/(4R)
    assert (doubled / t(*SECTION_2["laplace:0.4"][:3]) - 1).abs().min() > 1e-2
    with pytest.raises(AssertionError):
        assert_printed(law.phi(t(0.01, 0.1, 1)) * math.sqrt(1 + 1e-8), SECTION_2["laplace:0.4"][:3], 8)


def test_batch_factor_is_the_ratio_of_gamma_functions():
    for size in (1, 2, 3, 10, 1000):
        exact = math.sqrt(math.pi) * math.exp(math.lgamma((size + 1) / 2) - math.lgamma(size / 2))
        assert batch_factor(size) == pytest.approx(exact, rel=1e-13)
    assert batch_factor(2) == pytest.approx(math.pi / 2, rel=1e-14)
