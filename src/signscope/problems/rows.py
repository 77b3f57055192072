"""The rows of a data set, after centring and scaling."""

from dataclasses import dataclass

from torch import Tensor

from signscope._core.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows that a simulation can draw and a data-driven prediction averages over.

    Attributes:
        features: Shape (n, d), float64, centred and scaled.
        targets: Shape (n,), float64, in the unit of y, centred if the features are.
        residuals: ``targets - features @ target`` at the least-squares solution, shape (n,).
    """

    features: Tensor
    targets: Tensor
    residuals: Tensor

    def __post_init__(self) -> None:
        n = len(self.features)
        if self.features.ndim != 2 or self.targets.shape != (n,) or self.residuals.shape != (n,):
            raise InvalidInput(
                f"Rows: needs features (n, d) with targets and residuals (n,), got "
                f"{tuple(self.features.shape)}, {tuple(self.targets.shape)}, {tuple(self.residuals.shape)}."
            )

    @property
    def num_rows(self) -> int:
        """Number of rows n."""
        return self.features.shape[0]

    @property
    def dim(self) -> int:
        """Number of columns d."""
        return self.features.shape[1]

    def __repr__(self) -> str:
        return f"Rows(num_rows={self.num_rows}, dim={self.dim})"
