"""How tensors are walked: lists of small ones at once, large ones on the CPU in pieces that stay in cache.

Every update is written once, for lists of tensors (``torch._foreach_*``). On an accelerator the lists hold all
tensors. On the CPU a temporary as large as the parameter would cost more than the update, so a large tensor comes
as a row of pieces, each a list of one.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from signscope.optim import lists

PIECE = 2**20
"""Entries of a piece: its temporary (4 MB in float32) stays in cache, and calls stay few."""
LISTED = 2**18
"""Entries of a list of small tensors: what one list operation leaves in cache, the next one finds there."""
SMALL = 2**15
"""Below this size a tensor costs more in calls than in memory traffic, and joins a list."""

Columns = dict[str, list[Tensor]]


def lots(params: Sequence[Tensor], foreach: bool | None) -> list[list[int]]:
    """Which tensors a list operation takes together, by their indices.

    Args:
        params: The parameters.
        foreach: ``True``: one lot per device and dtype; ``False``: one tensor at a time; ``None``: by device and
            size. Any division is correct, so one made earlier still serves when a parameter has changed.
    """
    found: list[list[int]] = []
    gathered: defaultdict[tuple, list[int]] = defaultdict(list)
    sizes: defaultdict[tuple, int] = defaultdict(int)
    for index, param in enumerate(params):
        key, size = (param.device, param.dtype), param.numel()
        if foreach is False or (foreach is None and param.is_cpu and size > SMALL):
            found.append([index])
            continue
        gathered[key].append(index)
        sizes[key] += size
        if foreach is None and param.is_cpu and sizes[key] >= LISTED:  # what lies in one list should stay in cache
            found.append(gathered.pop(key))
            del sizes[key]
    return found + list(gathered.values())


def blocks(table: Columns, divided: Iterable[Sequence[int]], *, cut: bool) -> Iterator[Columns]:
    """Walks over equally long columns, one of them "param", in blocks that one list operation can take.

    Args:
        table: Lists of tensors; those of equal index have equal shape.
        divided: Indices by block, from `lots`.
        cut: Whether the update is elementwise, so that a large tensor may come in pieces.
    """
    params = table["param"]
    for lot in divided:
        if len(lot) > 1:
            yield {name: [column[index] for index in lot] for name, column in table.items()}
            continue
        index = lot[0]
        columns = {name: [column[index]] for name, column in table.items()}
        if cut and params[index].numel() > PIECE and params[index].is_cpu:
            yield from _pieces(columns)
        else:
            yield columns


def all_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether no entry is NaN or infinite; one read of the data and one synchronisation per device and dtype."""
    here = [tensor for tensor in tensors if tensor.is_cpu]
    if not math.isfinite(_total(here)) and not all(bool(t.isfinite().all()) for t in here):
        return False  # a NaN or an infinity never leaves a sum; a finite sum is proof, another one may have overflowed
    if len(here) == len(tensors):
        return True
    elsewhere: defaultdict[tuple, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        if not tensor.is_cpu and tensor.numel():
            elsewhere[(tensor.device, tensor.dtype)].append(tensor)
    peaks = [torch.stack(list(lists.norm(group, float("inf")))) for group in elsewhere.values()]
    return all(bool(peak.isfinite().all()) for peak in peaks)


def _total(tensors: Iterable[Tensor]) -> float:
    """Sum over all entries, of small tensors together."""
    total, together, size = 0.0, [], 0
    for tensor in tensors:
        count = tensor.numel()
        if count > SMALL:
            total += tensor.sum().item()
            continue
        together.append(tensor)
        size += count
        if size >= LISTED:
            total += lists.flattened(together).sum().item()
            together, size = [], 0
    return total + (lists.flattened(together).sum().item() if together else 0.0)


def _pieces(columns: Columns) -> Iterator[Columns]:
    tensors = [tensor for (tensor,) in columns.values()]
    if not all(tensor.is_contiguous() for tensor in tensors):
        yield columns
        return
    for parts in zip(*[tensor.view(-1).split(PIECE) for tensor in tensors], strict=True):
        yield {name: [part] for name, part in zip(columns, parts, strict=True)}
