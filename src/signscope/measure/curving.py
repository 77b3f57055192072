"""`smoothness`: constants of smoothness of a model at its current parameters."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.progress import Meter, as_meter
from signscope.measure.batches import count_rows, iterated, to_device
from signscope.measure.curvature import Curvature
from signscope.measure.diagonal import Diagonal, hutchinson
from signscope.measure.largest_eigenvalue import spectrum_ends
from signscope.measure.layers import layers_of, unwrapped
from signscope.measure.losses import MODES, Mode, as_loss, check_deterministic, precision, undisturbed
from signscope.measure.sign_search import Found, climb
from signscope.measure.smoothness_report import Direction, LayerCurvature, SmoothnessReport

WHO = "smoothness"
_HIDDEN = 0.1  # rounding of the loss, as a share of the Bregman value, from which the value is withheld


def smoothness(
    model: nn.Module,
    loss_fn: Any,
    loader: Iterable[Any],
    *,
    num_batches: int = 4,
    num_restarts: int = 4,
    num_iterations: int = 20,
    num_lanczos: int = 30,
    num_probes: int = 32,
    step: float = 1e-3,
    mode: Mode = "eval",
    autocast: torch.dtype | None = None,
    num_tracked: int = 2**13,
    seed: int = 0,
    progress: bool | Meter = False,
) -> SmoothnessReport:
    r"""Smoothness of the loss at the current parameters, in the geometry of signSGD (l-infinity) and of SGD (l2).

    The Hessian is that of the mean loss over the batches; sign vectors are found on the even batches and judged on the
    odd ones, since a maximum over a noisy Hessian is too large.

    Args:
        model: The model; it is left as it was.
        loss_fn: As in `gradient_noise`.
        loader: Batches; the first ``num_batches`` are kept in memory.
        num_batches: Batches to use; with one there is no cross-fitting.
        num_restarts: Starts of the search over sign vectors: the sign of the gradient, then random ones.
        num_iterations: Most moves per start; a start takes one product more.
        num_lanczos: Most products for the ends of the spectrum.
        num_probes: Random signs for the diagonal, at least 2.
        step: Length of signSGD's step for the finite differences.
        mode: "eval" or "train"; the loss must be deterministic in either.
        autocast: Evaluate the loss in this dtype.
        num_tracked: As in `gradient_noise`: equal numbers and seeds follow equal coordinates.
        seed: Of starts, probes and followed coordinates.
        progress: True shows a meter on a terminal.

    Returns:
        A `SmoothnessReport`; print it.

    Raises:
        InvalidInput: No gradients, no batches, a random loss, or a bad argument.

    Notes:
        Up to ``num_restarts * (num_iterations + 1) / 2 + num_lanczos + num_probes`` passes over the batches with second
        derivatives, each about two forward and backward passes. Memory: about eight vectors of the size of the model
        and the graph of one batch. This process alone; parameters may not be sharded.
    """
    for name, count, least in (
        ("num_batches", num_batches, 1),
        ("num_restarts", num_restarts, 1),
        ("num_iterations", num_iterations, 1),
        ("num_lanczos", num_lanczos, 1),
        ("num_probes", num_probes, 2),
        ("num_tracked", num_tracked, 0),
        ("seed", seed, 0),
    ):
        checks.integer(WHO, name, count, minimum=least)
    checks.one_of(WHO, "mode", mode, MODES)
    inner, length = unwrapped(model), checks.positive(WHO, "step", step)
    layers = layers_of(WHO, inner, num_tracked=num_tracked, seed=seed)
    loss, counts = as_loss(WHO, loss_fn), (num_restarts, num_iterations, num_lanczos, num_probes)
    meter = as_meter(progress, "smoothness")
    try:
        with undisturbed(inner, mode, loader=loader):
            taken = itertools.islice(iterated(WHO, loader), num_batches)
            batches = [to_device(batch, layers[0].param.device) for batch in taken]
            if not batches:
                raise InvalidInput(f"{WHO}: `loader` holds no batches.")
            rows = [float(count_rows(WHO, batch)) for batch in batches]
            curve = Curvature(WHO, loss, inner, layers, batches=batches, weights=rows, autocast=autocast)
            _check(curve, mode)
            return _measured(curve, counts, step=length, mode=mode, seed=seed, meter=meter)
    finally:
        meter.close()


def _check(curve: Curvature, mode: Mode) -> None:
    rtol = 1e-5 if curve.autocast is None and curve.params[0].dtype.itemsize >= 4 else 1e-3
    with precision(curve.device, curve.autocast):
        random = check_deterministic(WHO, curve.loss, curve.model, curve.batches[0], mode=mode, rtol=rtol)
    if random:
        raise InvalidInput(
            f"{WHO}: the loss is random in train mode (dropout?); differences of it are noise. Use mode='eval'."
        )


def _measured(
    curve: Curvature, counts: tuple[int, int, int, int], *, step: float, mode: str, seed: int, meter: Meter
) -> SmoothnessReport:
    num_restarts, num_iterations, num_lanczos, num_probes = counts
    everything = range(len(curve.batches))
    first, other = everything[0::2], everything[1::2]
    loss, grad = curve.gradient(everything)
    if not (math.isfinite(loss) and bool(grad.isfinite().all())):
        raise InvalidInput(f"{WHO}: loss ({loss:g}) or gradient is not finite at the current parameters.")
    grad_l1, grad_l2 = float(grad.abs().sum()), float(grad.norm())
    direction = _along(curve, first, step)
    meter.update(0.05)
    best, values, bregman = _climbed(curve, first, num_restarts, num_iterations, seed)
    crossfit, stderr, bregman_other = _judged(curve, best, other)
    meter.update(0.4)
    del best
    start = torch.randn(curve.dim, generator=torch.Generator().manual_seed(seed), dtype=curve.dtype).to(curve.device)
    ends = spectrum_ends(lambda v: curve.product(v, everything), start, num_steps=num_lanczos)
    meter.update(0.7)
    diagonal = hutchinson(
        lambda v: curve.product(v, everything),
        lambda probe: curve.random_signs(seed, "probe", probe),
        num_probes=num_probes,
        sizes=curve.sizes,
    )
    return SmoothnessReport(
        layers=_layers(curve, diagonal),
        dim=curve.dim,
        loss=loss,
        grad_l1=grad_l1,
        grad_l2=grad_l2,
        direction=direction,
        maximum=max(values),
        bregman_maximum=bregman,
        restarts=tuple(values),
        crossfit=crossfit,
        crossfit_stderr=stderr,
        bregman_crossfit=bregman_other,
        low=ends.low,
        high=ends.high,
        eigenvalue_error=ends.residual,
        trace=diagonal.trace,
        trace_stderr=diagonal.trace_stderr,
        diagonal_l1=max(diagonal.sum_abs, abs(diagonal.trace)),
        diagonal_reliability=diagonal.reliability,
        num_products=curve.products,
        num_batches=len(curve.batches),
        batch_size=sum(curve.weights) / len(curve.batches),
        mode=mode,
        seed=seed,
    )


def _along(curve: Curvature, chosen: Sequence[int], step: float) -> Direction:
    """Both forms along the step of signSGD on the same batches at both points."""
    loss, grad = curve.gradient(chosen)
    signs = torch.sign(grad)
    image = curve.product(signs, chosen)
    with curve.moved(-step * signs, along=grad) as (reach, expected):
        far_loss, far = curve.gradient(chosen)
    change = float((far - grad).abs().sum())
    gap = abs(far_loss - loss - expected)  # by the moves as rounded, some of which are shorter than `reach`
    dtypes = {param.dtype for param in curve.params} | ({curve.autocast} if curve.autocast else set())
    rounding = max(torch.finfo(dtype).eps for dtype in dtypes) * max(abs(loss), abs(far_loss))
    hidden = not rounding <= _HIDDEN * gap
    return Direction(
        step=reach,
        lipschitz=change / reach if reach > 0 else math.nan,
        lipschitz_product=float(image.abs().sum()),
        bregman=math.nan if hidden or not reach > 0 else 2 * gap / reach**2,
        bregman_product=abs(float(torch.dot(signs, image))),
    )


def _climbed(
    curve: Curvature, chosen: Sequence[int], num_restarts: int, num_iterations: int, seed: int
) -> tuple[Found, list[float], float]:
    """The best search, the value of each, and the best Bregman value."""
    best, values, bregman = None, [], 0.0
    for start in range(num_restarts):
        signs = torch.sign(curve.gradient(chosen)[1]) if start == 0 else curve.random_signs(seed, "start", start)
        signs = torch.where(signs == 0, torch.ones_like(signs), signs)
        found = climb(lambda v: curve.product(v, chosen), signs, num_iterations=num_iterations)
        if best is None or found.lipschitz > best.lipschitz:
            best = found
        values.append(found.lipschitz)
        bregman = max(bregman, found.bregman)
    assert best is not None  # at least one start
    return best, values, bregman


def _judged(curve: Curvature, best: Found, chosen: Sequence[int]) -> tuple[float, float, float]:
    """The product t'Hs, its standard error, and |s'Hs| on batches that had no say in s and t."""
    if not len(chosen):
        return math.nan, math.nan, math.nan
    values, own = [], []
    for index in chosen:
        image = curve.product(best.right, [index])
        values.append(float(torch.dot(best.left, image)))
        own.append(float(torch.dot(best.right, image)))
    shares = torch.tensor([curve.weights[i] for i in chosen], dtype=torch.float64)
    shares = shares / shares.sum()
    found = torch.tensor(values, dtype=torch.float64)
    mean, count = float((shares * found).sum()), len(values)
    spread = float((shares**2 * (found - mean) ** 2).sum()) * count / (count - 1) if count > 1 else math.nan
    return mean, math.sqrt(spread), abs(float((shares * torch.tensor(own, dtype=torch.float64)).sum()))


def _layers(curve: Curvature, diagonal: Diagonal) -> tuple[LayerCurvature, ...]:
    parts = diagonal.mean.split(curve.sizes)
    return tuple(
        LayerCurvature(layer.name, layer.dim, total, layer.scale, tuple(part.cpu()[layer.tracked].double().tolist()))
        for layer, total, part in zip(curve.layers, diagonal.sum_abs_by_layer, parts, strict=True)
    )
