"""Hugging Face Trainer for the two-gradient methods (extra ``hf``); imported by name, not by `signscope.optim`.

The one-gradient optimizers need no adapter: ``Trainer(..., optimizer_cls_and_kwargs=(Signum, {"lr": 1e-4}))``.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer  # pyright: ignore[reportMissingImports]

from signscope._core.errors import InvalidInput
from signscope.optim.two_point import TwoPointOptimizer


class ReplayTrainer(Trainer):
    """Trainer that keeps the micro-batches of a step and hands the optimizer a closure over them.

    The loss and its normalisation are those of ``Trainer.training_step``; gradient accumulation, schedules, logging
    and checkpoints work as usual. Clipping belongs to the optimizer (``max_grad_norm`` there, 0 here), mixed precision
    with a loss scale (fp16) is not covered.

    Raises:
        InvalidInput: The optimizer is not a two-gradient method, or the arguments ask for clipping or fp16.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stored: list[tuple[Any, ...]] = []
        if self.args.max_grad_norm:
            raise InvalidInput(
                f"ReplayTrainer: max_grad_norm={self.args.max_grad_norm} would clip one gradient of two. Set it to 0 "
                "and give the optimizer max_grad_norm=..., which uses one factor for both."
            )
        if self.args.fp16:
            raise InvalidInput("ReplayTrainer: fp16 needs a loss scale between two passes; train in float32 or bf16.")

    def training_step(self, model: nn.Module, inputs: Any, *rest: Any, **more: Any) -> Tensor:
        """Stores a micro-batch; at the last one of a step, the optimizer evaluates all of them at its points."""
        self._stored.append((inputs, rest, more))
        if not self.accelerator.sync_gradients:
            return torch.zeros((), device=self.args.device)
        stored, self._stored = self._stored, []
        one = super().training_step

        def closure() -> Tensor:
            return torch.stack([one(model, batch, *r, **m).detach() for batch, r, m in stored]).sum()

        optimizer = self._two_point()
        loss = optimizer.step(closure)
        optimizer.stepped_outside = True  # Trainer now calls step() without a closure
        return loss

    def _two_point(self) -> TwoPointOptimizer:
        optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        if not isinstance(optimizer, TwoPointOptimizer):
            raise InvalidInput(
                f"ReplayTrainer: the optimizer is {type(optimizer).__name__}, which needs no closure; use Trainer."
            )
        return optimizer
