"""Muon for the matrices of a network and AdamW for the rest, as one optimizer."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from signscope.optim import Muon


class MuonWithAdamW(torch.optim.Optimizer):
    """One step of Muon on the hidden matrices and one of AdamW on embeddings, head, vectors and scalars.

    Kernels of convolutions are taken as matrices of shape (out, in * height * width). With ``match_rms_adamw`` both
    parts take the same learning rate. No weight decay: it is applied by the training loop, alike for all methods.

    Args:
        net: Its parameters are updated; embeddings and the last linear layer go to AdamW.
        lr: Learning rate of both parts.
        momentum: Of Muon, with Nesterov's step.
        betas: Of AdamW.
    """

    def __init__(
        self, net: nn.Module, lr: float, *, momentum: float = 0.9, betas: tuple[float, float] = (0.9, 0.95)
    ) -> None:
        hidden = hidden_matrices(net)
        chosen = {id(param) for param in hidden}
        others = [param for param in net.parameters() if id(param) not in chosen]
        self._kernels = hidden
        self._matrices = [nn.Parameter(param.detach().view(len(param), -1)) for param in hidden]
        parts: Sequence[torch.optim.Optimizer] = [torch.optim.AdamW(others, lr=lr, betas=betas, weight_decay=0.0)]
        if hidden:
            muon = Muon(
                self._matrices, lr, momentum=momentum, weight_decay=0.0, adjust_lr_fn="match_rms_adamw", ns_dtype=None
            )
            parts = [*parts, muon]
        self._parts = parts
        super().__init__([*net.parameters()], {"lr": lr})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both parts."""
        loss = None if closure is None else closure()
        for matrix, kernel in zip(self._matrices, self._kernels, strict=True):
            matrix.grad = None if kernel.grad is None else kernel.grad.view_as(matrix)
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """States of the parts, in order."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put both parts where they were."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)


def hidden_matrices(net: nn.Module) -> list[nn.Parameter]:
    """Weights with two or more dimensions that are neither an embedding's nor those of the last linear layer."""
    last = [module for module in net.modules() if isinstance(module, nn.Linear)][-1:]
    tables = [module for module in net.modules() if isinstance(module, nn.Embedding)]
    outside = {id(module.weight) for module in (*tables, *last)}
    return [param for param in net.parameters() if param.ndim > 1 and id(param) not in outside]
