"""What is reported of the noise of one layer, or of several together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope._core.norms import density_of
from signscope.measure.jackknife import Spread, corrected, spread_of
from signscope.measure.layers import Layer
from signscope.measure.merging import merged, merged_and_left
from signscope.measure.snr import Phases, Ratios, count_ratios, shares
from signscope.measure.state import GROUPS, GradientState
from signscope.measure.tails import Shape, shape_of

_ONCE = 1e-5  # relative deviation from the pattern of a single non-zero gradient that rounding explains


@dataclass(frozen=True)
class LayerNoise:
    """Gradient noise of one layer (or of all); sigma_i is the standard deviation of a per-sample gradient.

    Attributes:
        name: Of the parameter; "overall", "without embeddings".
        shape: Of the parameter; empty for several.
        dim: Number of coordinates.
        embedding: Whether it is the table of an embedding.
        sigma1: Sum of sigma_i, jackknife-corrected.
        sigma1_raw: Uncorrected.
        sigma2: Root of the sum of sigma_i^2.
        density: phi(sigma) = sigma1^2 / (dim sigma2^2), corrected.
        density_raw: Uncorrected, too small by about c4(n)^2, more for rare coordinates.
        density_low: Lower end of the 95% interval (sampling error only).
        density_high: Upper end.
        never_seen: Coordinates whose gradient was exactly zero in every batch.
        seen_once: Coordinates with a single non-zero gradient.
        grad_l1: l1 norm of the mean gradient; biased up by what noise is left in the mean.
        grad_l1_low: The same with signs taken from other batches; biased down.
        grad_l2: l2 norm of the gradient, noise taken out; 0 where the noise hides it.
        grad_density: Density of the mean gradient as measured. One Gaussian vector has 2/pi: see ``grad_signal``.
        grad_signal: Share of the squared mean gradient that is not noise, in [0, 1].
        noise_scale: Simple gradient noise scale sigma2^2 / |gradient|^2 in samples (arXiv 1812.06162); inf where the
            gradient is hidden.
        phases: Shares of coordinates in the phases of signSGD at the measured batch size.
        snr_counts: Coordinates by log10 |z|, see `signscope.measure.snr`.
        tails: Kurtosis, tail exponent and asymmetry of batch gradients, on followed coordinates.
    """

    name: str
    shape: tuple[int, ...]
    dim: int
    embedding: bool
    sigma1: float
    sigma1_raw: float
    sigma2: float
    density: float
    density_raw: float
    density_low: float
    density_high: float
    never_seen: int
    seen_once: int
    grad_l1: float
    grad_l1_low: float
    grad_l2: float
    grad_density: float
    grad_signal: float
    noise_scale: float
    phases: Phases
    snr_counts: tuple[int, ...]
    tails: Shape


@dataclass(frozen=True, eq=False)
class Sums:
    """Everything that adds up over coordinates."""

    spread: Spread
    ratios: Ratios
    never: int
    once: int
    l1: float
    l1_low: float
    squares: float

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.spread + other.spread,
            self.ratios + other.ratios,
            self.never + other.never,
            self.once + other.once,
            self.l1 + other.l1,
            self.l1_low + other.l1_low,
            self.squares + other.squares,
        )


def sums_of(state: GradientState, index: int, *, batch_size: float) -> Sums:
    """Sums over the coordinates of layer ``index``; signal-to-noise ratios are those of ``batch_size`` samples."""
    total: Sums | None = None
    for means, m2s in state.pieces(index):
        part = _sums(means, m2s, state, batch_size)
        total = part if total is None else total + part
    assert total is not None  # layers without entries are not measured
    return total


def summarised(
    sums: Sums, values: Tensor, state: GradientState, *, name: str, shape: Sequence[int], embedding: bool
) -> LayerNoise:
    """The numbers of one layer, or of several whose sums were added.

    Args:
        sums: Over its coordinates.
        values: Gradients of its followed coordinates, shape (gradients, k).
        state: For weights and counts.
        name: Of the result.
        shape: Of the parameter.
        embedding: Whether it is an embedding.
    """
    noise, total = corrected(sums.spread), float(state.weights.sum())
    signal = max(0.0, sums.squares - noise.sigma2**2 / total)
    return LayerNoise(
        name=name,
        shape=tuple(shape),
        dim=sums.spread.dim,
        embedding=embedding,
        sigma1=noise.sigma1,
        sigma1_raw=noise.sigma1_raw,
        sigma2=noise.sigma2,
        density=noise.density,
        density_raw=noise.density_raw,
        density_low=noise.low,
        density_high=noise.high,
        never_seen=sums.never,
        seen_once=sums.once,
        grad_l1=sums.l1,
        grad_l1_low=max(0.0, sums.l1_low),
        grad_l2=math.sqrt(signal),
        grad_density=density_of(sums.l1, math.sqrt(sums.squares), sums.spread.dim),
        grad_signal=signal / sums.squares if sums.squares > 0 else math.nan,
        noise_scale=noise.sigma2**2 / signal if signal > 0 else (math.inf if noise.sigma2 > 0 else math.nan),
        phases=shares(sums.ratios.phases),
        snr_counts=tuple(int(c) for c in sums.ratios.bins),
        tails=shape_of(values.double()),
    )


def tracked_sigma(state: GradientState, layers: Sequence[Layer]) -> list[Tensor]:
    """Per-sample standard deviation of the followed coordinates, by layer, float64, uncorrected."""
    found = []
    for layer, sums in zip(layers, state.sums, strict=True):
        part = sums[:, :, layer.tracked.to(sums.device)].cpu().double()
        _, m2 = merged(part[0], part[1], state.weights)
        found.append((m2 / (state.num_gradients - 1)).sqrt())
    return found


def _sums(means: Tensor, m2s: Tensor, state: GradientState, batch_size: float) -> Sums:
    """Of one piece, (groups, piece)."""
    weights, counts = state.weights.to(means.device), state.counts.to(means.device)
    found = merged_and_left(means, m2s, weights)
    std = (found.m2 / ((counts.sum() - 1) * batch_size)).sqrt()
    active = (means != 0) | (m2s != 0)
    groups = active.sum(0)
    return Sums(
        spread_of(found.m2, found.left_m2, counts),
        count_ratios(found.mean, std),
        int((groups == 0).sum()),
        _seen_once(means, m2s, active & (groups == 1), state),
        float(found.mean.abs().sum()),
        float(((weights / weights.sum())[:, None] * torch.sign(found.left_mean) * means).sum()),
        float((found.mean**2).sum()),
    )


def _seen_once(means: Tensor, m2s: Tensor, alone: Tensor, state: GradientState) -> int:
    r"""Coordinates with one non-zero gradient x: then the mean is w x / W and M2 = w x^2 (1 - w/W) in one group."""
    if not bool(alone.any()):
        return 0
    found = 0
    for group in range(GROUPS):
        mine = alone[group]
        total = float(state.weights[group])
        ratio = m2s[group, mine] / means[group, mine] ** 2
        wanted = ratio.new_tensor(sorted(total * (total - w) / w for w in state.seen[group]))
        place = torch.searchsorted(wanted, ratio).clamp(max=len(wanted) - 1)
        gap = torch.minimum((ratio - wanted[place]).abs(), (ratio - wanted[(place - 1).clamp(min=0)]).abs())
        near = gap <= _ONCE * ratio + 1e-12 * total**2
        found += int((near & ratio.isfinite()).sum())  # infinite where non-zero gradients cancelled
    return found
