"""Functions of the logarithm of the risk that are costly to find, as Chebyshev interpolants on unit panels."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from signscope.noise.piecewise import chebyshev_coefficients, chebyshev_points, clenshaw


class Panels:
    """Functions of log R as Chebyshev interpolants on unit panels, filled when first needed.

    Args:
        function: Places log R, shape (n,) -> values of all functions, shape (functions, n).
        num_nodes: Chebyshev points per panel.
    """

    def __init__(self, function: Callable[[np.ndarray], np.ndarray], num_nodes: int) -> None:
        self.function, self.nodes = function, chebyshev_points(num_nodes)
        self.first, self.coefficients = 0, None

    def __call__(self, x: Tensor) -> list[Tensor]:
        """All functions at ``x``, each of its shape; NaN at NaN."""
        floor = x.detach().floor()
        known = floor[~floor.isnan()]
        low, high = (int(known.min()), int(known.max())) if known.numel() else (self.first, self.first)
        coefficients = self._cover(low, high)
        panel = floor.nan_to_num(float(self.first))
        place = (panel - self.first).long()
        return [clenshaw(c[place], 2 * (x - panel) - 1) for c in coefficients]

    def _cover(self, low: int, high: int) -> Tensor:
        """Coefficients with every panel from ``low`` to ``high`` filled, shape (functions, panels, nodes)."""
        if self.coefficients is None:
            self.first, self.coefficients = low, self._fill(low, high + 1)
        last = self.first + self.coefficients.shape[1]
        if low < self.first:
            self.coefficients = torch.cat([self._fill(low, self.first), self.coefficients], dim=1)
            self.first = low
        if high >= last:
            self.coefficients = torch.cat([self.coefficients, self._fill(last, high + 1)], dim=1)
        return self.coefficients

    def _fill(self, start: int, stop: int) -> Tensor:
        """Coefficients of some panels, each made alone, so that its bits do not depend on what was asked before."""
        return torch.cat([self._panel(start + k) for k in range(stop - start)], dim=1)

    def _panel(self, index: int) -> Tensor:
        points = index + 0.5 * (1 + self.nodes)
        return chebyshev_coefficients(torch.from_numpy(self.function(points.numpy())))[:, None]
