"""Model, loader and loss from ``module:function`` names."""

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from signscope._core import checks
from signscope._core.errors import InvalidInput


def load(options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Model (on the device that was asked for), loader and loss.

    Raises:
        InvalidInput: A name that leads nowhere, or a function that does not return what is needed.
    """
    import torch

    for name, example in (("model", "make_model"), ("data", "make_loader")):
        if options[name] is None:
            raise InvalidInput(f"--{name} is needed: MODULE:FUNCTION, such as my_module:{example}.")
    checks.integer("--seed", "seed", options["seed"], minimum=0)
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(options["seed"])  # a model without saved weights is the same at every call
        model = _function("--model", options["model"])()
        if not isinstance(model, torch.nn.Module):
            raise InvalidInput(f"--model: {options['model']} returned a {type(model).__name__}, not a torch.nn.Module.")
        loader = _function("--data", options["data"])()
    if not hasattr(loader, "__iter__") or (options["smoothness"] and isinstance(loader, Iterator)):
        raise InvalidInput(f"--data: {options['data']} must return a loader that can be read more than once.")
    if options["device"] is not None:
        try:
            model = model.to(options["device"])
        except (RuntimeError, AssertionError) as error:
            raise InvalidInput(f"--device: {options['device']}: {' '.join(str(error).split())[:200]}") from None
    return model, loader, usual_loss if options["loss"] is None else _function("--loss", options["loss"])


def usual_loss(model: Any, batch: Any) -> Any:
    """The loss that a batch suggests: the model's own for dictionaries, else by the kind of the targets.

    Raises:
        InvalidInput: It suggests none.
    """
    import torch
    from torch.nn import functional

    if isinstance(batch, Mapping):
        loss = getattr(model(**batch), "loss", None)
        if loss is not None:
            return loss
    elif isinstance(batch, list | tuple) and len(batch) == 2:
        scores, targets = model(batch[0]), batch[1]
        if not isinstance(scores, torch.Tensor) or not isinstance(targets, torch.Tensor):
            raise InvalidInput(
                f"--loss is needed: the model gives a {type(scores).__name__} and the targets are a "
                f"{type(targets).__name__}; without it both must be tensors."
            )
        if targets.dtype.is_floating_point:
            _fits("squared error", _without_ones(scores.shape) == _without_ones(targets.shape), scores, targets)
            return functional.mse_loss(scores.reshape(targets.shape), targets)
        is_flat = scores.ndim == 2 and len(scores) == targets.numel()
        is_fit = is_flat or _without_ones(scores.shape[:-1]) == _without_ones(targets.shape)  # classes come last
        _fits("cross-entropy", is_fit and scores.shape[-1] > 1, scores, targets)
        return functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), targets.reshape(-1).long())
    raise InvalidInput(
        f"--loss is needed: batches of type {type(batch).__name__} are neither (inputs, targets) nor a dictionary "
        "for a model with a loss of its own."
    )


def _fits(name: str, is_fit: bool, scores: Any, targets: Any) -> None:
    from signscope.measure.batches import described

    if not is_fit:
        wanted = (
            "an output of the same shape" if name == "squared error" else "a score per class (last) for every label"
        )
        raise InvalidInput(
            f"--loss is needed: {described(targets)} targets suggest {name}, which wants {wanted}, but the model gives "
            f"{described(scores)}."
        )


def _without_ones(shape: Any) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _function(option: str, name: str) -> Any:
    module_name, colon, path = name.partition(":")
    if not colon or not module_name.strip(".") or not path or module_name.startswith("."):
        raise InvalidInput(f"{option}: needs MODULE:FUNCTION, got {name!r}.")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InvalidInput(f"{option}: cannot import {module_name} ({error}).") from None
    for part in path.split("."):
        if not hasattr(found, part):
            raise InvalidInput(f"{option}: {module_name} has no {path}.")
        found = getattr(found, part)
    if not callable(found):
        raise InvalidInput(f"{option}: {name} is a {type(found).__name__}, not a function.")
    return found
