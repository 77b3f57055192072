"""Gradients and Hessian-vector products of the mean loss over some batches, as flat vectors."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from signscope._core.random import stream
from signscope.measure.layers import Layer
from signscope.measure.losses import Loss, evaluate, gradient, precision
from signscope.measure.state import wide


class Curvature:
    """The mean loss over batches as a function of one flat vector of parameters, at the current point.

    Args:
        who: Name of the caller, for messages.
        loss: ``loss(model, batch)``.
        model: The model.
        layers: Its measured parameters.
        batches: Batches on the device of the model.
        weights: Their weights; the mean loss is weighted by them.
        autocast: See `precision`.

    Attributes:
        products: Hessian-vector products of single batches taken so far.
    """

    def __init__(
        self,
        who: str,
        loss: Loss,
        model: nn.Module,
        layers: Sequence[Layer],
        *,
        batches: Sequence[Any],
        weights: Sequence[float],
        autocast: torch.dtype | None = None,
    ) -> None:
        self.who, self.loss, self.model, self.layers, self.autocast = who, loss, model, layers, autocast
        self.batches, self.weights, self.products = list(batches), list(weights), 0
        self.params = [layer.param for layer in layers]
        self.sizes = [layer.dim for layer in layers]
        self.dim = sum(self.sizes)
        self.dtype = max((wide(p.dtype) for p in self.params), key=lambda dtype: dtype.itemsize)
        self.device = self.params[0].device

    def gradient(self, chosen: Sequence[int]) -> tuple[float, Tensor]:
        """Mean loss and its gradient, shape (dim,), over the chosen batches."""
        total, mean, out = sum(self.weights[i] for i in chosen), 0.0, self.zeros()
        for index in chosen:
            share = self.weights[index] / total
            with torch.enable_grad(), precision(self.device, self.autocast):
                value = evaluate(self.who, self.loss, self.model, self.batches[index])
                grads = gradient(self.who, value, self.layers)
            mean += share * float(value.detach())
            self._add(out, grads, share)
        return mean, out

    def product(self, vector: Tensor, chosen: Sequence[int]) -> Tensor:
        """Hessian of the mean loss over the chosen batches times ``vector``, shape (dim,)."""
        total, out = sum(self.weights[i] for i in chosen), self.zeros()
        for index in chosen:
            self._add(out, self._product(vector, index), self.weights[index] / total)
            self.products += 1
        return out

    @contextlib.contextmanager
    def moved(self, vector: Tensor, *, along: Tensor) -> Iterator[tuple[float, float]]:
        """Parameters moved by ``vector`` (rounded to their dtype) and put back.

        Yields:
            The largest move, and the inner product of the moves with ``along``.
        """
        before = [param.detach().clone() for param in self.params]
        reach, inner = 0.0, 0.0
        try:
            with torch.no_grad():
                for param, old, part, other in zip(
                    self.params, before, self.parts(vector), self.parts(along), strict=True
                ):
                    param.add_(part.to(param.dtype))
                    move = param.double() - old.double()
                    reach = max(reach, float(move.abs().max()))
                    inner += float((move * other.double()).sum())
            yield reach, inner
        finally:
            with torch.no_grad():
                for param, old in zip(self.params, before, strict=True):
                    param.copy_(old)

    def zeros(self) -> Tensor:
        """A zero vector."""
        return torch.zeros(self.dim, dtype=self.dtype, device=self.device)

    def random_signs(self, seed: int, *names: str | int) -> Tensor:
        """Independent signs, the same on every device."""
        generator = torch.Generator().manual_seed(int(stream(seed, *names).integers(2**62)))
        bits = torch.randint(0, 2, (self.dim,), generator=generator, dtype=torch.int8)
        return (2 * bits - 1).to(device=self.device, dtype=self.dtype)

    def parts(self, vector: Tensor) -> list[Tensor]:
        """Views of a flat vector in the shapes of the parameters."""
        cut = vector.split(self.sizes)
        return [part.view(param.shape) for part, param in zip(cut, self.params, strict=True)]

    def _product(self, vector: Tensor, index: int) -> list[Tensor]:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        with (
            torch.enable_grad(),
            precision(self.device, self.autocast),
            sdpa_kernel(SDPBackend.MATH),
        ):  # has a 2nd derivative
            value = evaluate(self.who, self.loss, self.model, self.batches[index])
            grads = torch.autograd.grad(value, self.params, create_graph=True, allow_unused=True)
            terms = [
                (grad * part.to(grad.dtype)).sum()
                for grad, part in zip(grads, self.parts(vector), strict=True)
                if grad is not None and grad.requires_grad
            ]
            if not terms:
                return [torch.zeros_like(param) for param in self.params]
            found = torch.autograd.grad(torch.stack(terms).sum(), self.params, allow_unused=True)
        return [torch.zeros_like(p) if f is None else f for p, f in zip(self.params, found, strict=True)]

    def _add(self, out: Tensor, grads: Sequence[Tensor], share: float) -> None:
        for part, grad in zip(self.parts(out), grads, strict=True):
            part.add_(grad.to(out.dtype), alpha=share)
