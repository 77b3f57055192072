"""The full gradient of a finite sum, batch by batch over a loader."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from signscope._core.errors import InvalidInput
from signscope._core.progress import Meter, as_meter
from signscope.optim.gradients import Closure, Weighted


class FullGradient:
    """Mean gradient over all rows of a loader, summed in float32 (or better) and weighted by batch size.

    The mean is over rows, so a short last batch counts for what it holds. For batch norm in training mode a
    "component" is a fixed batch: use an unshuffled loader (the same partition at every refresh), or frozen statistics.

    Args:
        loader: Anything that can be iterated over again and again, such as a DataLoader without ``drop_last``.
        batch_loss: Mean loss of one batch, with its graph; backward is called here.
        rows: Number of rows of a batch; by default the length of the first tensor found in it.
        progress: True shows a meter on a terminal; a meter object is used as it is.
    """

    def __init__(
        self,
        loader: Iterable[Any],
        batch_loss: Callable[[Any], Tensor],
        *,
        rows: Callable[[Any], int] | None = None,
        progress: bool | Meter = False,
    ) -> None:
        if iter(loader) is loader:
            raise InvalidInput("FullGradient: `loader` is an iterator, used up after one pass; give the loader itself.")
        if getattr(loader, "drop_last", False):
            raise InvalidInput("FullGradient: `loader` drops its last batch, so the gradient would not be full.")
        self.loader, self.batch_loss, self.progress = loader, batch_loss, progress
        self.rows = rows or count_rows

    def parts(self, scale: Callable[[Tensor], Tensor]) -> Iterator[Weighted]:
        """Number of rows and closure of every batch; the meter moves along."""
        meter = as_meter(self.progress, "full gradient")
        try:
            total = len(self.loader)  # pyright: ignore[reportArgumentType]
        except TypeError:
            total = None
        try:
            for index, batch in enumerate(self.loader):
                yield float(self.rows(batch)), self._closure(batch, scale)
                meter.update((index + 1) / total if total else 0.0, f"batch {index + 1}")
        finally:
            meter.close()

    def _closure(self, batch: Any, scale: Callable[[Tensor], Tensor]) -> Closure:
        def closure() -> Tensor:
            loss = self.batch_loss(batch)
            scale(loss).backward()
            return loss

        return closure


def count_rows(batch: Any) -> int:
    """Length of the first tensor in a batch (a tensor, or nested lists, tuples and dictionaries).

    Raises:
        InvalidInput: There is no tensor with rows.
    """
    tensor = _first_tensor(batch)
    if tensor is None or tensor.ndim == 0:
        raise InvalidInput(
            f"FullGradient: found no tensor with rows in a batch of type {type(batch).__name__}; pass rows=..."
        )
    return len(tensor)


def _first_tensor(batch: Any) -> Tensor | None:
    if isinstance(batch, Tensor):
        return batch
    inside = batch.values() if isinstance(batch, Mapping) else batch
    if not isinstance(batch, Mapping | Sequence) or isinstance(batch, str | bytes):
        return None
    return next((tensor for item in inside if (tensor := _first_tensor(item)) is not None), None)
