"""Rows and label noise of a few runs, block after block: Gaussian ones, or those of a data set."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from signscope._core.random import stream
from signscope.problems import LeastSquares
from signscope.simulation.colouring import Colour
from signscope.simulation.settings import Settings
from signscope.simulation.streams import Granules, normals


class Lane(Protocol):
    """The stream of rows of consecutive runs."""

    runs: range

    def fill(self, rows: Tensor, noise: Tensor) -> None:
        """Write the next block: ``rows`` (num_runs, steps, batch_size, dim), ``noise`` without the last axis."""
        ...


class GaussianLane:
    """Fresh rows x ~ N(0, K) with label noise from the problem's law."""

    def __init__(self, problem: LeastSquares, settings: Settings, runs: range, *, granule: int, colour: Colour) -> None:
        self.runs = runs
        self._colour, self._num_factors = colour, problem.cov.num_factors
        where = {"dtype": settings.dtype, "device": settings.device}
        self._normals = [normals(settings.seed, run, granule=granule, **where) for run in runs]
        rngs = [stream(settings.seed, "noise", run) for run in runs]
        self._noise = Granules(lambda rng, size: problem.noise.sample(size, rng), rngs)
        self._z: Tensor | None = None

    def fill(self, rows: Tensor, noise: Tensor) -> None:
        """Draw standard normals run by run, then colour them all in one product."""
        if self._z is None:
            self._z = rows.new_empty((*rows.shape[:-1], self._num_factors))
        for fill, part in zip(self._normals, self._z, strict=True):
            fill(part)
        self._colour(self._z.view(-1, self._num_factors), rows.view(-1, rows.shape[-1]))
        noise.copy_(torch.from_numpy(self._noise.take(noise[0].numel())).view(noise.shape))


class DataLane:
    """Rows of a data set, with replacement or once each in a random order, with their own residuals as noise.

    The residuals are those at the problem's target, so that <x, v> minus noise is <x, theta> minus the label.
    """

    def __init__(self, features: Tensor, residuals: Tensor, settings: Settings, runs: range) -> None:
        self.runs = runs
        self._features, self._residuals = features, residuals
        num_rows = len(features)
        rngs = [stream(settings.seed, "indices", run) for run in runs]
        if settings.rows == "once":
            # a piece is one order of all rows; the end of the last block may reach into a second, unused one
            self._indices = Granules(_order, rngs, granule=num_rows)
        else:
            self._indices = Granules(lambda rng, size: rng.integers(num_rows, size=size), rngs)

    def fill(self, rows: Tensor, noise: Tensor) -> None:
        """Look up the next rows of every run."""
        indices = torch.from_numpy(self._indices.take(noise[0].numel())).flatten().to(rows.device)
        torch.index_select(self._features, 0, indices, out=rows.view(-1, rows.shape[-1]))
        torch.index_select(self._residuals, 0, indices, out=noise.view(-1))


def _order(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.permutation(size)
