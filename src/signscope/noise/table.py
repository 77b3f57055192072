"""`tabulate`: a quick, differentiable stand-in for phi_B over a range of risks."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.noise.law import NoiseLaw
from signscope.noise.piecewise import Piecewise, interpolate, panels_for

_NODES = 12
_WIDEST = 1.0  # panel width in log R
_NARROWEST = 1 / 64
_SMALLEST = 1e-280  # phi below this is left to the exact function


@dataclass(frozen=True, eq=False)
class PhiTable:
    """phi_B of one law, tabulated in log R; call it with risks.

    Attributes:
        law: The law.
        batch_size: B.
        table: Interpolant of log phi in log R, or None where phi underflows everywhere.
        error: Largest relative error found at points between the nodes.
    """

    law: NoiseLaw
    batch_size: int
    table: Piecewise | None
    error: float

    def __call__(self, risk: Tensor) -> Tensor:
        """phi_B(risk), any shape, differentiable; exact but slower outside the tabulated range."""
        risk = checks.real("PhiTable", "risk", risk).double()
        if self.table is None:
            return self.law.phi(risk, batch_size=self.batch_size)
        log_risk = torch.log(risk)
        place = log_risk.detach()
        inside = (place >= self.table.low) & (place <= self.table.high)
        if bool(inside.all()):
            return torch.exp(self.table(log_risk))
        value = torch.empty_like(risk)
        value[inside] = torch.exp(self.table(torch.log(risk[inside])))
        value[~inside] = self.law.phi(risk[~inside], batch_size=self.batch_size)
        return value


def tabulate(law: NoiseLaw, batch_size: int = 1, *, risk_low: float, risk_high: float, rtol: float = 1e-9) -> PhiTable:
    """Tabulate phi_B between two risks, as Chebyshev panels of log phi against log R.

    Worth it when the law is costly (``law.is_costly``) or B >= 2, and phi is asked for more than a few times.

    Args:
        law: The noise law.
        batch_size: Rows per gradient, B >= 1.
        risk_low: Left end of the table, above 0.
        risk_high: Right end, above ``risk_low``.
        rtol: Largest relative error allowed between the nodes; panels are halved until it is met.

    Returns:
        A callable like ``law.phi`` at this batch size. Its error is checked at two points of every panel.

    Raises:
        InvalidInput: The range is empty or not positive.

    Notes:
        About 14 values of phi per factor e of risk. Where phi falls below 1e-280 (noise with a gap) the exact
        function is used.
    """
    if not isinstance(law, NoiseLaw):
        raise InvalidInput(f"tabulate: `law` must be a NoiseLaw, got {checks.shown(law)}. Use as_noise.")
    size = checks.integer("tabulate", "batch_size", batch_size, minimum=1)
    low, high = (checks.positive("tabulate", n, v) for n, v in (("risk_low", risk_low), ("risk_high", risk_high)))
    if not low < high:
        raise InvalidInput(f"tabulate: `risk_low` must be below `risk_high`, got {low:g} and {high:g}.")

    def log_phi(log_risk: Tensor) -> Tensor:
        return torch.log(law.phi(torch.exp(log_risk), batch_size=size)).detach()

    start, end = _visible(log_phi, math.log(low), math.log(high))
    if not start < end:
        return PhiTable(law, size, None, 0.0)
    width = _WIDEST
    while True:
        panels = panels_for(start, end, width=width)
        table = interpolate(log_phi, start, high=end, num_panels=panels, num_nodes=_NODES)
        error = _error(table, log_phi)
        if error <= rtol or width <= _NARROWEST:
            return PhiTable(law, size, table, error)
        width /= 2


def _visible(log_phi: Callable[[Tensor], Tensor], low: float, high: float) -> tuple[float, float]:
    """The part of [low, high] from which on phi is above 1e-280, found on a coarse grid."""
    grid = torch.linspace(low, high, 65, dtype=torch.float64)
    hidden = ~(log_phi(grid) > math.log(_SMALLEST))
    if not bool(hidden.any()):
        return low, high
    last = int(hidden.nonzero()[-1])
    return (float(grid[last + 1]), high) if last < 64 else (high, high)


def _error(table: Piecewise, log_phi: Callable[[Tensor], Tensor]) -> float:
    starts = table.low + table.width * torch.arange(len(table.coefficients), dtype=torch.float64)
    points = (starts[:, None] + table.width * torch.tensor([0.004, 0.435], dtype=torch.float64)).reshape(-1)
    return float((table(points) - log_phi(points)).abs().max())
