"""What can go wrong between workers: lost ones, damaged messages, corrupt scales, parameters that differ."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from signscope._core.errors import InvalidInput, SignscopeError

SUMMED = 2**15
"""Words of a message summed at a time on the CPU, so that their products stay in cache."""


class WorkerLost(SignscopeError, RuntimeError):
    """A worker died, hung beyond the timeout, or left the group; no step was taken from what it sent."""


class MessageDamaged(SignscopeError, RuntimeError):
    """A message did not arrive as it was sent; no step was taken from it."""


def lost(who: str, *, rank: int, size: int, step: int, doing: str, timeout: float | None, cause: object) -> WorkerLost:
    """The error that a survivor raises."""
    waited = "the timeout of the process group" if timeout is None else f"{timeout:g} s"
    return WorkerLost(
        f"{who}: rank {rank} of {size} got no answer from another worker in step {step} ({doing}, limit: {waited}): a "
        "worker died, hangs, or runs other code. This step was not taken. Stop all workers, start them again (torchrun "
        f"does with --max-restarts) and continue from the last checkpoint. Cause: {_first_line(cause)}"
    )


def damaged(who: str, *, rank: int, size: int, step: int, doing: str, senders: Sequence[int]) -> MessageDamaged:
    """The error of the rank to which something else came than was sent."""
    return MessageDamaged(
        f"{who}: rank {rank} of {size} received other bits than rank {', '.join(map(str, senders))} sent in step "
        f"{step} ({doing}). This step was not taken. Look at the network and the memory of these machines, then start "
        "all workers again from the last checkpoint."
    )


def row_sums(rows: Tensor) -> Tensor:
    """One number per row that tells a damaged row from what was sent.

    The words of 32 bits are added with odd weights modulo 2^64, so that no change within one word goes unseen, and
    chance changes of several pass with probability about 2^-32.

    Args:
        rows: Contiguous numbers of any type, whole words per row, shape (rows, length).

    Returns:
        int64, shape (rows, 1).
    """
    words = rows.view(torch.int32)
    length = words.shape[1]
    odd, step = _odd_numbers(length, words.device), SUMMED if words.is_cpu else max(length, 1)
    total = torch.zeros(len(words), 1, dtype=torch.int64, device=words.device)
    for start in range(0, length, step):
        place = slice(start, start + step)
        total += (words[:, place] * odd[place]).sum(1, keepdim=True)
    return total


@lru_cache(maxsize=4)
def _odd_numbers(length: int, device: torch.device) -> Tensor:
    return torch.arange(1, 2 * length, 2, device=device)


def mend_scales(scales: Tensor, *, limit: float | None) -> tuple[Tensor, int]:
    """Scales that can do no harm, and how many had to be changed.

    A scale that is NaN, infinite or negative becomes 0, so that the block of that message counts for nothing; one
    above ``limit`` becomes ``limit``, which bounds the error that a corrupt message leaves in an average.

    Args:
        scales: As received, any shape.
        limit: Largest scale that is believed; None believes every finite one.
    """
    good = scales.isfinite() & (scales >= 0)
    fine = good if limit is None else good & (scales <= limit)
    if bool(fine.all()):
        return scales, 0
    mended = torch.where(good, scales, torch.zeros_like(scales))
    if limit is not None:
        mended.clamp_(max=limit)
    return mended, int((~fine).sum())


def mend_rows(rows: Tensor) -> tuple[Tensor, int]:
    """Uncompressed gradients with 0 for every number that is not finite, and how many there were."""
    wrong = int((~rows.isfinite()).sum())
    return (rows.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0), wrong) if wrong else (rows, 0)


def mend_counts(counts: Tensor, *, limit: int) -> tuple[Tensor, int]:
    """Votes for minus votes against, none beyond the number of voters, and how many were clipped.

    Args:
        counts: As received: bytes that hold signed numbers.
        limit: Number of voters.
    """
    votes = counts.view(torch.int8)
    wrong = int(((votes > limit) | (votes < -limit)).sum())
    return (votes.clamp(-limit, limit).view(torch.uint8), wrong) if wrong else (counts, 0)


def digest(parts: Iterable[object]) -> int:
    """Number of 62 bits that differs when any of the parts (tensors by their bytes, the rest by text) does."""
    seen = hashlib.blake2b(digest_size=8)
    for part in parts:
        if isinstance(part, Tensor):
            flat = part.detach().contiguous().view(-1).cpu()
            seen.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
        else:
            seen.update(repr(part).encode())
        seen.update(b";")
    return int.from_bytes(seen.digest(), "little") >> 2


def refuse_differences(who: str, names: Sequence[str], rows: Tensor) -> None:
    """Raises when the workers do not agree.

    Args:
        who: Name of the optimizer.
        names: What each column is.
        rows: Digests, one row per worker.

    Raises:
        InvalidInput: A column is not constant; the message names it and the workers that differ from the first.
    """
    for index, name in enumerate(names):
        other = (rows[:, index] != rows[0, index]).nonzero().view(-1).tolist()
        if other:
            raise InvalidInput(
                f"{who}: {name} of rank {', '.join(map(str, other))} differ from those of rank 0. Every worker must "
                "start from the same model (same seed, or broadcast the state of rank 0), with the same options."
            )


def _first_line(cause: object) -> str:
    text = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {text[0][:200] if text else ''}"
