"""`Probe`: noise and smoothness sampled every k steps of a training run."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.measure.batches import count_rows, to_device
from signscope.measure.curvature import Curvature
from signscope.measure.curving import smoothness
from signscope.measure.gathering import world
from signscope.measure.layers import layers_of, unwrapped
from signscope.measure.losses import Mode, as_loss, undisturbed
from signscope.measure.measuring import gradient_noise
from signscope.measure.noise_report import NoiseReport
from signscope.measure.smoothness_report import SmoothnessReport
from signscope.measure.writers import EVENTS, Events, Existing, Files

if TYPE_CHECKING:
    import pandas as pd


class Probe:
    """Samples a training run; the run itself is not changed, to the last bit.

    Call it after every optimizer step: ``probe(step)``. Where ``step`` is a multiple of ``every`` it measures the noise
    on ``num_batches`` batches and the l-infinity smoothness along the way since the last sample,
    ``|g(x') - g(x)|_1 / |x' - x|_inf`` with both gradients on one fixed batch. With torch.distributed every process
    calls it, and the first one writes.

    Args:
        model: The model in training.
        loss_fn: As in `gradient_noise`.
        loader: Batches to measure on. It is read anew for every sample and must not be the iterator of the training:
            a DataLoader with persistent workers has but one, so training and probe then need one loader each.
        every: Steps between samples.
        num_batches: Batches per sample and process.
        mode: "train" measures what the optimizer sees, "eval" the noise of the data alone.
        smoothness_options: Arguments of `smoothness` (such as ``{"num_batches": 2}``) to measure it at every sample;
            None leaves it out, as it costs second derivatives.
        folder: Folder of ``probe.csv`` and ``probe.json``; None keeps samples in memory only.
        existing: What to do with files of an earlier run: "refuse", "append" or "replace".
        tensorboard: Write events to ``folder/tensorboard`` too (extra ``tensorboard``).
        options: Further arguments of `gradient_noise`.

    Attributes:
        records: The samples, one dictionary each; key ``layers`` holds the density of every layer.
        report: The last `NoiseReport`; None before the first sample.
        smoothness: The last `SmoothnessReport`; None without ``smoothness_options``.

    Notes:
        Memory: 8 bytes per parameter between samples (parameters and gradient of the last one), and `gradient_noise`
        during one.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Any,
        loader: Iterable[Any],
        *,
        every: int = 100,
        num_batches: int = 16,
        mode: Mode = "train",
        smoothness_options: Mapping[str, Any] | None = None,
        folder: str | os.PathLike[str] | None = None,
        existing: Existing = "refuse",
        tensorboard: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.every = checks.integer("Probe", "every", every, minimum=1)
        self.num_batches = checks.integer("Probe", "num_batches", num_batches, minimum=1)
        if isinstance(loader, Iterator):  # asking iter() would draw from the random state of a DataLoader
            raise InvalidInput("Probe: `loader` is an iterator, used up after one sample; give the loader itself.")
        if tensorboard and folder is None:
            raise InvalidInput("Probe: tensorboard=True needs a `folder` for its events.")
        self.model, self.loss_fn, self.loader = model, loss_fn, loader
        self.mode, self.options = mode, {"mode": mode, **(options or {})}
        self.smoothness_options = None if smoothness_options is None else dict(smoothness_options)
        writes = world(self.options.get("process_group", "auto"))[0] == 0
        self._files = Files(folder, existing=existing) if folder is not None and writes else None
        self._events = Events(os.path.join(folder, EVENTS)) if tensorboard and folder is not None and writes else None
        self.records: list[dict[str, Any]] = [] if self._files is None else list(self._files.earlier)
        self.report: NoiseReport | None = None
        self.smoothness: SmoothnessReport | None = None
        self._fixed: Any = None
        self._last: tuple[list[str], Tensor, Tensor] | None = None

    def __call__(self, step: int) -> dict[str, Any] | None:
        """The sample of this step, or None where none is due."""
        if step % self.every:
            return None
        self.report = gradient_noise(
            self.model, self.loss_fn, self.loader, num_batches=self.num_batches, **self.options
        )
        record = {"step": step, **_noise_record(self.report), "path_smoothness": self._along_the_path()}
        if self.smoothness_options is not None:
            given = {"mode": "eval", **self.smoothness_options}
            self.smoothness = smoothness(self.model, self.loss_fn, self.loader, **given)
            record |= _smoothness_record(self.smoothness)
        record["layers"] = {layer.name: layer.density for layer in self.report.layers}
        self.records.append(record)
        if self._files is not None:
            self._files.write(self.records)
        if self._events is not None:
            self._events.write(record)
        return record

    def to_frame(self) -> "pd.DataFrame":
        """One row per sample, without the layers."""
        import pandas as pd

        return pd.DataFrame([{k: v for k, v in record.items() if k != "layers"} for record in self.records])

    def close(self) -> None:
        """End the files of TensorBoard."""
        if self._events is not None:
            self._events.close()

    def __enter__(self) -> "Probe":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _along_the_path(self) -> float:
        """l-infinity smoothness since the last sample; NaN at the first, where nothing moved, or other layers train."""
        inner = unwrapped(self.model)
        layers = layers_of("Probe", inner, num_tracked=0, seed=0)
        loss = as_loss("Probe", self.loss_fn)
        with undisturbed(inner, "eval", loader=self.loader):
            if self._fixed is None:
                self._fixed = to_device(next(iter(self.loader)), layers[0].param.device)
            rows = [float(count_rows("Probe", self._fixed))]
            curve = Curvature("Probe", loss, inner, layers, batches=[self._fixed], weights=rows)
            _, grad = curve.gradient([0])
        with torch.no_grad():
            here = torch.cat([param.detach().reshape(-1).to(curve.dtype) for param in curve.params])
            names = [layer.name for layer in layers]
            last, self._last = self._last, (names, here, grad)
            if last is None or last[0] != names:  # layers were frozen or released in between
                return float("nan")
            reach = float((here - last[1]).abs().max())
            return float((grad - last[2]).abs().sum()) / reach if reach > 0 else float("nan")


def _noise_record(report: NoiseReport) -> dict[str, float]:
    whole = report.overall
    names = ("sigma1", "sigma2", "density", "density_low", "density_high", "grad_l1", "grad_l1_low", "grad_l2")
    record = {"loss": report.loss, **{name: getattr(whole, name) for name in names}}
    record |= {"grad_density": whole.grad_density, "noise_scale": whole.noise_scale, "never_seen": whole.never_seen}
    record |= {f"phase{n}": share for n, share in zip((1, 2, 3), whole.phases, strict=True)}
    record |= {"kurtosis": whole.tails.kurtosis, "hill": whole.tails.hill, "asymmetry": whole.tails.asymmetry}
    if report.body is not None:
        record["density_without_embeddings"] = report.body.density
    return record


def _smoothness_record(report: SmoothnessReport) -> dict[str, float]:
    names = ("maximum", "crossfit", "largest_eigenvalue", "trace", "diagonal_l1")
    return {
        **{f"smoothness_{name}": getattr(report, name) for name in names},
        "smoothness_along_step": report.direction.lipschitz_product,
        "curvature_density": report.density,
    }
