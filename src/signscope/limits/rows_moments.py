"""Averages of one update over the rows of a data set, for parameters that are Gaussian over runs.

With v ~ N(mu, Sigma) over runs, the residual of a row (x, eps) is <x, v> - eps ~ N(r, q^2), where
r = <x, mu> - eps and q^2 = x' Sigma x. Every optimizer then needs three averages over the rows: the mean
direction m, its derivative H in mu, and the second moment of the direction.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope._core.random import stream
from signscope._core.types import Matrix, Vector

MAX_ROWS = 15_000
SINGLE_PRECISION_FROM = 5e8  # n d^2 beyond which the two large products run in float32


@runtime_checkable
class HasRows(Protocol):
    """What a data set must offer: ``features`` (n, d) and ``residuals`` (n,) = targets - features @ target."""

    @property
    def features(self) -> Tensor:
        """Rows x, shape (n, d), centred and scaled as the optimizer sees them."""
        ...

    @property
    def residuals(self) -> Tensor:
        """Label noise eps = y - <x, target> of every row, shape (n,)."""
        ...


@dataclass(frozen=True)
class Local:
    """One update seen from a state (mu, Sigma).

    Attributes:
        drift: Mean direction m, shape (d,).
        jacobian: H = dm/dmu, shape (d, d), or its diagonal (d,) where it is diagonal.
        second: Mean of the direction times its transpose, shape (d, d).
        square: E g_i^2 of the gradient, shape (d,); zeros for the sign, which does not need it. With momentum
            the other three cover the pair (parameters, momentum) and have size 2d.
    """

    drift: Vector
    jacobian: Tensor
    second: Matrix
    square: Tensor

    @property
    def noise(self) -> Matrix:
        """Covariance of the direction over rows and runs, shape (d, d)."""
        return self.second - torch.outer(self.drift, self.drift)

    def divided(self, scale: Vector) -> "Local":
        """The moments when coordinate i of the direction is multiplied by ``scale[i]``."""
        second = self.second * torch.outer(scale, scale)
        return Local(self.drift * scale, self.jacobian * scale[:, None], second, self.square)


@dataclass(frozen=True, eq=False)
class RowMoments:
    """The rows an expectation runs over, with what is computed from them once.

    Attributes:
        features: Rows x used by the averages, shape (n, d), float64.
        residuals: Label noise eps of these rows, shape (n,), float64; uncorrelated with x.
        cov: K = X'X/n of *all* rows, which weighs the risk, shape (d, d).
        num_total: Number of rows before a subset was taken.
        eigvals: Eigenvalues of X'X/n where the rows are given in its eigenbasis (see `turned`), else None.
        turn: That basis, columns, shape (d, d).
    """

    features: Tensor
    residuals: Tensor
    cov: Tensor
    num_total: int
    eigvals: Tensor | None = None
    turn: Tensor | None = None

    @property
    def num_rows(self) -> int:
        """Rows in the averages."""
        return self.features.shape[0]

    @property
    def dim(self) -> int:
        """Number of features d."""
        return self.features.shape[1]

    @property
    def is_subset(self) -> bool:
        """Whether the averages run over a random part of the rows."""
        return self.num_rows < self.num_total

    @cached_property
    def memory(self) -> dict[str, float]:
        """Numbers that others found out about these rows at some cost."""
        return {}

    @cached_property
    def wide(self) -> Tensor:
        """The features in the precision of the n d^2 products."""
        single = self.num_rows * self.dim**2 > SINGLE_PRECISION_FROM
        return self.features.float() if single else self.features

    @cached_property
    def signs(self) -> Tensor:
        """sign(x), shape (n, d), with sign(0) = 0."""
        return torch.sign(self.features)

    @cached_property
    def wide_signs_t(self) -> Tensor:
        """The signs transposed, (d, n), in the precision of the large products."""
        return self.signs.T.to(self.wide.dtype).contiguous()

    @cached_property
    def sign_second(self) -> Matrix:
        """E sign(x) sign(x)' over the rows: exact, for the signs of a row never change."""
        return (self.wide_signs_t @ self.wide_signs_t.T).double() / self.num_rows

    @cached_property
    def sign_floor(self) -> float:
        """Mean of x' E[sign(x) sign(x)'] x; times (lr/d)^2 the q^2 that a single sign step makes."""
        return float(self.spread(self.sign_second).clamp(min=0).mean())

    @cached_property
    def own_cov(self) -> Matrix:
        """X'X/n of the rows in the averages: the drift of SGD."""
        return self.cov if not self.is_subset else self.features.T @ self.features / self.num_rows

    @cached_property
    def turned(self) -> "RowMoments":
        """The same rows in the eigenbasis of X'X/n, where the drift of SGD is diagonal."""
        eigvals, basis = torch.linalg.eigh(self.own_cov)
        cov = basis.T @ self.cov @ basis
        return RowMoments(self.features @ basis, self.residuals, cov, self.num_total, eigvals, basis)

    @cached_property
    def noise_mean(self) -> Vector:
        """E x eps: zero up to rounding and a ridge."""
        return self.features.T @ self.residuals / self.num_rows

    def spread(self, cov: Matrix) -> Tensor:
        """q^2 = x' cov x of every row, shape (n,)."""
        wide = self.wide
        return (wide @ cov.to(wide.dtype)).mul_(wide).sum(1).double()

    def outer(self, weights: Tensor) -> Matrix:
        """E[weights x x'] over the rows, weights of shape (n,), all non-negative."""
        scaled = self.wide * weights.sqrt().to(self.wide.dtype)[:, None]
        return (scaled.T @ scaled).double() / self.num_rows

    @equation("signscope", "risk_curves (13.1)-(13.3): moments of the sign")
    def sign_local(self, mean: Vector, cov: Matrix, floor: float) -> Local:
        r"""Drift, derivative and second moment of ``sign(g)``, g = (<x, v> - eps) x.

        $$ m = E[s (2\Phi(z) - 1)], \quad H = E[s x' 2\varphi(z)/q], \quad z = (\langle x, mu\rangle - eps)/q,
           \quad s = sign(x), \quad q^2 = x' \Sigma x $$

        Args:
            mean: mu, shape (d,).
            cov: Sigma, shape (d, d).
            floor: Smallest q^2 allowed, which keeps z finite at Sigma = 0.
        """
        q = self.spread(cov).clamp_(min=floor).sqrt_()
        z = (self.features @ mean - self.residuals) / q
        drift = self.signs.T @ torch.erf(z / 2**0.5) / self.num_rows
        weight = torch.exp(-0.5 * z * z) / q * (2 / torch.pi) ** 0.5
        wide = self.wide_signs_t @ (self.wide * weight.to(self.wide.dtype)[:, None])
        return Local(drift, wide.double() / self.num_rows, self.sign_second, torch.zeros_like(mean))

    @equation("signscope", "risk_curves section 13: moments of the gradient")
    def gradient_local(self, mean: Vector, cov: Matrix) -> Local:
        r"""Drift, derivative and second moment of the gradient itself; they close at second order.

        $$ m = K mu - E[x eps], \quad H = K, \quad E[g g'] = E[x x' ((\langle x, mu\rangle - eps)^2 + q^2)] $$
        """
        weight = (self.features @ mean - self.residuals).square() + self.spread(cov).clamp_(min=0.0)
        second = self.outer(weight)
        if self.eigvals is not None:
            return Local(self.eigvals * mean - self.noise_mean, self.eigvals, second, second.diagonal())
        return Local(self.own_cov @ mean - self.noise_mean, self.own_cov, second, second.diagonal())


def prepare(rows: "HasRows | RowMoments", *, max_rows: int = MAX_ROWS, seed: int = 0) -> RowMoments:
    """The rows that the averages run over: all of them, or a seeded random subset without replacement.

    On a subset the residuals are made uncorrelated with x again (least squares, variance restored), so that
    SGD still settles at the target; otherwise the chance correlation of the subset would look like a bias.

    Args:
        rows: A data set, or what this function returned before (then returned as it is).
        max_rows: Size beyond which a subset is drawn.
        seed: Seed of the draw.
    """
    if isinstance(rows, RowMoments):
        return rows
    features, residuals = rows.features.double(), rows.residuals.double()
    total = features.shape[0]
    cov = features.T @ features / total
    if total <= max_rows:
        return RowMoments(features, residuals, cov, total)
    chosen = np.sort(stream(seed, "rows", "subset").permutation(total)[:max_rows])
    index = torch.from_numpy(chosen)
    part, eps = features[index], residuals[index]
    return RowMoments(part, _decorrelated(part, eps), cov, total)


def _decorrelated(features: Tensor, residuals: Tensor) -> Tensor:
    """Residuals of a least-squares fit of ``residuals`` on ``features``, rescaled to their former power."""
    fit = torch.linalg.lstsq(features, residuals[:, None], driver="gelsd").solution[:, 0]
    left = residuals - features @ fit
    power = left.square().sum()
    return left * (residuals.square().sum() / power).sqrt() if float(power) > 0 else left
