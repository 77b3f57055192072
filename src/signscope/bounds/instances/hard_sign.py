"""The problem on which signSGD with a given step and batch does worst."""

import math
from collections.abc import Sequence

import numpy as np

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.bounds.constants import Constants
from signscope.bounds.instances.groove import Groove

_LENGTHS = 200  # candidate numbers of cells; between neighbours the value changes by a few per mille


@equation("tao2026", "hard instance of SignSGD for given step, T and B")
def hard_signsgd(
    constants: Constants,
    *,
    lr: float,
    num_steps: int,
    batch_size: int = 1,
    noise: Sequence[float] | None = None,
    num_cells: int | None = None,
) -> Groove:
    r"""Grooves of spacing ``lr`` in which signSGD moves only when a sample of its batch is awake.

    With n cells the slope is the largest that $\Delta$ pays for,

    $$ \epsilon = L\Bigl(-nh + \sqrt{n^2h^2 + 2(\Delta + nLh^2/4)/L}\Bigr) \text{ or } \sqrt{2L\Delta} \text{ where }
       h \ge 4\epsilon/L, \qquad q = \frac{\epsilon^2}{\sigma_1^2 + \epsilon^2}, $$

    and with m moves, binomial with T - 1 trials of probability $1 - (1-q)^B$,
    $E\min_t\lVert\nabla f\rVert_1 = E\max(0, \epsilon - Lh\max(0, m - n))$.

    Args:
        constants: Of the class: $\Delta$, L and $\sigma_1$.
        lr: Length h of the step.
        num_steps: Updates T.
        batch_size: Samples B per gradient.
        noise: $\sigma_i$ of every coordinate, in any unit: coordinate i gets the share $w_i = \sigma_i/\sum\sigma$ of
            $\epsilon$, L, $\Delta$ and $\sigma_1$. One coordinate by default.
        num_cells: n; by default the best out of many between 0 and T - 1.

    Returns:
        The instance, whose ``stated`` is the expectation above. Ties count as 0: sign(0) = 0.
    """
    h = checks.positive("hard_signsgd", "lr", lr)
    steps = checks.integer("hard_signsgd", "num_steps", num_steps, minimum=1)
    batch = checks.integer("hard_signsgd", "batch_size", batch_size, minimum=1)
    grid = np.unique(np.rint(np.geomspace(1, steps, _LENGTHS)).astype(int)) - 1
    lengths = grid if num_cells is None else [checks.integer("hard_signsgd", "num_cells", num_cells, minimum=0)]
    tried = [(_expected_minimum(constants, h, steps, batch, int(n)), int(n)) for n in lengths]
    stated, cells = max(tried)
    sigmas = (
        np.ones(1) if noise is None else np.asarray([checks.non_negative("hard_signsgd", "noise", s) for s in noise])
    )
    if not sigmas.sum() > 0:
        raise InvalidInput("hard_signsgd: `noise` must have an entry above 0; it says how the problem is spread.")
    shares = sigmas / sigmas.sum()
    return Groove(
        _slope(constants, h, cells) * shares,
        smoothness=constants.descent * shares,
        spacing=[h] * len(shares),
        num_cells=cells,
        noise=constants.noise_l1 * shares,
        together=True,
        stated=stated,
    )


def _slope(constants: Constants, h: float, cells: int) -> float:
    """The largest slope that the gap pays for."""
    smooth, gap = constants.descent, constants.initial_gap
    whole = math.sqrt(2 * smooth * gap)
    if whole <= smooth * h / 4 or cells == 0:
        return whole
    budget = 2 * (gap / smooth + cells * h * h / 4)
    return smooth * budget / (cells * h + math.sqrt((cells * h) ** 2 + budget))  # no cancellation


def _expected_minimum(constants: Constants, h: float, steps: int, batch: int, cells: int) -> float:
    from scipy.special import bdtr

    eps, sigma = _slope(constants, h, cells), constants.noise_l1
    if cells >= steps - 1:
        return eps  # more cells than moves
    awake = eps**2 / (sigma**2 + eps**2)
    moves = -math.expm1(batch * math.log1p(-awake)) if awake < 1 else 1.0
    reach = min(steps - 1 - cells, math.ceil(eps / (constants.descent * h)))  # after so many more the slope is 0
    extra = np.arange(reach + 1)
    upto = bdtr(cells + extra, steps - 1, moves)  # P(moves <= cells + extra)
    slopes = (eps - constants.descent * h * extra).clip(min=0)
    return float(slopes[0] * upto[0] + (slopes[1:] * np.diff(upto)).sum())
