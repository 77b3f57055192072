"""One run on a network, of the optimizer or of its SDE, with what determines it and its measurements."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from signscope._core.random import stream
from signscope.comparison.append_table import AppendTable, Key, Rows
from signscope.optim import SignSGD
from signscope.reproduce.compagnoni2024.networks_model import FlatNetwork
from signscope.reproduce.compagnoni2024.networks_path import sde_path
from signscope.reproduce.datasets import Dataset
from signscope.reproduce.networks import build

EPS = 1e-8
EVERY = 10  # steps between two measurements of the noise, at most
RULES = {"signsgd": "signsgd", "rmspropw": "rmsprop", "adamw": "adam"}
OPTIMIZER, DIAGONAL, ROWS, WRONG = "optimizer", "per coordinate", "covariance", "wrong"


@dataclass(frozen=True)
class Run:
    """What determines a run; equal ones give equal results.

    Attributes:
        data: Name of the data set.
        rows: Its training rows in use; the loss is their mean.
        model: Network, a key of `networks.NETWORKS`.
        method: signsgd, rmspropw or adamw.
        kind: "optimizer"; or the SDE with noise "per coordinate", with the "covariance" of the rows' gradients, or
            "wrong" on purpose: signSGD without noise, the older form (no gradient in V) of the others.
        lr: eta.
        beta1, beta2: Averages; RMSprop uses the second.
        weight_decay: Decoupled.
        batch_size: Rows of a batch, drawn with replacement.
        num_steps: Steps of the optimizer.
        points: Measurements after the first, equally spaced.
        substeps: Steps of the SDE's scheme per step of the optimizer; 0 for the optimizer.
        extra_noise: Standard deviation of Gaussian noise added to every coordinate of the batch gradient.
        start: Seed of the initialisation, the same for all runs that are compared.
        number: Of the run: seed of its batches or of its Brownian path.
    """

    data: str
    rows: int
    model: str
    method: str
    kind: str
    lr: float
    beta1: float
    beta2: float
    weight_decay: float
    batch_size: int
    num_steps: int
    points: int
    substeps: int
    extra_noise: float
    start: int
    number: int

    @property
    def recorded(self) -> list[int]:
        """Steps after which is measured, 0 among them."""
        return [round(point * self.num_steps / self.points) for point in range(self.points + 1)]

    @property
    def cost(self) -> float:
        """Rough cost, for the meter."""
        return self.num_steps * (1 + self.substeps * (8 if self.kind == ROWS else 4))


KEY = [field.name for field in fields(Run)]
MEASURES = ["point", "step", "loss", "accuracy", "norm", "ratio", "status", "seconds"]
_WHOLE, _TEXT, _POINTS = {"point", "step"}, {"status"}, KEY.index("points")


class Store:
    """Finished runs in one file, see `AppendTable`; a run whose measurements are not all there is computed again.

    Args:
        path: None keeps the runs in memory.

    Raises:
        InvalidInput: The file is something else.
    """

    def __init__(self, path: Path | None) -> None:
        self._table = AppendTable(path, key=KEY, values=MEASURES, parse=_parsed, whole=_whole)

    def __contains__(self, run: Run) -> bool:
        return _key(run) in self._table

    def rows(self, run: Run) -> Rows:
        """Measurements of a finished run."""
        return self._table[_key(run)]

    def add(self, run: Run, rows: Rows) -> None:
        """Keep a finished run, on disk before this returns."""
        self._table.add(_key(run), rows)


class Recorder:
    """Measurements of a run at its recorded steps.

    The signal-to-noise ratio, which costs a gradient of every row, is measured halfway and at the end of a run of the
    optimizer.
    """

    def __init__(self, network: FlatNetwork, run: Run) -> None:
        self.network, self.run = network, run
        self._steps = {step: point for point, step in enumerate(run.recorded)}
        self._dear = {run.points // 2, run.points} if run.kind == OPTIMIZER else set()
        self.rows: Rows = []
        self(0, network.weights)

    def __call__(self, step: int, weights: Tensor) -> None:
        """Measure if ``step`` is one of those."""
        if step not in self._steps:
            return
        point, net = self._steps[step], self.network
        loss, accuracy = net.measured(weights)
        ratio = math.nan
        if point in self._dear:
            ratio = net.signal_to_noise(weights, self.run.batch_size, extra_noise=self.run.extra_noise)
        norm = float(weights.double().norm())
        row = {"point": point, "step": step, "loss": float(loss), "accuracy": accuracy, "norm": norm, "ratio": ratio}
        self.rows.append(row)

    def finished(self, seconds: float) -> Rows:
        """All rows; "diverged" where the loss left the finite numbers."""
        status = "ok" if all(math.isfinite(row["loss"]) for row in self.rows) else "diverged"
        return [{**row, "status": status, "seconds": round(seconds, 3)} for row in self.rows]


def perform(run: Run, data: Dataset, *, device: str = "cpu") -> Rows:
    """Measurements of one run, ``points + 1`` rows.

    Args:
        run: What to run.
        data: Its rows, already on the device.
        device: Of the network.
    """
    started = time.monotonic()
    net = build(run.model, data, seed=int(stream(run.start, "init").integers(2**31))).to(device)
    network = FlatNetwork(net, data.train_x, data.train_y)
    recorder = Recorder(network, run)
    if run.kind == OPTIMIZER:
        optimize(network, run, recorder)
    else:
        follow(network, run, recorder)
    return recorder.finished(time.monotonic() - started)


def optimize(network: FlatNetwork, run: Run, record: Callable[[int, Tensor], None]) -> None:
    """The optimizer of torch (or `SignSGD`) on batches drawn with replacement."""
    optimizer = _optimizer(network, run)
    rng = stream(run.number, "batches", run.batch_size)
    generator = torch.Generator(network.weights.device).manual_seed(int(stream(run.number, "noise").integers(2**31)))
    for step in range(run.num_steps):
        rows = torch.from_numpy(rng.integers(run.rows, size=run.batch_size)).to(network.weights.device)
        for param, grad in zip(network.params, network.batch_gradients(rows), strict=True):
            extra = torch.empty_like(grad).normal_(std=run.extra_noise, generator=generator) if run.extra_noise else 0
            param.grad = grad + extra
        if run.method == "rmspropw":  # torch's RMSprop has no decoupled decay
            network.weights.mul_(1 - run.lr * run.weight_decay)
        optimizer.step()
        record(step + 1, network.weights)


def follow(network: FlatNetwork, run: Run, record: Callable[[int, Tensor], None]) -> None:
    """A path of the SDE."""
    setting: dict[str, Any] = {"lr": run.lr, "weight_decay": run.weight_decay}
    is_wrong = run.kind == WRONG
    if run.method != "signsgd":
        setting |= {"betas": (run.beta1, run.beta2), "eps": EPS, "v_noise": not is_wrong}
        setting["form"] = "older" if is_wrong else "recommended"
    sde_path(
        network, RULES[run.method], setting, batch_size=run.batch_size, num_steps=run.num_steps,
        substeps=run.substeps, every=EVERY, seed=run.number, record=record, is_correlated=run.kind == ROWS,
        noise_factor=0.0 if is_wrong and run.method == "signsgd" else 1.0,
    )  # fmt: skip


def _optimizer(network: FlatNetwork, run: Run) -> torch.optim.Optimizer:
    params, betas = network.params, (run.beta1, run.beta2)
    if run.method == "signsgd":
        return SignSGD(params, lr=run.lr, weight_decay=run.weight_decay)
    if run.method == "adamw":
        return torch.optim.AdamW(params, lr=run.lr, betas=betas, eps=EPS, weight_decay=run.weight_decay)
    optimizer = torch.optim.RMSprop(params, lr=run.lr, alpha=run.beta2, eps=EPS)
    grad, std = network.noise_std(network.weights)
    second = grad.square() + std.square() / run.batch_size + run.extra_noise**2
    for param, part in zip(params, second.split([p.numel() for p in params]), strict=True):
        # from V = 0 the first steps would be of length lr / sqrt(1 - beta2), outside what an SDE can follow
        optimizer.state[param] = {"step": torch.tensor(0.0), "square_avg": part.view(param.shape).clone()}
    return optimizer


def _key(run: Run) -> Key:
    return tuple(str(value) for value in asdict(run).values())


def _whole(key: Key, rows: Rows) -> Rows:
    wanted = int(key[_POINTS]) + 1
    return rows[-wanted:] if [row["point"] for row in rows[-wanted:]] == list(range(wanted)) else []


def _parsed(values: list[str]) -> dict[str, Any]:
    named = zip(MEASURES, values, strict=True)
    return {n: v if n in _TEXT else int(v) if n in _WHOLE else float(v) for n, v in named}
