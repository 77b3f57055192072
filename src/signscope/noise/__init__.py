"""Label-noise laws: everything the theory needs of a law of eps, one law per file."""

from signscope.noise.cauchy import Cauchy
from signscope.noise.convert import as_noise
from signscope.noise.discrete import Discrete
from signscope.noise.empirical import Empirical
from signscope.noise.fit import fit_mixture
from signscope.noise.gaussian import Gaussian
from signscope.noise.laplace import Laplace
from signscope.noise.law import NoiseLaw
from signscope.noise.mixture import Mixture
from signscope.noise.none import NoNoise
from signscope.noise.parse import USAGE, parse_noise
from signscope.noise.rademacher import Rademacher
from signscope.noise.scipy_discrete import ScipyDiscrete
from signscope.noise.scipy_law import ScipyLaw
from signscope.noise.slope import batch_factor
from signscope.noise.stable import Stable
from signscope.noise.student_t import StudentT
from signscope.noise.table import PhiTable, tabulate
from signscope.noise.uniform import Uniform

__all__ = [
    "USAGE",
    "Cauchy",
    "Discrete",
    "Empirical",
    "Gaussian",
    "Laplace",
    "Mixture",
    "NoNoise",
    "NoiseLaw",
    "PhiTable",
    "Rademacher",
    "ScipyDiscrete",
    "ScipyLaw",
    "Stable",
    "StudentT",
    "Uniform",
    "as_noise",
    "batch_factor",
    "fit_mixture",
    "parse_noise",
    "tabulate",
]
