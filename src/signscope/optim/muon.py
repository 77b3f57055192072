"""Muon as a torch optimizer, in the theory's and in the practical form."""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.optim import lists
from signscope.optim.averaging import past
from signscope.optim.base import Group, SignOptimizer, common_options
from signscope.optim.blocks import Columns
from signscope.rules.spectral import QUINTIC, newton_schulz, polar_factor

POLAR = ("newton-schulz", "svd")
ADJUSTMENTS = ("original", "match_rms_adamw", "none")


class Muon(SignOptimizer):
    r"""Muon: the matrix sign of the averaged gradient, for 2-D parameters.

    ```text
    B = momentum * B + (1 - momentum) * G                      (B = 0 before the first step)
    M = momentum * B + (1 - momentum) * G  if nesterov else  B
    O = msign(M)                                               exact (svd) or by Newton-Schulz
    X = (1 - lr * weight_decay) * X - lr * factor(shape) * O
    ```

    Source: `muon`, `polar_factor` and `newton_schulz` in `signscope.rules`. Memory: 1 float per parameter. Gradient
    calls: 1 per step. msign(0) is 0. Unchanged when all gradients are multiplied by a positive number (exact form).

    `Muon.plain` is the theory's form: no momentum, exact matrix sign, no factor; on diagonal matrices it is
    `SignSGD`. The default is the practical form, equal to torch.optim.Muon with the same options.

    Differs from the paper: the average weighs the gradient by 1 - momentum, which the matrix sign does not see;
    Newton-Schulz does not converge to it: singular values end in [0.68, 1.20], tiny ones stay tiny. From
    torch.optim.Muon: a missing gradient counts as zeros once there is a memory, state is float32 for half precision,
    and a step with a NaN or infinite gradient is skipped and counted.

    Give it the 2-D weights of hidden layers; embeddings, heads and 1-D parameters belong to another optimizer.

    Args:
        params: 2-D parameters, or groups of them.
        lr: Length of the step in operator norm, before the factor.
        weight_decay: Decoupled weight decay, per unit of ``lr`` without the factor.
        momentum: Weight of the past, in [0, 1).
        nesterov: Average once more with the gradient before the matrix sign.
        polar: "newton-schulz" or "svd".
        ns_coefficients: Coefficients (a, b, c) of the Newton-Schulz polynomial.
        eps: Smallest divisor of the normalisation.
        ns_steps: Rounds of Newton-Schulz.
        ns_dtype: Precision of the rounds; ``None`` takes that of the gradient (faster than bfloat16 on many CPUs).
        adjust_lr_fn: "original" (also ``None``): sqrt(max(1, rows / columns)); "match_rms_adamw":
            0.2 sqrt(max(rows, columns)); "none": 1.
        maximize: Climb instead of descend.
        master_weights: Keep float32 copies of half-precision weights and update those (4 bytes per weight).
    """

    buffers = ("momentum_buffer",)
    elementwise = False

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        *,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        polar: str = "newton-schulz",
        ns_coefficients: tuple[float, float, float] = QUINTIC,
        eps: float = 1e-7,
        ns_steps: int = 5,
        ns_dtype: torch.dtype | None = torch.bfloat16,
        adjust_lr_fn: str | None = None,
        maximize: bool = False,
        master_weights: bool = False,
    ) -> None:
        common = common_options(
            lr=lr, weight_decay=weight_decay, maximize=maximize, foreach=None, master_weights=master_weights
        )
        own = {
            "momentum": momentum,
            "nesterov": nesterov,
            "polar": polar,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "ns_dtype": ns_dtype,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, {**common, **own})

    @classmethod
    def plain(cls, params: ParamsT, lr: float = 1e-3, *, weight_decay: float = 0.0, maximize: bool = False) -> Self:
        """The theory's form: ``X -= lr * U V'`` of the compact singular value decomposition of the gradient."""
        return cls(
            params,
            lr,
            weight_decay=weight_decay,
            momentum=0.0,
            nesterov=False,
            polar="svd",
            adjust_lr_fn="none",
            maximize=maximize,
        )

    def _check_options(self, group: Group) -> None:
        past(self._who, "momentum", group["momentum"])
        checks.one_of(self._who, "polar", group["polar"], POLAR)
        checks.one_of(self._who, "adjust_lr_fn", group["adjust_lr_fn"] or "original", ADJUSTMENTS)
        checks.integer(self._who, "ns_steps", group["ns_steps"], minimum=0)
        checks.positive(self._who, "eps", group["eps"])
        if len(group["ns_coefficients"]) != 3:
            raise InvalidInput(f"{self._who}: `ns_coefficients` must be three numbers, got {group['ns_coefficients']}.")
        for param in group["params"]:
            if param.ndim != 2:
                raise InvalidInput(
                    f"{self._who}: parameters must be 2-D, got one of shape {tuple(param.shape)}. Give vectors, "
                    "embeddings and convolution kernels to another optimizer."
                )

    def _directions(self, group: Group, columns: Columns) -> list[Tensor]:
        buffers, grads = columns["momentum_buffer"], columns["grad"]
        lists.lerp_(buffers, grads, 1 - group["momentum"])
        looked_ahead = lists.lerp(grads, buffers, group["momentum"]) if group["nesterov"] else buffers
        return [self._polar(group, matrix) for matrix in looked_ahead]

    def _polar(self, group: Group, matrix: Tensor) -> Tensor:
        if group["polar"] == "svd":
            return polar_factor(matrix)
        return newton_schulz(
            matrix,
            coefficients=group["ns_coefficients"],
            steps=group["ns_steps"],
            eps=group["eps"],
            dtype=group["ns_dtype"],
        )

    def _move(self, group: Group, columns: Columns, directions: Sequence[Tensor]) -> None:
        lr = float(group["lr"])
        for param, direction in zip(columns["param"], directions, strict=True):
            if group["weight_decay"] != 0:
                param.mul_(1 - lr * group["weight_decay"])
            length = lr * shape_factor(group["adjust_lr_fn"], param)
            param.add_(direction, alpha=length if group["maximize"] else -length)


def shape_factor(kind: str | None, matrix: Tensor) -> float:
    """Factor on the learning rate that makes steps of matrices of different shape comparable."""
    rows, columns = matrix.shape
    if kind == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return 1.0 if kind == "none" else math.sqrt(max(1, rows / columns))
