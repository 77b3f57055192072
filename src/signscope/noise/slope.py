"""phi_B(R), the slope of the mean signed gradient, from m(a) = E exp(-a eps^2)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope.noise.quadrature import composite

Transform = Callable[[Tensor], Tensor]
_ORDER = 12  # on panels [t, 2t] the error is below 1e-15 for every law: see phi_batch
_BLOCK = 300_000  # integrand values held at once


@equation("signscope", "c_B of (2.2)")
def batch_factor(batch_size: int) -> float:
    r"""$c_B = \sqrt\pi\,\Gamma((B+1)/2)/\Gamma(B/2)$: the slope's gain from a batch without noise; c_1 = 1."""
    half = 0.5 * checks.integer("batch_factor", "batch_size", batch_size, minimum=1)
    return math.sqrt(math.pi) * math.exp(math.lgamma(half + 0.5) - math.lgamma(half))


@equation("xiao2024", "(9)-(10), batch size 1")
def phi_single(m: Transform, risk: Tensor) -> Tensor:
    r"""Slope of the mean sign for one row per step.

    $$ \varphi(R) = \frac{2}{\pi\sqrt{2R}}\; m\!\left(\frac{1}{4R}\right) $$

    Args:
        m: a -> E exp(-a eps^2).
        risk: R > 0, any shape.
    """
    return 2 / (math.pi * torch.sqrt(2 * risk)) * m(0.25 / risk)


@equation("xiao2024", "(9)-(10), any batch size")
def phi_batch(m: Transform, risk: Tensor, *, batch_size: int, knee: float) -> Tensor:
    r"""Slope of the mean sign of a mini-batch gradient, B >= 2.

    $$ \varphi_B(R) = \frac{\sqrt2\,(B-1)}{\pi\sqrt R} \int_0^{\pi/2} \cos^{B-2}\theta\;
       m\!\left(\frac{\sin^2\theta}{4R}\right)^{B} d\theta $$

    Args:
        m: a -> E exp(-a eps^2).
        risk: R > 0, any shape.
        batch_size: B.
        knee: A value of a below which B (1 - m(a)) < 0.01; inf if there is none.

    Notes:
        m is the Laplace transform of a probability law, so the integrand is analytic and bounded by 1 for
        |arg theta| < pi/4, whatever the noise: Gauss-Legendre rules on panels [t, 2t] converge at the rate
        4.2^(-2 order). Panels go down to 1e-5 of the scale set by ``knee`` and B. Relative error about 1e-11.
    """
    flat = risk.reshape(-1)
    lowest = float(flat.detach().min()) if flat.numel() else 1.0
    scale = min(2 * math.sqrt(lowest) * math.sqrt(knee), 1 / math.sqrt(batch_size))
    theta, weights = _angles(1e-5 * scale)
    square = torch.sin(theta) ** 2
    weights = weights * torch.cos(theta) ** (batch_size - 2)
    rows = max(1, _BLOCK // len(theta))
    parts = [(m(square / (4 * r[:, None])) ** batch_size) @ weights for r in flat.split(rows)]
    total = torch.cat(parts).reshape(risk.shape) if parts else risk
    return math.sqrt(2) / math.pi * (batch_size - 1) / torch.sqrt(risk) * total


def _angles(smallest: float) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [0, pi/2] with panels that halve down to ``smallest``."""
    count = min(400, max(1, math.ceil(math.log2(0.5 * math.pi / smallest))))
    halvings = torch.arange(count, -1, -1, dtype=torch.float64)
    edges = torch.cat([torch.zeros(1, dtype=torch.float64), 0.5 * math.pi * torch.exp2(-halvings)])
    nodes, weights = composite(edges.numpy(), order=_ORDER)
    return torch.from_numpy(nodes.ravel()), torch.from_numpy(weights.ravel())


@equation("signscope", "limit of (2.2) at zero risk")
def phi_batch_at_zero(m: Transform, *, batch_size: int, knee: float) -> float:
    r"""Limit of `phi_batch` at R = 0.

    $$ \varphi_B(0) = \frac{2\sqrt2\,(B-1)}{\pi} \int_0^\infty m(u^2)^B\,du $$

    Infinite when the noise has an atom at 0 or a density too singular there; the far tail is closed by the
    power law it follows.
    """
    if math.isinf(knee):
        return math.inf
    start = 1e-5 * math.sqrt(knee)
    edges = torch.cat(
        [torch.zeros(1, dtype=torch.float64), start * torch.exp2(torch.arange(86.0, dtype=torch.float64))]
    )
    nodes, weights = composite(edges.numpy(), order=_ORDER)
    u = torch.from_numpy(nodes)
    values = m(u.square()) ** batch_size
    body = float((values * torch.from_numpy(weights)).sum())
    far, near = float(values[-1, -1]), float(values[-2, -1])
    if far > 0:
        ends = u[-2:, -1]
        power = math.log(near / far) / float(torch.log(ends[1] / ends[0]))
        if power < 1.01:
            return math.inf
        body += far * float(ends[1]) / (power - 1)
    return 2 * math.sqrt(2) / math.pi * (batch_size - 1) * body


def first_drop(grid: Tensor, values: Tensor, batch_size: int) -> float:
    """The first grid point with B (1 - m) >= 0.01; inf if there is none."""
    dropped = (1 - values) * batch_size >= 0.01
    return float(grid[int(dropped.int().argmax())]) if bool(dropped.any()) else math.inf
