"""`fit_mixture`: a Gaussian mixture fitted to residuals, its size chosen by BIC."""

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.random import stream
from signscope.noise.gaussian import Gaussian
from signscope.noise.mixture import Mixture

_MOST_ROWS = 10_000


def fit_mixture(residuals: "Tensor | npt.ArrayLike", *, max_components: int = 5, seed: int = 0) -> Mixture | Gaussian:
    """The Gaussian mixture that scikit-learn's EM fits to a sample, with the number of components by BIC.

    Components are added until the criterion has risen twice in a row.

    Args:
        residuals: A vector of at least 2 finite numbers that are not all equal.
        max_components: Largest number of components tried, from 1 up.
        seed: Seed of EM's starts, and of the subsample used beyond 10,000 values.

    Returns:
        A `Mixture`, components by increasing centre; a `Gaussian` when one component is best. The fit scales
        with the data: residuals in other units give the same law in those units.

    Raises:
        InvalidInput: The sample is too small, not finite, or constant.
    """
    sample = _checked(residuals)
    most = checks.integer("fit_mixture", "max_components", max_components, minimum=1)
    centre, spread = float(sample.mean()), float(sample.std())
    if len(sample) > _MOST_ROWS:
        sample = stream(seed, "fit_mixture").choice(sample, _MOST_ROWS, replace=False)
    weights, means, stds = _best(((sample - centre) / spread)[:, None], most, seed)
    order = np.argsort(means)
    centres = [centre + spread * float(means[k]) for k in order]
    widths = [spread * float(stds[k]) for k in order]
    if len(order) == 1:
        return Gaussian(widths[0], centres[0])
    total = math.fsum(weights)
    return Mixture(tuple(float(weights[k]) / total for k in order), tuple(centres), tuple(widths))


def _checked(residuals: "Tensor | npt.ArrayLike") -> npt.NDArray[np.float64]:
    sample = checks.real("fit_mixture", "residuals", residuals).detach().cpu().double().numpy()
    if sample.ndim != 1 or len(sample) < 2 or not np.isfinite(sample).all():
        raise InvalidInput(
            f"fit_mixture: `residuals` must be a vector of at least 2 finite numbers, got shape {sample.shape}."
        )
    if not sample.std() > 1e-12 * max(1e-300, float(np.abs(sample).max())):
        raise InvalidInput(f"fit_mixture: `residuals` are all equal to {sample[0]:g}. Use noise=None.")
    return sample


def _best(
    data: npt.NDArray[np.float64], most: int, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Weights, means and standard deviations of the fit with the smallest BIC."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    fits: list[tuple[float, Any]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that has not settled still has its BIC
        for k in range(1, min(most, len(data) // 2) + 1):
            fit = GaussianMixture(k, covariance_type="diag", tol=1e-5, max_iter=500, n_init=2, random_state=seed).fit(
                data
            )
            fits.append((fit.bic(data), fit))
            if len(fits) > 2 and fits[-1][0] > fits[-2][0] > fits[-3][0]:
                break
    best = min(fits, key=lambda pair: pair[0])[1]
    return best.weights_, best.means_[:, 0], np.sqrt(best.covariances_[:, 0])
