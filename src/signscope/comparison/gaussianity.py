"""How far the rows of a data set are from Gaussian rows with independent noise, in the ways that move risk curves."""

import torch
from torch import Tensor

from signscope.comparison.assumption import Assumption

SKEWED = 0.1  # root mean square of the mean signs, beyond sampling error
HEAVY = 2.0  # relative variance of |x|^2 against Gaussian rows of the same covariance
DEPENDENT = 0.05  # root mean square of the mean sign gradient at the solution, beyond sampling error
FLOW = "Trust the prediction on the rows (method 'rows') and the simulation on them rather than the Gaussian theory."


def row_shape(features: Tensor, residuals: Tensor | None = None) -> list[Assumption]:
    r"""Measures of ``features`` (n, d) and, where given, of the ``residuals`` (n,) of the least-squares fit.

    The mean of signs is $\sqrt{\mathrm{avg}_j (E\,\mathrm{sign}\,x_j)^2}$, less what n rows give by chance. The spread
    of norms is Var |x|^2 over its value 2 tr K^2 for Gaussian rows. The pull at the solution is the same mean as the
    first of $E\,\mathrm{sign}(x_j)\,\mathrm{sign}(\epsilon)$: what moves signSGD away from least squares.
    """
    n = len(features)
    signs = torch.sign(features)
    bias = _beyond_chance(signs.mean(0), n)
    norms = features.square().sum(1)
    expected = 2 * float((features.T @ features / n).square().sum())
    ratio = float(norms.var()) / expected if n > 1 else float("nan")
    found = [_skew(bias), _spread(ratio)]
    return found if residuals is None else [*found, _dependence(_beyond_chance(torch.sign(residuals) @ signs / n, n))]


def _beyond_chance(means: Tensor, n: int) -> float:
    """Root mean square of means of n signs, less its value for fair coins."""
    return float((means.square().mean() - 1 / n).clamp(min=0).sqrt())


def _skew(bias: float) -> Assumption:
    text = (
        f"signs of the features average {bias:.2g} (0 for symmetric ones); skewed features push sign methods off "
        "the least-squares solution"
    )
    advice = f"Make the features more symmetric (logarithms of positive ones). {FLOW}"
    return Assumption("mean of signs", bias, bias <= SKEWED, text, SKEWED, advice)


def _spread(ratio: float) -> Assumption:
    text = (
        f"the squared length of a row varies {ratio:.2g} times as much as for Gaussian rows, which "
        f"moves SGD's noise and its stability limit; {1 / HEAVY:g} to {HEAVY:g} is close enough"
    )
    threshold = HEAVY if ratio >= 1 else 1 / HEAVY  # the nearer end of the range
    advice = f"Scale or clip long rows before SGD is used. {FLOW}" if ratio >= 1 else FLOW
    return Assumption("spread of row norms", ratio, 1 / HEAVY <= ratio <= HEAVY, text, threshold, advice)


def _dependence(pull: float) -> Assumption:
    text = (
        f"at the least-squares solution the mean sign of a gradient is {pull:.2g} (0 for noise that does not depend "
        "on the features); sign methods settle elsewhere, at a risk that no averaging removes"
    )
    advice = f"Look at the limit of the prediction on the rows: it is the floor. {FLOW}"
    return Assumption("noise depends on rows", pull, pull <= DEPENDENT, text, DEPENDENT, advice)
