"""`gradient_noise`: the noise of a model's gradients, streamed over batches."""

import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from signscope._core import checks
from signscope._core.errors import InvalidInput, SignscopeWarning
from signscope._core.progress import Meter, as_meter
from signscope.measure import gathering
from signscope.measure.batches import count_rows, iterated, to_device
from signscope.measure.layers import Layer, frozen_names, layers_of, unwrapped
from signscope.measure.losses import (
    MODES,
    Loss,
    Mode,
    all_finite,
    as_loss,
    check_deterministic,
    evaluate,
    gradient,
    precision,
    undisturbed,
)
from signscope.measure.noise_layer import summarised, sums_of, tracked_sigma
from signscope.measure.noise_report import NoiseReport, Tracked
from signscope.measure.samples import sample_gradients
from signscope.measure.state import GROUPS, GradientState

WHO = "gradient_noise"
LEAST = 2 * GROUPS
"""Fewest gradients: two in each group of the jackknife."""


class ShortLoader(SignscopeWarning):
    """The loader ended before as many batches as asked for."""


def gradient_noise(
    model: nn.Module,
    loss_fn: Any,
    loader: Iterable[Any],
    *,
    num_batches: int = 64,
    samples: Literal["batches", "each"] = "batches",
    mode: Mode = "eval",
    weights: Callable[[Any], float] | None = None,
    autocast: torch.dtype | None = None,
    loss_scale: float = 1.0,
    num_tracked: int = 2**13,
    chunk: int | None = None,
    process_group: Any = "auto",
    seed: int = 0,
    progress: bool | Meter = False,
) -> NoiseReport:
    r"""Noise of the gradient at the current parameters, by layer and overall, in one pass over some batches.

    The variance of every coordinate is accumulated in four groups of batches (Welford; Chan's merge), from which the
    grouped jackknife gives $\sigma_1$ and the density with an interval. Nothing of the model is changed: neither
    parameters, ``.grad``, buffers, modes nor the state of the random generators.

    Args:
        model: The model; parameters that require no gradient are left out, tied ones counted once.
        loss_fn: ``loss_fn(model, batch)``, the mean loss of a batch; or a criterion such as ``nn.CrossEntropyLoss()``
            for batches (inputs, targets).
        loader: Batches, drawn independently. Their tensors are moved to the device of the first parameter.
        num_batches: Batches to use, per process; at least 8 gradients in total are needed.
        samples: "batches": one gradient per batch (no per-sample gradients needed); "each": one per sample, by
            ``torch.func``.
        mode: "eval": noise of the data alone; "train": what the optimizer sees (dropout, batch statistics).
        weights: Weight of a batch, say its number of tokens; by default its rows. Batches may differ: the variance of
            a batch gradient is taken to be $\sigma^2$ / weight, and sigma is per unit of weight.
        autocast: Evaluate the loss in this dtype (``torch.bfloat16``).
        loss_scale: Factor on the loss in the backward pass, divided out of the gradient (float16).
        num_tracked: Coordinates whose gradients are kept in full, for tails and for `advise`.
        chunk: Samples at a time for ``samples="each"``.
        process_group: Processes whose data are merged: "auto" is torch.distributed's default group where initialised,
            None this process alone. Batch k of process r counts as batch k R + r of the whole data.
        seed: Of the choice of followed coordinates.
        progress: True shows a meter on a terminal.

    Returns:
        A `NoiseReport`; print it.

    Raises:
        InvalidInput: No gradients, a random loss in eval mode, fewer than 8 finite gradients, or a bad argument.
        Unsupported: The model does not work under vmap (``samples="each"``).

    Warns:
        ShortLoader: The loader held fewer batches than asked for.

    Notes:
        Memory: 32 bytes per parameter (64 for float64 parameters) beyond what a forward and backward pass needs; with
        ``samples="each"`` also the gradients of ``chunk`` samples, with ``loss_scale`` one copy of the gradient. Time:
        the passes plus five reads or writes of the statistics per batch. Batches with a non-finite loss or gradient are
        counted and left out (with ``samples="each"`` the ``chunk`` with such a gradient).
    """
    asked = _checked(num_batches, samples, mode, num_tracked, loss_scale, chunk)
    checks.integer(WHO, "seed", seed, minimum=0)
    if weights is not None and samples == "each":
        raise InvalidInput(f"{WHO}: `weights` belong to batches; with samples='each' every sample weighs the same.")
    inner = unwrapped(model)
    layers = layers_of(WHO, inner, num_tracked=num_tracked, seed=seed)
    loss = as_loss(WHO, loss_fn)
    run = _Run(loss, inner, layers, mode, weights, autocast, loss_scale, samples == "each", chunk, asked)
    run.rank, run.size, group = gathering.world(process_group)
    error: BaseException | None = None
    try:
        with undisturbed(inner, mode, loader=loader):
            run.measure(loader, as_meter(progress, "gradient noise"))
    except Exception as failure:
        if group is None:
            raise
        error = failure
    gathering.agree(WHO, error, group)
    gathering.merge_(run.state, group)
    return _report(run, gathering.exchanged(run.notes(), group), seed=seed, frozen=len(frozen_names(inner)))


def _checked(num_batches: int, samples: str, mode: str, num_tracked: int, loss_scale: float, chunk: int | None) -> int:
    checks.one_of(WHO, "samples", samples, ("batches", "each"))
    checks.one_of(WHO, "mode", mode, MODES)
    checks.integer(WHO, "num_tracked", num_tracked, minimum=0)
    checks.positive(WHO, "loss_scale", loss_scale)
    if chunk is not None:
        checks.integer(WHO, "chunk", chunk, minimum=1)
    return checks.integer(WHO, "num_batches", num_batches, minimum=1)


@dataclass(eq=False)
class _Run:
    """One measurement under way."""

    loss: Loss
    model: nn.Module
    layers: Sequence[Layer]
    mode: Mode
    weights: Callable[[Any], float] | None
    autocast: torch.dtype | None
    scale: float
    each: bool
    chunk: int | None
    asked: int
    rank: int = 0
    size: int = 1
    state: GradientState = field(init=False)
    random_loss: bool = False
    used: int = 0
    refused: int = 0
    first_refused: str = ""
    losses: float = 0.0
    weight: float = 0.0

    def __post_init__(self) -> None:
        self.state = GradientState(self.layers)

    def measure(self, loader: Iterable[Any], meter: Meter) -> None:
        """Take in the batches of this process."""
        device = self.layers[0].param.device
        rtol = 1e-5 if self.autocast is None and self.layers[0].param.dtype.itemsize >= 4 else 1e-3
        try:
            for number, batch in enumerate(itertools.islice(iterated(WHO, loader), self.asked)):
                here = to_device(batch, device)
                with precision(device, self.autocast):
                    if number == 0:
                        self.random_loss = check_deterministic(
                            WHO, self.loss, self.model, here, mode=self.mode, rtol=rtol
                        )
                    self._take(here, number * self.size + self.rank)
                meter.update((number + 1) / self.asked)
        finally:
            meter.close()

    def notes(self) -> tuple[Any, ...]:
        """What the other processes need to know."""
        return self.used, self.refused, self.first_refused, self.losses, self.weight, self.random_loss

    def _take(self, batch: Any, place: int) -> None:
        weight = self._weight(batch)
        if self.each:
            value = self._samples(batch, place)
        else:
            value = self._batch(batch, weight, place)
        if value is not None:
            self.used += 1
            self.losses += weight * value
            self.weight += weight

    def _batch(self, batch: Any, weight: float, place: int) -> float | None:
        with torch.enable_grad():
            value = evaluate(WHO, self.loss, self.model, batch)
            grads = gradient(WHO, value, self.layers, scale=self.scale)
        if not self._finite(float(value.detach()), grads):
            self.refused += 1
            return None
        self.state.add(grads, weight=weight, place=place)
        return float(value.detach())

    def _samples(self, batch: Any, place: int) -> float | None:
        with torch.no_grad():
            value = float(evaluate(WHO, self.loss, self.model, batch))
        if not self._finite(value, []):
            self.refused += 1
            return None
        if not self.used:  # vmap would give zeros where the loss does not depend on the parameters
            with torch.enable_grad():
                gradient(WHO, evaluate(WHO, self.loss, self.model, batch), self.layers)
        finite = []
        for first, grads in sample_gradients(
            WHO, self.loss, self.model, batch, self.layers, chunk=self.chunk, scale=self.scale
        ):
            finite.append(self._finite(value, grads))  # of these few samples; the others of the batch count
            if finite[-1]:
                self.state.add_samples(grads, place=place, first=first)
        self.refused += not all(finite)
        return value if any(finite) else None

    def _finite(self, value: float, grads: Sequence[torch.Tensor]) -> bool:
        if math.isfinite(value) and (not grads or all_finite(grads)):
            return True
        bad = (layer.name for layer, grad in zip(self.layers, grads, strict=True) if not bool(grad.isfinite().all()))
        self.first_refused = self.first_refused or ("loss" if not math.isfinite(value) else next(bad, "loss"))
        return False

    def _weight(self, batch: Any) -> float:
        if self.weights is None:
            return float(count_rows(WHO, batch))
        return checks.positive(WHO, "weights(batch)", self.weights(batch))


def _report(run: _Run, notes: Sequence[tuple[Any, ...]], *, seed: int, frozen: int) -> NoiseReport:
    state, asked = run.state, run.asked * run.size
    used, refused = sum(note[0] for note in notes), sum(note[1] for note in notes)
    _check_count(state, used, refused, asked, next((note[2] for note in notes if note[2]), ""))
    columns = state.tracked().split([len(layer.tracked) for layer in run.layers], dim=1)
    weight = sum(note[4] for note in notes)
    sums = [sums_of(state, index, batch_size=weight / used) for index in range(len(run.layers))]

    def together(name: str, chosen: Sequence[int]) -> Any:
        whole = sums[chosen[0]]
        for index in chosen[1:]:
            whole = whole + sums[index]
        values = torch.cat([columns[index] for index in chosen], dim=1)
        return summarised(whole, values, state, name=name, shape=(), embedding=False)

    bodies = [index for index, layer in enumerate(run.layers) if not layer.embedding]
    return NoiseReport(
        layers=tuple(
            summarised(sums[i], columns[i], state, name=layer.name, shape=layer.param.shape, embedding=layer.embedding)
            for i, layer in enumerate(run.layers)
        ),
        overall=together("overall", range(len(run.layers))),
        body=together("without embeddings", bodies) if 0 < len(bodies) < len(run.layers) else None,
        batch_size=weight / used,
        num_batches=used,
        num_asked=asked,
        num_refused=refused,
        first_refused=next((note[2] for note in notes if note[2]), ""),
        num_gradients=state.num_gradients,
        samples="each" if run.each else "batches",
        mode=run.mode,
        random_loss=any(note[5] for note in notes),
        loss=sum(note[3] for note in notes) / weight,
        frozen=frozen,
        num_processes=run.size,
        bytes_per_parameter=state.bytes_per_parameter,
        tracked=tuple(
            Tracked(layer.name, layer.scale, tuple(sigma.tolist()))
            for layer, sigma in zip(run.layers, tracked_sigma(state, run.layers), strict=True)
        ),
        seed=seed,
    )


def _check_count(state: GradientState, used: int, refused: int, asked: int, where: str) -> None:
    """Refuse what cannot carry an estimate; warn where the loader was short."""
    reason = (
        f" {refused} of {used + refused} batches had a non-finite loss or gradient (first: {where})." if refused else ""
    )
    if state.num_gradients < LEAST or int(state.counts.min()) < 2:
        raise InvalidInput(
            f"{WHO}: needs at least {LEAST} gradients, two in each of {GROUPS} groups, got {state.num_gradients}."
            f"{reason} Use more batches, or samples='each'."
        )
    if used + refused < asked:
        warnings.warn(
            f"{WHO}: the loader ended after {used + refused} of {asked} batches; the report rests on {used}.",
            ShortLoader,
            stacklevel=4,
        )
