"""The parameters that are measured, each once, and the sample of coordinates that is followed in full."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from signscope._core.errors import InvalidInput, Unsupported
from signscope._core.random import stream

LEAST_TRACKED = 64  # coordinates followed in a small layer, as far as it has them


@dataclass(frozen=True, eq=False)
class Layer:
    """One parameter tensor.

    Attributes:
        name: As in ``named_parameters``; a tied weight has its first name.
        param: The parameter.
        embedding: Whether it is the table of an embedding (tied or not).
        tracked: Flat indices of the coordinates followed in full, sorted, shape (k,).
    """

    name: str
    param: nn.Parameter
    embedding: bool
    tracked: Tensor

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.param.numel()

    @property
    def scale(self) -> float:
        """Coordinates that one followed coordinate stands for."""
        return self.dim / max(len(self.tracked), 1)


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside DistributedDataParallel, whose gradients would already be averages over processes."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def layers_of(who: str, model: nn.Module, *, num_tracked: int, seed: int) -> list[Layer]:
    """The parameters that require gradients, tied ones once, frozen ones left out.

    Args:
        who: Name of the caller, for messages.
        model: The model.
        num_tracked: Coordinates to follow in total, shared out by size, at least 64 per layer. The choice depends on
            names, sizes and seed alone, so that two measurements of a model follow the same ones.
        seed: Of the choice.

    Raises:
        InvalidInput: It is no module, or nothing in it requires a gradient.
        Unsupported: A parameter is complex.
    """
    if not isinstance(model, nn.Module):
        raise InvalidInput(f"{who}: `model` must be a torch.nn.Module, got {type(model).__name__}.")
    named = [(name, param) for name, param in model.named_parameters() if param.requires_grad and param.numel()]
    if not named:
        raise InvalidInput(f"{who}: no parameter of `model` requires a gradient; call requires_grad_() on some.")
    strange = next((name for name, param in named if param.is_complex()), None)
    if strange is not None:
        raise Unsupported(f"{who}: parameter {strange} is complex, and a complex number has no sign. Freeze it.")
    tables = {
        id(param)
        for module in model.modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag)
        for param in module.parameters(recurse=False)
    }
    dim = sum(param.numel() for _, param in named)
    found = []
    for name, param in named:
        count = min(param.numel(), max(LEAST_TRACKED, round(num_tracked * param.numel() / dim)))
        chosen = stream(seed, "tracked", name, param.numel()).choice(param.numel(), count, replace=False, shuffle=False)
        tracked = torch.as_tensor(chosen, dtype=torch.int64).sort().values
        found.append(Layer(name, param, id(param) in tables, tracked))
    return found


def frozen_names(model: nn.Module) -> list[str]:
    """Names of the parameters that require no gradient."""
    return [name for name, param in model.named_parameters() if not param.requires_grad]


def tracked_values(layers: Sequence[Layer], tensors: Sequence[Tensor]) -> Tensor:
    """Values of the followed coordinates of all layers, on the CPU, at least float32, shape (total,)."""
    parts = [
        tensor.reshape(-1)[layer.tracked.to(tensor.device)].cpu() for layer, tensor in zip(layers, tensors, strict=True)
    ]
    return torch.cat([part if part.dtype == torch.float64 else part.float() for part in parts])
