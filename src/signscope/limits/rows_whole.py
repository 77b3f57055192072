"""Averages of the sign over all rows of a large data set, block by block, in bounded memory."""

from dataclasses import dataclass

import torch
from torch import Tensor

from signscope._core.types import Matrix, Vector

BLOCK = 4096  # rows at a time; 2 x 4 bytes x BLOCK x d of memory


@dataclass(frozen=True, eq=False)
class Whole:
    """All rows of a data set of which the averages use a part.

    Attributes:
        features: Rows x, shape (N, d), float64; the caller's memory, not a copy.
        residuals: Label noise eps, shape (N,), float64.
    """

    features: Tensor
    residuals: Tensor

    def sign_second(self) -> Matrix:
        """E sign(x) sign(x)', shape (d, d)."""
        total = torch.zeros(self.features.shape[1], self.features.shape[1], dtype=torch.float64)
        for block in self.features.split(BLOCK):
            signs = torch.sign(block).float()
            total += signs.T @ signs  # whole numbers below 2^24: exact
        return total / len(self.features)

    def sign_drift(self, mean: Vector, cov: Matrix, floor: float) -> tuple[Vector, Matrix]:
        """Drift m and derivative H of the sign at the state (mean, cov), as `RowMoments.sign_local` defines them.

        Products in float32, sums over blocks in float64; 2 N d^2 multiplications.
        """
        narrow, count = cov.float(), len(self.features)
        drift, jacobian = torch.zeros_like(mean), torch.zeros_like(cov)
        for rows, eps in zip(self.features.split(BLOCK), self.residuals.split(BLOCK), strict=True):
            block = rows.float()
            q = (block @ narrow).mul_(block).sum(1).double().clamp_(min=floor).sqrt_()
            z = (rows @ mean - eps) / q
            weight = torch.exp(-0.5 * z * z) / q * (2 / torch.pi) ** 0.5
            signs = torch.sign(block)
            drift += (signs.T @ torch.erf(z / 2**0.5).float()).double()
            jacobian += (signs.T @ block.mul_(weight.float()[:, None])).double()
        return drift / count, jacobian / count
