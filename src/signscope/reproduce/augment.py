"""Random crops and flips that depend on the seed and the number of the batch alone."""

import torch
from torch import Tensor, nn

from signscope._core.random import stream


def crop_and_flip(images: Tensor, *, seed: int, batch: int) -> Tensor:
    """Images shifted within a border of zeros (an eighth of the height: 4 at 32) and mirrored with probability 1/2.

    The result belongs to the batch: every method, every point at which a method evaluates the batch, and a run that
    was interrupted see the same one.

    Args:
        images: Rows (n, channels, height, width).
        seed: Of the run.
        batch: Number of the batch in the run.

    Returns:
        As many images of the same shape, on the same device.
    """
    rows, channels, height, width = images.shape
    rng, border = stream(seed, "augment", batch), max(1, height // 8)
    shifts = torch.from_numpy(rng.integers(2 * border + 1, size=(2, rows, 1))).to(images.device)
    mirrored = torch.from_numpy(rng.random((rows, 1)) < 0.5).to(images.device)
    up, across = (
        shift + torch.arange(size, device=images.device) for shift, size in zip(shifts, (height, width), strict=True)
    )
    across = torch.where(mirrored, across.flip(1), across)
    padded = nn.functional.pad(images, (border,) * 4)
    first, second = (torch.arange(size, device=images.device) for size in (rows, channels))
    return padded[first[:, None, None, None], second[:, None, None], up[:, None, :, None], across[:, None, None, :]]
