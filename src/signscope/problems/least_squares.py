"""`LeastSquares`: the problem that predictions and simulations share."""

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.random import stream
from signscope.problems.arrays import as_vector, json_number
from signscope.problems.covariance import as_covariance
from signscope.problems.rows import Rows

if TYPE_CHECKING:
    from signscope.noise import NoiseLaw


class LeastSquares:
    r"""Streaming least squares: rows x ~ N(0, K) with labels y = <x, target> + eps.

    $$ R(\theta) = \tfrac12 (\theta - \theta^*)' K (\theta - \theta^*) $$

    is the excess risk (with the factor 1/2); the population risk is R + 1/2 E eps^2 where that exists.

    Args:
        cov: K: a matrix, a vector of variances, or a `Covariance`.
        start: First iterate, shape (d,); zeros by default.
        target: Optimum, shape (d,); by default drawn from N(0, I/d) by the stream "target" of ``seed``.
        noise: Law of eps: None, a float (Gaussian standard deviation), a text such as ``"cauchy:2,1"``, a
            frozen ``scipy.stats`` law, a sample, or a `NoiseLaw`.
        seed: Seed of the default target; a whole number of at least 0.
        rows: The data set behind the problem, if there is one; see `from_data`.
        dropped_columns: Names of the columns that `from_data` left out.
        report: What `from_data` did, for people.

    Raises:
        InvalidInput: K is not a covariance, a vector has the wrong shape or is not finite, or the noise is
            unknown.

    Notes:
        A problem is not changed by any function of this package. Rotating K, start and target together leaves
        every prediction for SGD unchanged, and changes those for sign methods.
    """

    def __init__(
        self,
        cov: Any,
        *,
        start: Any = None,
        target: Any = None,
        noise: Any = None,
        seed: int = 0,
        rows: Rows | None = None,
        dropped_columns: tuple[str, ...] = (),
        report: str = "",
    ) -> None:
        from signscope.noise import as_noise

        self.cov = as_covariance(cov)
        self.seed = checks.integer("LeastSquares", "seed", seed, minimum=0)
        dim = self.cov.dim
        if start is None:
            start = torch.zeros(dim, dtype=torch.float64)
        if target is None:
            target = stream(self.seed, "target").standard_normal(dim) / dim**0.5
        self.start: Tensor = as_vector("LeastSquares", "start", start, dim=dim)
        self.target: Tensor = as_vector("LeastSquares", "target", target, dim=dim)
        self.noise: NoiseLaw = as_noise(noise)
        self.rows = rows
        self.dropped_columns = tuple(dropped_columns)
        self._report = report
        if rows is not None and rows.dim != dim:
            raise InvalidInput(f"LeastSquares: `rows` have {rows.dim} columns, but `cov` has dimension {dim}.")
        self._complete = True

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuses changes after construction: what is computed from a problem is kept with it."""
        if getattr(self, "_complete", False):
            raise AttributeError(f"LeastSquares.{name} cannot be changed; make a new problem instead.")
        super().__setattr__(name, value)

    @classmethod
    def from_data(
        cls,
        X: Any,
        y: Any,
        *,
        center: bool = True,
        scale: Literal["global", "columns", "none"] = "global",
        ridge: float = 1e-6,
        noise: Literal["empirical", "gaussian", "mixture"] = "empirical",
        seed: int = 0,
    ) -> "LeastSquares":
        """The least-squares problem of a data set: K = X'X/n, target = its solution, noise = its residuals.

        Args:
            X: Rows by columns, shape (n, d): array, tensor or DataFrame.
            y: Labels, shape (n,), or the name of a column of the DataFrame ``X``. Two classes given as text,
                booleans or categories become -1 and +1; the report says which is which.
            center: Subtract the means of the columns and of y: the same as fitting an intercept.
            scale: ``"global"`` divides by one number so that tr K = d, ``"columns"`` makes every variance 1,
                ``"none"`` leaves the units alone.
            ridge: Added to K, times its mean diagonal, in the equations for the target alone; 0 gives the
                shortest exact solution.
            noise: Law of the residuals: ``"empirical"`` (the sample itself), ``"gaussian"`` (its mean and
                standard deviation) or ``"mixture"`` (Gaussians fitted to it).
            seed: For the mixture fit.

        Returns:
            A problem that starts at zeros and carries ``rows``, ``dropped_columns`` and ``report``.

        Raises:
            InvalidInput: Missing or infinite values (counted per column), text columns, y of another length or
                with more than two classes, no varying column, or fewer rows than columns.

        Notes:
            Rows of X and y are matched by position. Columns that never vary are dropped; without centring only
            those that are 0 throughout, since a constant column then is an intercept.
            Memory: two float64 copies of X at most, X included where it is float64.
        """
        from signscope.problems.data import problem_from_data

        return problem_from_data(X, y, center=center, scale=scale, ridge=ridge, noise=noise, seed=seed, factory=cls)

    @property
    def dim(self) -> int:
        """Number of coordinates d."""
        return self.cov.dim

    @property
    def displacement(self) -> Tensor:
        """``start - target``, shape (d,)."""
        return self.start - self.target

    @property
    def eigvals(self) -> Tensor:
        """Eigenvalues of K, ascending, shape (d,)."""
        return self.cov.eigvals

    @property
    def report(self) -> str:
        """What the problem is, in a few lines: size, rank, conditioning, noise, and what `from_data` did."""
        return self._report or (
            f"{self.dim} coordinates, rank {self.cov.rank}, condition number {self.cov.condition_number:.4g}, "
            f"tr K = {self.cov.trace:.6g}, noise {self.noise.spec}"
        )

    def excess_risk(self, theta: Any) -> Tensor:
        """R = 1/2 (theta - target)' K (theta - target), in the unit of y^2.

        Args:
            theta: Parameters, shape (..., d). Gradients flow through a tensor.

        Returns:
            Shape (...,), float64.

        Raises:
            InvalidInput: The last axis is not d.
        """
        theta = torch.as_tensor(theta).to(device="cpu", dtype=torch.float64)
        if theta.ndim == 0 or theta.shape[-1] != self.dim:
            raise InvalidInput(
                f"LeastSquares.excess_risk: `theta` must have shape (..., {self.dim}), got {tuple(theta.shape)}."
            )
        return self.cov.quadratic(theta - self.target) / 2

    def describe(self) -> dict[str, Any]:
        """Size, conditioning (None if infinite) and noise, ready for JSON."""
        return {
            "dim": self.dim,
            "num_rows": None if self.rows is None else self.rows.num_rows,
            "dropped_columns": list(self.dropped_columns),
            "condition_number": json_number(self.cov.condition_number),
            "trace": self.cov.trace,
            "noise": self.noise.describe(),
        }

    def __repr__(self) -> str:
        rows = "" if self.rows is None else f", num_rows={self.rows.num_rows}"
        return f"LeastSquares(dim={self.dim}{rows}, noise={self.noise.spec!r})"


def as_problem(who: str, problem: Any) -> LeastSquares:
    """``problem`` if it is one, or `InvalidInput`."""
    if not isinstance(problem, LeastSquares):
        raise InvalidInput(f"{who}: `problem` must be a LeastSquares, got {type(problem).__name__}.")
    return problem
