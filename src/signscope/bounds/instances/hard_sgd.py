"""The two problems on which SGD with a given step does badly: stuck for a large one, slow for a small one."""

import math
from collections.abc import Sequence

import torch

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.bounds.constants import Constants
from signscope.bounds.instances.groove import Groove
from signscope.bounds.lower import sgd_lower_at


@equation("signscope", "stuck instance of SGD")
def stuck_sgd(constants: Constants, *, lr: float, batch_size: int = 1, noise: Sequence[float] | None = None) -> Groove:
    r"""Grooves without net drop on whose grid SGD stays for ever.

    $$ L_i = L\sigma_i^2/\sigma_2^2, \quad \epsilon_i = \sigma_i\sqrt{\eta L_i/(4B)}, \quad
       q_i = \frac{\epsilon_i^2}{\sigma_i^2+\epsilon_i^2}, \quad
       h_i = \frac{\eta\epsilon_i}{q_iB} \ge 4\epsilon_i/L_i $$

    All slopes shrink by one factor where $\Delta = \eta\sigma_2^2/(8B)$ would be more than there is. For
    $\eta \ge 4/L$ one noiseless coordinate with $\epsilon = \sqrt{2L\Delta}$, $h = \eta\epsilon$ does it.

    Args:
        constants: Of the class.
        lr: Factor eta on the gradient.
        batch_size: Samples B per gradient.
        noise: $\sigma_i$ of every coordinate; by default one coordinate with $\sigma_2$. Its norm replaces
            ``noise_l2``.

    Returns:
        The instance, whose ``stated`` is the l1 norm of the gradient at every point of every path.

    Raises:
        InvalidInput: There is no noise and the step is below 4/L: SGD cannot be stuck.
    """
    eta = checks.positive("stuck_sgd", "lr", lr)
    batch = checks.integer("stuck_sgd", "batch_size", batch_size, minimum=1)
    smooth, gap = constants.descent, constants.initial_gap
    if eta >= 4 / smooth:
        whole = math.sqrt(2 * smooth * gap)
        return Groove([whole], smoothness=[smooth], spacing=[eta * whole], num_cells=2**40, stated=whole)
    given = [constants.noise_l1 if constants.noise_l2 is None else constants.noise_l2] if noise is None else noise
    sigma = torch.as_tensor([checks.non_negative("stuck_sgd", "noise", s) for s in given], dtype=torch.float64)
    total = float(sigma.norm())
    if not total > 0:
        raise InvalidInput(f"stuck_sgd: without noise SGD is stuck only for `lr` of at least 4/L, got {lr:g}.")
    curvature = smooth * (sigma / total) ** 2
    shrink = min(1.0, math.sqrt(gap / (eta * total**2 / (8 * batch))))
    slope = shrink * sigma * (eta * curvature / (4 * batch)).sqrt()
    spacing = torch.where(slope > 0, eta * (sigma**2 + slope**2) / (slope * batch), 1.0)
    stated = min(total * math.sqrt(eta * smooth / (4 * batch)), math.sqrt(2 * smooth * gap))
    return Groove(slope, smoothness=curvature, spacing=spacing, num_cells=2**40, noise=sigma, stated=stated)


@equation("signscope", "slow instance of SGD")
def slow_sgd(constants: Constants, *, lr: float, num_steps: int) -> Groove:
    r"""A long straight descent along the diagonal, without noise.

    d identical coordinates with $L_i = L/d$ and slope $-\epsilon = -S/d$ for the length $(T-1)\eta\epsilon$ that SGD
    covers, then flattening.

    Args:
        constants: Of the class, with ``dim``.
        lr: Factor eta on the gradient.
        num_steps: Updates T.

    Returns:
        The instance, whose ``stated`` is the l1 norm S of the gradient at all T points.
    """
    eta = checks.positive("slow_sgd", "lr", lr)
    steps = checks.integer("slow_sgd", "num_steps", num_steps, minimum=1)
    slow = sgd_lower_at(constants, lr=eta, num_steps=steps)[1]
    dim = constants.dim or 1
    eps = slow / dim
    ones = torch.ones(dim, dtype=torch.float64)
    return Groove(
        eps * ones,
        smoothness=constants.descent / dim * ones,
        spacing=ones,
        start=-(steps - 1) * eta * eps,
        stated=slow,
    )
