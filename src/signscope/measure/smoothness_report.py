"""`SmoothnessReport`: constants of smoothness of a model at one point."""

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signscope.measure.storage import load_json, save_json

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class LayerCurvature:
    """Curvature of one layer.

    Attributes:
        name: Of the parameter.
        dim: Number of coordinates.
        diagonal_l1: Sum of |H_ii|, estimated.
        scale: Coordinates that one followed coordinate stands for.
        diagonal: H_ii of the followed coordinates, those of `gradient_noise` with the same seed and number.
    """

    name: str
    dim: int
    diagonal_l1: float
    scale: float
    diagonal: tuple[float, ...]


@dataclass(frozen=True)
class Direction:
    r"""l-infinity smoothness along the step of signSGD, $x - \eta s$ with $s = \mathrm{sign}(\nabla f)$.

    Attributes:
        step: The length $\eta$ of the step, the largest of the moves as rounded to the dtype of the parameters.
        lipschitz: $\lVert\nabla f(x - \eta s) - \nabla f(x)\rVert_1 / \eta$.
        lipschitz_product: Its limit $\lVert Hs\rVert_1$.
        bregman: $2\,|f(x - \eta s) - f + \eta\langle\nabla f, s\rangle| / \eta^2$ (for the moves as rounded); NaN
            where rounding of the loss hides it.
        bregman_product: Its limit $|s^\top H s|$.
    """

    step: float
    lipschitz: float
    lipschitz_product: float
    bregman: float
    bregman_product: float


@dataclass(frozen=True)
class SmoothnessReport:
    """What `smoothness` found. Everything but ``largest_eigenvalue * dim`` bounds L from below.

    Attributes:
        layers: Curvature by layer.
        dim: Number of coordinates.
        loss: Mean loss over the batches.
        grad_l1: l1 norm of their mean gradient.
        grad_l2: Its l2 norm.
        direction: Along the step of signSGD.
        maximum: Largest t'Hs found over sign vectors on the first half of the batches; biased up by their noise.
        bregman_maximum: The same for the Bregman form, |u'Hu|.
        restarts: The value of every start (the first is the sign of the gradient).
        crossfit: t'Hs on the other half with s, t found on the first: an unbiased lower bound; NaN with one batch.
        crossfit_stderr: Its standard error over batches; NaN with fewer than two on that half.
        bregman_crossfit: u'Hu of the other half for the best sign vector of the first, in size.
        low: Smallest eigenvalue (Lanczos).
        high: Largest eigenvalue.
        eigenvalue_error: Some eigenvalue lies within this of the one of largest size.
        trace: Of the Hessian.
        trace_stderr: Its standard error.
        diagonal_l1: Sum of |H_ii|.
        diagonal_reliability: Correlation of two halves of the probes; entries mean little below about 0.5.
        num_products: Hessian-vector products of single batches.
        num_batches: Batches used.
        batch_size: Average rows.
        mode: "eval" or "train".
        seed: Of starts, probes and followed coordinates.
    """

    layers: tuple[LayerCurvature, ...]
    dim: int
    loss: float
    grad_l1: float
    grad_l2: float
    direction: Direction
    maximum: float
    bregman_maximum: float
    restarts: tuple[float, ...]
    crossfit: float
    crossfit_stderr: float
    bregman_crossfit: float
    low: float
    high: float
    eigenvalue_error: float
    trace: float
    trace_stderr: float
    diagonal_l1: float
    diagonal_reliability: float
    num_products: int
    num_batches: int
    batch_size: float
    mode: str
    seed: int

    @property
    def largest_eigenvalue(self) -> float:
        """L_2: the l2 smoothness at this point."""
        return max(abs(self.low), abs(self.high))

    @property
    def linf(self) -> float:
        """The l-infinity constant (Lipschitz form) to work with: the cross-fitted one, or the maximum of one batch."""
        return self.crossfit if math.isfinite(self.crossfit) and self.crossfit > 0 else self.maximum

    @property
    def density(self) -> float:
        """Curvature density L / (dim L_2), in [1/dim, 1]; a lower bound, as L is."""
        return self.linf / (self.dim * self.largest_eigenvalue) if self.largest_eigenvalue > 0 else math.nan

    def __str__(self) -> str:
        """The constants and what they are."""
        way, size = self.direction, self.largest_eigenvalue
        lines = [
            f"Smoothness of {self.dim} parameters on {self.num_batches} batches of {self.batch_size:.4g}, {self.mode} "
            f"mode, loss {self.loss:.5g} ({self.num_products} Hessian-vector products)",
            f"  along signSGD's step  {way.lipschitz_product:.4g} ({way.lipschitz:.4g} at step {way.step:.3g}); "
            f"Bregman form {way.bregman_product:.4g} ({way.bregman:.4g})",
            f"  largest found         {self.maximum:.4g} (starts: {', '.join(f'{v:.4g}' for v in self.restarts)}); "
            f"Bregman form {self.bregman_maximum:.4g}",
            f"  on the other batches  {self.crossfit:.4g} +- {self.crossfit_stderr:.2g}; "
            f"Bregman form {self.bregman_crossfit:.4g}",
            f"  L_2                   {size:.4g} (eigenvalues {self.low:.4g} to {self.high:.4g}, error "
            f"{self.eigenvalue_error:.2g}); upper bound dim L_2 = {self.dim * size:.4g}",
            f"  diagonal              sum |H_ii| {self.diagonal_l1:.4g}, trace {self.trace:.4g} +- "
            f"{self.trace_stderr:.2g}, reliability {self.diagonal_reliability:.2f}",
            f"  curvature density     {self.density:.3g} (L / (dim L_2); L is a lower bound, so is this)",
        ]
        return "\n".join(lines)

    def to_frame(self) -> "pd.DataFrame":
        """One row per layer: name, dim, diagonal_l1."""
        import pandas as pd

        names = ("name", "dim", "diagonal_l1")
        return pd.DataFrame([{name: getattr(layer, name) for name in names} for layer in self.layers])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a JSON file."""
        save_json("SmoothnessReport", path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "SmoothnessReport":
        """Read a report written by `save`; equal to the original.

        Raises:
            InvalidInput: The file is missing or is no such report.
        """
        return load_json("SmoothnessReport", path, cls)
