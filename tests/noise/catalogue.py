"""One row per noise law: the shared suites walk over them, so a new row is tested at once."""

from dataclasses import dataclass

import numpy as np
import scipy.stats
import torch

from signscope.noise import (
    Cauchy,
    Discrete,
    Empirical,
    Gaussian,
    Laplace,
    Mixture,
    NoiseLaw,
    NoNoise,
    Rademacher,
    ScipyLaw,
    Stable,
    StudentT,
    Uniform,
    as_noise,
)


@dataclass(frozen=True)
class Row:
    """A law with what is known of it from elsewhere."""

    name: str
    law: NoiseLaw
    mean: float = 0.0
    second_moment: float = 0.0
    density_at_zero: float = 0.0
    atom: float = 0.0
    gap: float = 0.0
    moment_limit: float = np.inf  # moments of this order and more are infinite
    has_pdf: bool = True
    reads_back: bool = True


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


SAMPLE = np.random.default_rng(7).standard_t(3, 5000)
INF = np.inf
TWO_BELLS = 0.7 * scipy.stats.norm.pdf(0, 0, 0.2) + 0.3 * scipy.stats.norm.pdf(0, 1, 0.6)
ROWS = [
    Row("none", NoNoise(), density_at_zero=INF, atom=1, has_pdf=False),
    Row("gaussian", Gaussian(0.5), 0, 0.25, 0.7978845608028654),
    Row("gaussian-shifted", Gaussian(0.5, 0.3), 0.3, 0.34, scipy.stats.norm.pdf(0, 0.3, 0.5)),
    Row("mixture", Mixture((0.7, 0.3), (0, 1), (0.2, 0.6)), 0.3, 0.436, TWO_BELLS),
    Row("rademacher", Rademacher(0.5), 0, 0.25, gap=0.5, has_pdf=False),
    Row("uniform", Uniform(0.8), 0, 0.64 / 3, 0.625),
    Row("laplace", Laplace(0.4), 0, 0.32, 1.25),
    Row("cauchy", Cauchy(1.0), np.nan, INF, 1 / np.pi, moment_limit=1),
    Row("cauchy-shifted", Cauchy(1.0, 2.0), np.nan, INF, 0.2 / np.pi, moment_limit=1),
    Row("student-3", StudentT(3, 0.5), 0, 0.75, 2 * scipy.stats.t(3).pdf(0), moment_limit=3),
    Row("student-1.5", StudentT(1.5), 0, INF, scipy.stats.t(1.5).pdf(0), moment_limit=1.5),
    Row("student-200", StudentT(200), 0, 200 / 198, scipy.stats.t(200).pdf(0), moment_limit=200),
    Row("stable-1.5", Stable(1.5, 0.7), 0, INF, 0.9027452929509336 / np.pi / 0.7, moment_limit=1.5),
    Row("stable-0.6", Stable(0.6, 0.3), np.nan, INF, 1.5045754882515558 / np.pi / 0.3, moment_limit=0.6),
    Row("discrete", Discrete(t(-1, 0, 0.5), t(0.2, 0.5, 0.3)), -0.05, 0.275, INF, 0.5, has_pdf=False),
    Row(
        "empirical",
        Empirical(torch.from_numpy(SAMPLE)),
        SAMPLE.mean(),
        (SAMPLE**2).mean(),
        gap=np.abs(SAMPLE).min(),
        has_pdf=False,
        reads_back=False,
    ),
    Row("gamma", as_noise(scipy.stats.gamma(2, loc=-2)), 0, 2, 2 * np.exp(-2)),
    Row("gamma-singular", as_noise(scipy.stats.gamma(0.6)), 0.6, 0.96, INF),
    Row("exponential", as_noise(scipy.stats.expon(scale=0.5)), 0.5, 0.5, 1.0),
    Row("laplace-shifted", as_noise(scipy.stats.laplace(1, 0.3)), 1, 1.18, np.exp(-1 / 0.3) / 0.6),
    Row("uniform-gap", as_noise(scipy.stats.uniform(1, 1)), 1.5, 7 / 3, 0, gap=1),
    Row("pareto", as_noise(scipy.stats.pareto(1.5)), 3, INF, 0, gap=1, moment_limit=1.5),
    Row("t-by-quadrature", ScipyLaw(scipy.stats.t(3, 0, 0.5)), 0, 0.75, 2 * scipy.stats.t(3).pdf(0), moment_limit=3),
    Row("poisson", as_noise(scipy.stats.poisson(2, loc=-2)), 0, 2, INF, 2 * np.exp(-2), has_pdf=False),
]
BY_NAME = {row.name: row for row in ROWS}
