"""The noise laws whose slope and compression the figures show, and routes to phi that do not use m(a)."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from signscope._core.equations import equation
from signscope._core.random import stream
from signscope.noise import Gaussian, Laplace, NoiseLaw, Rademacher, StudentT, Uniform, parse_noise

STUDENT: dict[str, NoiseLaw] = {
    "Cauchy (Student-t, nu = 1)": StudentT(1.0),
    "Student-t, nu = 2": StudentT(2.0),
    "Student-t, nu = 3": StudentT(3.0),
    "Student-t, nu = 5": StudentT(5.0),
    "Student-t, nu = 20": StudentT(20.0),
    "Gaussian (nu = inf)": Gaussian(1.0),
}
UNIT: dict[str, NoiseLaw] = {
    "Gaussian": Gaussian(1.0),
    "Laplace": Laplace(1 / math.sqrt(2)),
    "uniform": Uniform(math.sqrt(3)),
    "Rademacher": Rademacher(1.0),
}
REFERENCE: dict[str, NoiseLaw] = {  # the rows of table 1
    text: parse_noise(text)
    for text in (
        "none",
        "gaussian:0.5",
        "gaussian:0.3,0.5",
        "rademacher:0.5",
        "uniform:0.8",
        "laplace:0.4",
        "cauchy:1",
        "cauchy:2,1",
        "student-t:3,0.5",
        "mixture:0.7,0,0.2;0.3,1,0.6",
    )
}


@equation("signscope", "phi from the correlation of residual signs")
def sampled_slope(law: NoiseLaw, risks: np.ndarray, *, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Monte Carlo phi(R) with its standard error, from draws of the residual alone.

    With z ~ N(0, 2R) the residual of a row without noise, Gaussian conditioning of x on z gives

    $$ \varphi(R) = \sqrt{2/\pi}\; \frac{E[z\, \mathrm{sign}(z - \epsilon)]}{2R} $$

    Args:
        law: Law of the noise.
        risks: R > 0, shape (n,).
        draws: Samples, shared by all risks.
        seed: Of the samples.

    Returns:
        Means and standard errors, shape (n,) each.
    """
    rng = stream(seed, "slope", law.spec)
    unit, noise = rng.standard_normal(draws), law.sample(draws, rng)
    means, errors = np.empty((2, len(risks)))
    for k, risk in enumerate(risks):
        spread = math.sqrt(2 * risk)
        product = unit * np.sign(spread * unit - noise) * (math.sqrt(2 / math.pi) / spread)
        means[k], errors[k] = product.mean(), product.std() / math.sqrt(draws)
    return means, errors


@equation("signscope", "phi_B from sampled mini-batches")
def sampled_batch_slope(law: NoiseLaw, risk: float, *, batch_size: int, draws: int, seed: int) -> tuple[float, float]:
    r"""Monte Carlo phi_B(R) with its standard error.

    Given the residuals $r_b = z_b - \epsilon_b$ of a batch, the gradient is Gaussian with standard deviation
    $|r|\sqrt{K_{ii}}$ around $\sum_b z_b r_b\, (Kv)_i/2R$, so that
    $\varphi_B = \sqrt{2/\pi}\, E[\sum_b z_b r_b/|r|]/2R$.
    """
    rng = stream(seed, "batch slope", law.spec, batch_size)
    spread = math.sqrt(2 * risk)
    z = spread * rng.standard_normal((draws, batch_size))
    residual = z - law.sample((draws, batch_size), rng)
    norm = np.sqrt((residual**2).sum(1))
    value = math.sqrt(2 / math.pi) * (z * residual).sum(1) / norm / (2 * risk)
    return float(value.mean()), float(value.std() / math.sqrt(draws))


@equation("signscope", "phi from the density of the residual at 0")
def integrated_slope(law: NoiseLaw, risk: float) -> float:
    r"""$\varphi(R) = 2\sqrt{2/\pi}\int p_\epsilon(e)\, N(e; 0, 2R)\,de$ by adaptive quadrature of the density.

    For Rademacher noise the integral is a sum of two terms.
    """
    from scipy.integrate import quad

    def normal(e: float) -> float:
        return math.exp(-e * e / (4 * risk)) / math.sqrt(4 * math.pi * risk)

    factor = 2 * math.sqrt(2 / math.pi)
    if isinstance(law, Rademacher):
        return factor * normal(law.gap)

    def density(e: float) -> float:
        return float(law.pdf(torch.tensor(e, dtype=torch.float64)))

    width = 12 * math.sqrt(2 * risk)
    ends = [0.0, width / 12, width]
    if isinstance(law, Uniform):  # a jump inside the range is put at an end
        ends = sorted({0.0, min(width, law.half_width), min(width / 12, law.half_width)})
    options: dict[str, Any] = {"epsabs": 0.0, "epsrel": 1e-11, "limit": 200}
    parts = [
        quad(lambda e: (density(e) + density(-e)) * normal(e), low, high, **options)[0] for low, high in pairwise(ends)
    ]
    return factor * math.fsum(parts)


def exact_slope(law: NoiseLaw, risks: np.ndarray, *, batch_size: int = 1) -> np.ndarray:
    """phi_B of the package at ``risks``."""
    return law.phi(torch.as_tensor(risks, dtype=torch.float64), batch_size=batch_size).numpy()


def exact_compression(law: NoiseLaw, risks: np.ndarray, *, batch_size: int = 1) -> np.ndarray:
    """psi_B of the package at ``risks``."""
    return law.psi(torch.as_tensor(risks, dtype=torch.float64), batch_size=batch_size).numpy()
