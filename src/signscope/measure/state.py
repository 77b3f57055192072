"""Streaming statistics of gradients: mean and squared deviations of every coordinate, in four groups of batches."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from signscope.measure.layers import Layer, tracked_values
from signscope.measure.merging import PIECE, READ, add_part_, add_value_

GROUPS = 4
"""Groups of the jackknife."""
KEPT = 8
"""Samples per batch whose followed coordinates are kept, when gradients are taken sample by sample."""


class GradientState:
    """What is kept of the gradients seen so far.

    Memory: mean and squared deviations by group, 2 x 4 numbers per parameter: 32 bytes in float32, 64 for parameters
    in float64. Gradients in half precision are summed in float32. Also 4 bytes per followed coordinate and batch.

    Args:
        layers: What is measured.

    Attributes:
        sums: By layer, shape (2, groups, dim): means and weighted sums of squared deviations.
        weights: Total weight of each group, shape (groups,).
        counts: Number of gradients in each group, shape (groups,).
        seen: Distinct weights of each group.
        rows: Values of the followed coordinates, one row per gradient, keyed by its place in the whole data.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = list(layers)
        self.sums = [
            torch.zeros(2, GROUPS, layer.dim, dtype=wide(layer.param.dtype), device=layer.param.device)
            for layer in layers
        ]
        self.weights = torch.zeros(GROUPS, dtype=torch.float64)
        self.counts = torch.zeros(GROUPS, dtype=torch.int64)
        self.seen: list[set[float]] = [set() for _ in range(GROUPS)]
        self.rows: dict[tuple[int, int], Tensor] = {}

    def clear(self) -> None:
        """Forget all gradients."""
        for part in (*self.sums, self.weights, self.counts):
            part.zero_()
        self.seen, self.rows = [set() for _ in range(GROUPS)], {}

    def add(self, grads: Sequence[Tensor], *, weight: float, place: int) -> None:
        """Take in the gradient of one batch.

        Args:
            grads: By layer.
            weight: Of the batch (its rows or tokens): the variance of its gradient is sigma^2 / weight.
            place: Number of the batch in the whole data; batch k belongs to group k mod 4.
        """
        group = place % GROUPS
        total = float(self.weights[group]) + weight
        for state, grad in zip(self.sums, grads, strict=True):
            mean, m2, flat = state[0, group], state[1, group], grad.reshape(-1)
            for start in range(0, len(flat), PIECE):
                cut = slice(start, start + PIECE)
                add_value_(mean[cut], m2[cut], flat[cut], weight=weight, total=total)
        self._count(group, total, 1, weight)
        self.rows[place, 0] = tracked_values(self.layers, grads)

    def add_samples(self, grads: Sequence[Tensor], *, place: int, first: int) -> None:
        """Take in the gradients of single samples.

        Args:
            grads: By layer, shape (samples, ...).
            place: Number of their batch in the whole data.
            first: Number of the first sample in its batch; sample j belongs to group (place + j) mod 4.
        """
        count = len(grads[0])
        for group in range(GROUPS):
            start = (group - place - first) % GROUPS
            part = len(range(start, count, GROUPS))
            if not part:
                continue
            before = float(self.weights[group])
            for state, grad in zip(self.sums, grads, strict=True):
                _add_rows(state[0, group], state[1, group], grad.reshape(count, -1)[start::GROUPS], before)
            self._count(group, before + part, part, 1.0)
        for row in range(min(count, KEPT - first)):
            self.rows[place, first + row] = tracked_values(self.layers, [grad[row] for grad in grads])

    @property
    def num_gradients(self) -> int:
        """Gradients taken in."""
        return int(self.counts.sum())

    @property
    def bytes_per_parameter(self) -> float:
        """Bytes of the sums per parameter."""
        size = sum(state.numel() * state.element_size() for state in self.sums)
        return size / sum(layer.dim for layer in self.layers)

    def pieces(self, index: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Means and sums of squared deviations of layer ``index`` in pieces, each (groups, piece), float64."""
        state = self.sums[index]
        for start in range(0, state.shape[2], READ):
            cut = state[:, :, start : start + READ]
            part = cut.cpu().double() if cut.device.type == "mps" else cut.double()
            yield part[0], part[1]

    def tracked(self) -> Tensor:
        """Values of the followed coordinates in the order of the data, shape (gradients, k)."""
        return torch.stack([self.rows[key] for key in sorted(self.rows)])

    def _count(self, group: int, total: float, count: int, weight: float) -> None:
        self.weights[group] = total
        self.counts[group] += count
        self.seen[group].add(weight)


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype of the sums for gradients of ``dtype``."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _add_rows(mean: Tensor, m2: Tensor, rows: Tensor, before: float) -> None:
    """Merge equally weighted rows (n, d), their own mean taken out first."""
    for start in range(0, rows.shape[1], PIECE):
        cut = slice(start, start + PIECE)
        part = rows[:, cut].to(mean.dtype)
        centre = part.mean(0)
        squares = ((part - centre) ** 2).sum(0)
        add_part_(mean[cut], m2[cut], part_mean=centre, part_m2=squares, part_weight=float(len(rows)), weight=before)
