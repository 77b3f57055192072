"""Averages of one update over the rows of a data set, for parameters that are Gaussian over runs.

With v ~ N(mu, Sigma) over runs, the residual of a row (x, eps) is <x, v> - eps ~ N(r, q^2), where
r = <x, mu> - eps and q^2 = x' Sigma x. Every optimizer then needs three averages over the rows: the mean
direction m, its derivative H in mu, and the second moment of the direction.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope._core.random import stream
from signscope._core.types import Matrix, Vector
from signscope.limits.rows_whole import Whole

WORK = 1e9  # n d^2 of one average up to which all rows take part in every one
ROWS_PER_COLUMN = 12  # and never fewer than these
NUMBERS = 2e7  # n d up to which all rows take part
SINGLE_PRECISION_FROM = 5e8  # n d^2 beyond which the large products run in float32


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
            the others cover the pair (parameters, momentum) and have size 2d.
        between: Covariance over rows alone of the direction's mean over runs, shape (d, d): the part of the noise
            that a row brings again whenever it is drawn. None where nobody asks (see `RowMoments.once`).
    """

    drift: Vector
    jacobian: Tensor
    second: Matrix
    square: Tensor
    between: Matrix | None = None

    @property
    def noise(self) -> Matrix:
        """Covariance of the direction over rows and runs, shape (d, d)."""
        return self.second - torch.outer(self.drift, self.drift)

    def divided(self, scale: Vector) -> "Local":
        """The moments when coordinate i of the direction is multiplied by ``scale[i]``."""
        both = torch.outer(scale, scale)
        between = None if self.between is None else self.between * both
        return Local(self.drift * scale, self.jacobian * scale[:, None], self.second * both, self.square, between)


@dataclass(frozen=True, eq=False)
class RowMoments:
    """The rows an expectation runs over, with what is computed from them once.

    Attributes:
        features: Rows x used by the averages, shape (n, d), float64.
        residuals: Label noise eps of these rows, shape (n,), float64; uncorrelated with x.
        cov: K = X'X/n of *all* rows, which weighs the risk and pulls the gradient, shape (d, d).
        noise_mean: E x eps over all rows, shape (d,): zero up to rounding and a ridge.
        num_total: Number of rows before a subset was taken.
        whole: All rows, where the averages use a subset; None where they use all.
        eigvals: Eigenvalues of K where the rows are given in its eigenbasis (see `turned`), else None.
        turn: That basis, columns, shape (d, d).
    """

    features: Tensor
    residuals: Tensor
    cov: Tensor
    noise_mean: Tensor
    num_total: int
    whole: Whole | None = None
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
        return self.whole is not None

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
        """E sign(x) sign(x)' over all rows: exact, for the signs of a row never change."""
        if self.whole is not None:
            return self.whole.sign_second()
        return (self.wide_signs_t @ self.wide_signs_t.T).double() / self.num_rows

    @cached_property
    def sign_floor(self) -> float:
        """Mean of x' E[sign(x) sign(x)'] x; times (lr/d)^2 the q^2 that a single sign step makes."""
        return float(self.spread(self.sign_second).clamp(min=0).mean())

    @cached_property
    def own_cov(self) -> Matrix:
        """X'X/n of the rows in the averages."""
        return self.cov if not self.is_subset else self.features.T @ self.features / self.num_rows

    @cached_property
    def turned(self) -> "RowMoments":
        """The same rows in the eigenbasis of K, where the drift of SGD is diagonal."""
        eigvals, basis = torch.linalg.eigh(self.cov)
        return replace(
            self,
            features=self.features @ basis,
            cov=basis.T @ self.cov @ basis,
            noise_mean=basis.T @ self.noise_mean,
            eigvals=eigvals,
            turn=basis,
        )

    def spread(self, cov: Matrix) -> Tensor:
        """q^2 = x' cov x of every row, shape (n,)."""
        wide = self.wide
        return (wide @ cov.to(wide.dtype)).mul_(wide).sum(1).double()

    def outer(self, weights: Tensor) -> Matrix:
        """E[weights x x'] over the rows, weights of shape (n,), all non-negative."""
        scaled = self.wide * weights.sqrt().to(self.wide.dtype)[:, None]
        return (scaled.T @ scaled).double() / self.num_rows

    @equation("signscope", "risk_curves (13.1)-(13.3): moments of the sign")
    def sign_local(self, mean: Vector, cov: Matrix, floor: float, *, between: bool = False) -> Local:
        r"""Drift, derivative and second moment of ``sign(g)``, g = (<x, v> - eps) x.

        $$ m = E[s (2\Phi(z) - 1)], \quad H = E[s x' 2\varphi(z)/q], \quad z = (\langle x, mu\rangle - eps)/q,
           \quad s = sign(x), \quad q^2 = x' \Sigma x $$

        Args:
            mean: mu, shape (d,).
            cov: Sigma, shape (d, d).
            floor: Smallest q^2 allowed, which keeps z finite at Sigma = 0.
            between: Whether ``between`` of the answer is wanted, one more product of n d^2.
        """
        q = self.spread(cov).clamp_(min=floor).sqrt_()
        z = (self.features @ mean - self.residuals) / q
        sign = torch.erf(z / 2**0.5)  # 2 Phi(z) - 1, the mean over runs
        drift = self.signs.T @ sign / self.num_rows
        weight = torch.exp(-0.5 * z * z) / q * (2 / torch.pi) ** 0.5
        wide = self.wide_signs_t @ (self.wide * weight.to(self.wide.dtype)[:, None])
        again = self._between(self.wide_signs_t * sign.to(self.wide.dtype), drift) if between else None
        return Local(drift, wide.double() / self.num_rows, self.sign_second, torch.zeros_like(mean), again)

    @equation("signscope", "risk_curves section 13: moments of the gradient")
    def gradient_local(self, mean: Vector, cov: Matrix, *, between: bool = False) -> Local:
        r"""Drift, derivative and second moment of the gradient itself; they close at second order.

        $$ m = K mu - E[x eps], \quad H = K, \quad E[g g'] = E[x x' ((\langle x, mu\rangle - eps)^2 + q^2)] $$
        """
        r = self.features @ mean - self.residuals
        second = self.outer(r.square() + self.spread(cov).clamp_(min=0.0))
        jacobian = self.cov if self.eigvals is None else self.eigvals
        drift = (jacobian @ mean if self.eigvals is None else jacobian * mean) - self.noise_mean
        again = self._between((self.wide * r.to(self.wide.dtype)[:, None]).T, drift) if between else None
        return Local(drift, jacobian, second, second.diagonal(), again)

    def _between(self, directions: Tensor, mean: Vector) -> Matrix:
        """Covariance of the columns of ``directions``, shape (d, n), about ``mean``."""
        return (directions @ directions.T).double() / self.num_rows - torch.outer(mean, mean)


def prepare(rows: "HasRows | RowMoments", *, max_rows: int | None = None, seed: int = 0) -> RowMoments:
    """The rows that the averages run over: all of them, or a seeded random subset without replacement.

    What decides where an optimizer settles does not depend on the subset. SGD and Adam are pulled by K and E x eps
    of all rows. signSGD's drift is corrected by all rows from time to time (see `rows_flow.System.anchored`); the
    residuals of the subset are made uncorrelated with x (least squares, variance restored), so that little is left
    to correct.

    Args:
        rows: A data set, or what this function returned before (then returned as it is).
        max_rows: Size beyond which a subset is drawn; by default as many rows as keep one average below 10^9
            multiplications and 160 MB, and at least 12 per column.
        seed: Seed of the draw.
    """
    if isinstance(rows, RowMoments):
        return rows
    features, residuals = rows.features.double(), rows.residuals.double()
    total, dim = features.shape
    cov, push = features.T @ features / total, features.T @ residuals / total
    size = _affordable(dim) if max_rows is None else max_rows
    if total <= (1.5 * size if max_rows is None else size):
        return RowMoments(features, residuals, cov, push, total)
    chosen = np.sort(stream(seed, "rows", "subset").permutation(total)[:size])
    index = torch.from_numpy(chosen)
    part, eps = features[index], residuals[index]
    return RowMoments(part, _decorrelated(part, eps), cov, push, total, Whole(features, residuals))


def _affordable(dim: int) -> int:
    """Rows that may take part in every average."""
    return max(ROWS_PER_COLUMN * dim, int(min(WORK / dim**2, NUMBERS / dim)))


def _decorrelated(features: Tensor, residuals: Tensor) -> Tensor:
    """Residuals of a least-squares fit of ``residuals`` on ``features``, rescaled to their former power."""
    fit = torch.linalg.lstsq(features, residuals[:, None], driver="gelsd").solution[:, 0]
    left = residuals - features @ fit
    power = left.square().sum()
    return left * (residuals.square().sum() / power).sqrt() if float(power) > 0 else left
