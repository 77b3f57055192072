"""Private random streams of workers: one generator per (seed, rank, step, tensor), with no state between them.

A worker that is restarted, or simulated in another process, draws the same numbers from the same key.
"""

import numpy as np
import torch

SERVER = 2**31
"""Added to the rank of the owner of a slice, so that its draws as a server are not those it makes as a worker."""


def private_stream(
    seed: int, rank: int, step: int, tensor: int = 0, *, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Generator for one use: the same key gives the same numbers, and any other key independent ones.

    Args:
        seed: Seed of the run.
        rank: Rank of the worker in its group; ``SERVER + rank`` for what it draws as the owner of a slice.
        step: Step of the optimizer, from 0.
        tensor: Index of the tensor (or flat bucket of tensors).
        device: Where the numbers are drawn; the numbers differ between kinds of device.

    Returns:
        A fresh generator.
    """
    words = np.random.SeedSequence([seed, rank, step, tensor]).generate_state(2, np.uint32)
    return torch.Generator(device=device).manual_seed(int(words[0]) << 32 | int(words[1]))
