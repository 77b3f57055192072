"""Random features: a fixed random layer that widens or mixes the columns of a data set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.random import stream
from signscope.problems.arrays import as_float64

_BLOCK = 4096  # rows per product, so that no second copy of X is made

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.Tensor.tanh_,
    "relu": torch.Tensor.relu_,
    "cos": torch.Tensor.cos_,
}


def random_features(
    features: Any,
    width: int,
    *,
    activation: str = "tanh",
    noise: float = 0.0,
    seed: int = 0,
    center: bool = False,
) -> Tensor:
    r"""``f(X W / sqrt(p))`` with a standard normal matrix W of shape (p, width).

    Args:
        features: X, shape (n, p). Standardise its columns first: entries of X W / sqrt(p) then have variance
            near 1.
        width: Number of new columns d.
        activation: f, one of ``"tanh"``, ``"relu"``, ``"cos"``.
        noise: Standard deviation of independent Gaussian numbers added to the result: they lift the smallest
            eigenvalues of its covariance to noise^2.
        seed: Names W; the same seed gives the same features for other rows of the same p columns.
        center: Subtract the column means of the result over these rows.

    Returns:
        Shape (n, width), float64.

    Raises:
        InvalidInput: X is not a matrix of finite numbers, the width is not positive, or the activation unknown.

    Notes:
        The cosine has no random phase, so it sees x and -x alike. Row i depends on row i of X alone unless
        ``center`` or ``noise`` is set.
    """
    who = "random_features"
    width = checks.integer(who, "width", width, minimum=1)
    function = ACTIVATIONS[checks.one_of(who, "activation", activation, ACTIVATIONS)]
    noise = checks.non_negative(who, "noise", noise)
    rows = features if isinstance(features, Tensor) else np.asarray(features)
    if rows.ndim != 2 or 0 in rows.shape:
        raise InvalidInput(f"{who}: `features` must have shape (n, p), got {tuple(rows.shape)}.")
    p = rows.shape[1]
    weights = torch.from_numpy(stream(seed, "random features").standard_normal((p, width))) / p**0.5
    out = torch.empty(len(rows), width, dtype=torch.float64)
    for begin in range(0, len(rows), _BLOCK):
        torch.mm(_block(who, rows, begin), weights, out=out[begin : begin + _BLOCK])
    function(out)
    if noise:
        rng = stream(seed, "feature noise")
        for block in out.split(_BLOCK):
            block.add_(torch.from_numpy(rng.standard_normal(tuple(block.shape))), alpha=noise)
    return out.sub_(out.mean(0)) if center else out


def _block(who: str, rows: Any, begin: int) -> Tensor:
    """The rows from ``begin`` on as float64; what is wrong is told with its place among all rows."""
    try:
        return as_float64(who, "features", rows[begin : begin + _BLOCK])
    except InvalidInput:
        as_float64(who, "features", rows)
        raise


def features_from_text(features: Any, text: str, *, seed: int = 0, center: bool = False) -> Tensor:
    """`random_features` from the text of a command line: ``"tanh:400"`` is width 400 with tanh.

    A third number is ``noise``: ``"tanh:50:0.3"``.

    Raises:
        InvalidInput: The text is not ACTIVATION:WIDTH or ACTIVATION:WIDTH:NOISE.
    """
    activation, *numbers = (part.strip() for part in text.split(":"))
    try:
        width, noise = int(numbers[0]), float(numbers[1]) if len(numbers) == 2 else 0.0
        wrong = len(numbers) > 2
    except (IndexError, ValueError):
        wrong, width, noise = True, 0, 0.0
    if wrong:
        raise InvalidInput(
            f"random_features: {text!r} is not ACTIVATION:WIDTH, such as tanh:400, or ACTIVATION:WIDTH:NOISE."
        )
    return random_features(features, width, activation=activation, noise=noise, seed=seed, center=center)
