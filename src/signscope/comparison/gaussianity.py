"""How far the rows of a data set are from Gaussian, in the two ways that move risk curves."""

import torch
from torch import Tensor

SKEWED = 0.1  # root mean square of the mean signs, beyond sampling error
HEAVY = 2.0  # relative variance of |x|^2 against Gaussian rows of the same covariance


def row_shape(features: Tensor) -> list[tuple[str, float, bool, str]]:
    """Two measures of ``features`` (n, d), as (name, value, ok, text).

    The mean of signs is sqrt(avg_j (E sign x_j)^2), less what n rows give by chance. The spread of norms is
    Var |x|^2 over its value 2 tr K^2 for Gaussian rows; it lowers SGD's stability limit.
    """
    n = len(features)
    signs = torch.sign(features).mean(0)
    chance = 1 / n
    bias = float((signs.square().mean() - chance).clamp(min=0).sqrt())
    skew = (
        f"signs of the features average {bias:.2g} (0 for symmetric ones); skewed features push sign methods off "
        "the least-squares solution"
    )
    norms = features.square().sum(1)
    expected = 2 * float((features.T @ features / n).square().sum())
    ratio = float(norms.var()) / expected if n > 1 else float("nan")
    heavy = (
        f"the squared length of a row varies {ratio:.2g} times as much as for Gaussian rows, which "
        "moves SGD's noise and its stability limit"
    )
    return [
        ("mean of signs", bias, bias <= SKEWED, skew),
        ("spread of row norms", ratio, 1 / HEAVY <= ratio <= HEAVY, heavy),
    ]
