"""The optimizers, advancing all runs of a group by one step at a time."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from signscope import rules
from signscope.simulation.feed import Block
from signscope.simulation.settings import Settings


class Stepper(Protocol):
    """Holds the displacements v = theta - target, shape (num_runs, dim), and moves them."""

    displacement: Tensor

    def advance(self, block: Block, first: int, step_sizes: Sequence[float]) -> None:
        """Make one update per entry of ``step_sizes``, with the rows of ``block`` from step ``first`` on."""
        ...


class GradientStepper:
    """Any rule that turns a gradient into a direction.

    With rows x and noise e of a batch: g = (1/B) sum_b (<x_b, v> - e_b) x_b, v <- v - step_size * rule(g).
    """

    def __init__(self, displacement: Tensor, direction: Callable[[Tensor], Tensor]) -> None:
        self.displacement, self._direction = displacement, direction

    def advance(self, block: Block, first: int, step_sizes: Sequence[float]) -> None:
        """One matrix-vector product per run and step, and its transpose."""
        for step, size in enumerate(step_sizes, start=first):
            grad = self._gradient(block.rows[:, step], block.noise[:, step])
            self.displacement.sub_(self._direction(grad), alpha=size)

    def _gradient(self, rows: Tensor, noise: Tensor) -> Tensor:
        v = self.displacement
        batch_size = rows.shape[1]
        if batch_size == 1:  # elementwise products beat 64 tiny matrix products
            row = rows[:, 0]
            residual = (row * v).sum(1).sub_(noise[:, 0])
            return row * residual.unsqueeze(1)
        residual = torch.bmm(rows, v.unsqueeze(2)).squeeze(2).sub_(noise)  # (num_runs, batch_size)
        return torch.bmm(residual.unsqueeze(1), rows).squeeze(1).div_(batch_size)


class SignStepper:
    """signSGD on single rows: sign((<x, v> - e) x) = sign(<x, v> - e) sign(x), signs of x computed beforehand.

    The same rule as `GradientStepper` with `rules.signsgd`, at half the passes over the rows.
    """

    def __init__(self, displacement: Tensor) -> None:
        self.displacement = displacement
        self._product = torch.empty_like(displacement)
        self._sign = displacement.new_empty((len(displacement), 1))

    def advance(self, block: Block, first: int, step_sizes: Sequence[float]) -> None:
        """Five operations per step, none of which allocates."""
        assert block.signs is not None
        v, product, sign = self.displacement, self._product, self._sign
        taken = slice(first, first + len(step_sizes))
        pieces = zip(
            block.rows[:, taken, 0].unbind(1),
            block.signs[:, taken, 0].unbind(1),
            block.noise[:, taken].unbind(1),
            step_sizes,
            strict=True,
        )
        for row, row_sign, noise, size in pieces:
            torch.mul(row, v, out=product)
            torch.sum(product, 1, keepdim=True, out=sign)
            sign.sub_(noise).sign_()
            v.addcmul_(row_sign, sign, value=-size)


class AdamDirection:
    """`rules.adam` with its moments kept between calls."""

    def __init__(self, like: Tensor, *, betas: tuple[float, float], eps: float) -> None:
        self._first, self._second, self._step = torch.zeros_like(like), torch.zeros_like(like), 0
        self._betas, self._eps = betas, eps

    def __call__(self, grad: Tensor) -> Tensor:
        """The direction for the next gradient."""
        self._step += 1
        direction, self._first, self._second = rules.adam(
            grad, self._first, self._second, self._step, betas=self._betas, eps=self._eps
        )
        return direction


class SignumDirection:
    """`rules.signum` with its average kept between calls; the first gradient starts it."""

    def __init__(self, *, momentum: float) -> None:
        self._momentum, self._average = momentum, None

    def __call__(self, grad: Tensor) -> Tensor:
        """The direction for the next gradient."""
        before = grad if self._average is None else self._average
        direction, self._average = rules.signum(grad, before, momentum=self._momentum)
        return direction


def stepper(settings: Settings, displacement: Tensor) -> Stepper:
    """The stepper of ``settings.optimizer``; it changes ``displacement`` in place."""
    if settings.wants_signs:
        return SignStepper(displacement)
    if settings.optimizer == "adam":
        adam = AdamDirection(displacement, betas=settings.betas, eps=settings.eps)
        return GradientStepper(displacement, adam)
    if settings.optimizer == "signum":
        return GradientStepper(displacement, SignumDirection(momentum=settings.betas[0]))
    return GradientStepper(displacement, rules.signsgd if settings.optimizer == "signsgd" else rules.sgd)
