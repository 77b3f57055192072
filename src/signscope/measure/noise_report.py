"""`NoiseReport`: the gradient noise of a model, by layer and overall."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from signscope.measure.noise_layer import LayerNoise
from signscope.measure.snr import Phases, phases_at
from signscope.measure.storage import load_json, save_json

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Tracked:
    """Per-sample noise of the followed coordinates of one layer; `advise` pairs it with their curvature.

    Attributes:
        name: Of the layer.
        scale: Coordinates that one followed coordinate stands for.
        sigma: Standard deviations.
    """

    name: str
    scale: float
    sigma: tuple[float, ...]


@dataclass(frozen=True)
class NoiseReport:
    """What `gradient_noise` found. All sigma are per sample: a batch of B has sigma / sqrt(B).

    Attributes:
        layers: One entry per parameter.
        overall: All of them together.
        body: All but embeddings; None where there is none.
        batch_size: Average weight (rows, or what ``weights`` said) of a batch; the phases belong to it.
        num_batches: Batches that were used, over all processes.
        num_asked: Batches that were asked for.
        num_refused: Batches left out, samples of them at least, because loss or gradient was not finite.
        first_refused: The first layer with such a gradient, or "loss"; empty without one.
        num_gradients: Gradients behind the statistics: batches, or samples.
        samples: "batches" or "each".
        mode: "eval": noise of the data alone; "train": what the optimizer sees, dropout and batch statistics included.
        random_loss: Whether two evaluations of one batch differ (train mode only).
        loss: Mean loss over the batches, weighted.
        frozen: Number of parameter tensors that require no gradient and were left out.
        num_processes: Processes whose data were merged.
        bytes_per_parameter: Memory of the statistics.
        tracked: Noise of followed coordinates.
        seed: Of the choice of followed coordinates.
    """

    layers: tuple[LayerNoise, ...]
    overall: LayerNoise
    body: LayerNoise | None
    batch_size: float
    num_batches: int
    num_asked: int
    num_refused: int
    first_refused: str
    num_gradients: int
    samples: str
    mode: str
    random_loss: bool
    loss: float
    frozen: int
    num_processes: int
    bytes_per_parameter: float
    tracked: tuple[Tracked, ...]
    seed: int

    @property
    def density(self) -> float:
        """Noise density of the whole model, corrected."""
        return self.overall.density

    @property
    def sigma1(self) -> float:
        """Sum of the per-sample standard deviations, corrected."""
        return self.overall.sigma1

    @property
    def sigma2(self) -> float:
        """Root of the sum of the per-sample variances."""
        return self.overall.sigma2

    @property
    def phases(self) -> Phases:
        """Shares of coordinates in the phases of signSGD, at ``batch_size``."""
        return self.overall.phases

    @property
    def resolution(self) -> float:
        """Standard error of every |z|: ratios below it are not resolved."""
        return self.num_batches**-0.5

    def phases_at(self, batch_size: float) -> Phases:
        """Phases expected at another batch size: ratios grow with its square root."""
        return phases_at(self.overall.snr_counts, (batch_size / self.batch_size) ** 0.5)

    def __str__(self) -> str:
        """A table by layer and what it says."""
        from signscope.measure.noise_text import described

        return described(self)

    def __repr__(self) -> str:
        """One line."""
        return (
            f"NoiseReport({len(self.layers)} layers, {self.overall.dim} parameters, {self.num_batches} batches of "
            f"{self.batch_size:g}: density {self.density:.3g}, sigma1 {self.sigma1:.4g})"
        )

    def to_frame(self) -> "pd.DataFrame":
        """One row per layer, then the totals; phases and tails in columns of their own."""
        import pandas as pd

        return pd.DataFrame([flat(layer) for layer in self.all_rows()])

    def all_rows(self) -> tuple[LayerNoise, ...]:
        """Layers, then without embeddings (where there are some), then overall."""
        return (*self.layers, *(() if self.body is None else (self.body,)), self.overall)

    def plot(self) -> "Figure":
        """Density by layer and the histogram of signal-to-noise ratios; a figure ready for ``savefig``."""
        from signscope.measure.noise_figure import drawn

        return drawn(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a JSON file."""
        save_json("NoiseReport", path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "NoiseReport":
        """Read a report written by `save`; equal to the original.

        Raises:
            InvalidInput: The file is missing or is no such report.
        """
        return load_json("NoiseReport", path, cls)


def flat(layer: LayerNoise) -> dict[str, Any]:
    """One row of a table."""
    row = {name: getattr(layer, name) for name in LayerNoise.__dataclass_fields__}
    phases, tails = row.pop("phases"), row.pop("tails")
    row.pop("snr_counts")
    row |= {f"phase{number}": share for number, share in zip((1, 2, 3), phases, strict=True)}
    return row | {name: getattr(tails, name) for name in type(tails).__dataclass_fields__}
