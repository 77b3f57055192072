"""The statistics of several processes made those of the union of their data."""

from typing import Any

import torch

from signscope._core.errors import InvalidInput, SignscopeError
from signscope.measure.merging import PIECE
from signscope.measure.state import GROUPS, GradientState

EXCHANGED = 16 * PIECE  # entries per collective call: few calls, little memory


def world(process_group: Any) -> tuple[int, int, Any]:
    """Rank, number of processes, and the group; (0, 1, None) where there is one process only.

    Args:
        process_group: A torch.distributed group, None for this process alone, or "auto": the default group where one
            is initialised.
    """
    if process_group is None or not torch.distributed.is_available():
        return 0, 1, None
    if process_group == "auto":
        if not torch.distributed.is_initialized():
            return 0, 1, None
        process_group = torch.distributed.group.WORLD
    rank, size = torch.distributed.get_rank(process_group), torch.distributed.get_world_size(process_group)
    return (rank, size, process_group) if size > 1 else (0, 1, None)


def exchanged(note: Any, group: Any) -> list[Any]:
    """``note`` of every process, in order of rank."""
    if group is None:
        return [note]
    notes: list[Any] = [None] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(notes, note, group=group)
    return notes


def agree(who: str, error: BaseException | None, group: Any) -> None:
    """Raise everywhere when one process has failed, so that none waits for it.

    Raises:
        InvalidInput: On the processes that did not fail themselves; the others raise their own error.
    """
    kind = "" if error is None or isinstance(error, SignscopeError) else f"{type(error).__name__}: "
    notes = exchanged(None if error is None else f"{kind}{error}", group)
    if error is not None:
        raise error
    for rank, note in enumerate(notes):
        if note is not None:
            raise InvalidInput(f"{who}: process {rank} failed: {note}")


def merge_(state: GradientState, group: Any) -> None:
    """Merge the states of all processes in place, on every one of them: Chan's formula by sums over processes.

    Where that ends half-way (a process was lost, or Ctrl-C) the state is emptied: half of a merge looks like a result.
    """
    if group is None:
        return
    try:
        _merge(state, group)
    except BaseException:
        state.clear()
        raise


def _merge(state: GradientState, group: Any) -> None:
    notes = exchanged((state.weights, state.counts, state.seen, state.rows), group)
    total = torch.stack([note[0] for note in notes]).sum(0)
    for g in range(GROUPS):
        if float(total[g]) > 0:
            for sums in state.sums:
                _merge_group(sums[0, g], sums[1, g], float(state.weights[g]), float(total[g]), group)
    state.weights, state.counts = total, torch.stack([note[1] for note in notes]).sum(0)
    state.seen = [set().union(*(note[2][g] for note in notes)) for g in range(GROUPS)]
    state.rows = {key: row for note in notes for key, row in note[3].items()}


def _merge_group(mean: torch.Tensor, m2: torch.Tensor, weight: float, total: float, group: Any) -> None:
    for start in range(0, len(mean), EXCHANGED):
        cut = slice(start, start + EXCHANGED)
        joint = mean[cut] * (weight / total)
        torch.distributed.all_reduce(joint, group=group)
        m2[cut].addcmul_(mean[cut] - joint, mean[cut] - joint, value=weight)
        torch.distributed.all_reduce(m2[cut], group=group)
        mean[cut] = joint
