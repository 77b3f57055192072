"""How tensors are walked: lists of small ones at once, large ones on the CPU in pieces that stay in cache.

Every update is written once, for lists of tensors (``torch._foreach_*``). On an accelerator the lists hold all
tensors. On the CPU a temporary as large as the parameter would cost more than the update, so a large tensor comes
as a row of pieces, each a list of one.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from signscope.optim import lists

PIECE = 2**20
"""Entries of a piece: its temporary (4 MB in float32) stays in cache, and calls stay few."""
LISTED = 2**18
"""Entries of a list of small tensors: what one list operation leaves in cache, the next one finds there."""
SMALL = 2**15
"""Below this size a tensor costs more in calls than in memory traffic, and joins a list."""

Row = Mapping[str, Tensor]
Columns = dict[str, list[Tensor]]


def partition(rows: Iterable[Row], *, pieces: bool, foreach: bool | None) -> Iterator[Columns]:
    """Groups rows of equally named tensors into columns that one list operation can take.

    Args:
        rows: One mapping per parameter, with "param" and "grad" among its names; all tensors of equal shape.
        pieces: Whether the update is elementwise, so that a tensor may be cut.
        foreach: ``True``: everything in lists; ``False``: one tensor at a time; ``None``: by device and size.

    Yields:
        One list per name, equally long; tensors of one column share device and dtype.
    """
    gathered: defaultdict[tuple, list[Row]] = defaultdict(list)
    sizes: defaultdict[tuple, int] = defaultdict(int)
    for row in rows:
        param, size = row["param"], row["param"].numel()
        on_cpu = param.device.type == "cpu"
        if foreach is False or (foreach is None and on_cpu and size > SMALL):
            yield from _cut(row) if pieces and foreach is None else _single(row)
            continue
        key = (param.device, param.dtype, row["grad"].dtype)
        gathered[key].append(row)
        sizes[key] += size
        if foreach is None and on_cpu and sizes[key] >= LISTED:  # what lies in one list should stay in cache
            yield _columns(gathered.pop(key))
            del sizes[key]
    for group in gathered.values():
        yield _columns(group)


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no entry is NaN or infinite; one read of the data and one synchronisation per device and dtype."""
    kinds: defaultdict[tuple, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        kinds[(tensor.device, tensor.dtype)].append(tensor)
    return all(_finite(group, device.type) for (device, _), group in kinds.items())


def _finite(group: list[Tensor], device: str) -> bool:
    if device == "cpu":  # a NaN or an infinity never leaves a sum; a finite sum is proof
        if all(math.isfinite(total) for total in _sums(group)):
            return True
        return all(bool(t.isfinite().all()) for t in group)  # the sum may have overflowed: look closely
    peaks = lists.norm([t for t in group if t.numel()], float("inf"))
    return not peaks or bool(torch.stack(list(peaks)).isfinite().all())


def _sums(group: list[Tensor]) -> Iterator[float]:
    """Sums over all entries, of small tensors together."""
    together, size = [], 0
    for tensor in group:
        if tensor.numel() > SMALL:
            yield float(tensor.sum())
            continue
        together.append(tensor)
        size += tensor.numel()
        if size >= PIECE:
            yield float(lists.flattened(together).sum())
            together, size = [], 0
    if together:
        yield float(lists.flattened(together).sum())


def _columns(rows: list[Row]) -> Columns:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _single(row: Row) -> Iterator[Columns]:
    yield {name: [tensor] for name, tensor in row.items()}


def _cut(row: Row) -> Iterator[Columns]:
    if not all(tensor.is_contiguous() for tensor in row.values()):
        yield from _single(row)
        return
    split = [tensor.view(-1).split(PIECE) for tensor in row.values()]
    for parts in zip(*split, strict=True):
        yield {name: [part] for name, part in zip(row, parts, strict=True)}
