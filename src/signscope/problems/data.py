"""From a data set to a least-squares problem: centre, scale, solve, and say what was done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.problems.covariance import Covariance, Dense
from signscope.problems.least_squares import LeastSquares
from signscope.problems.rows import Rows
from signscope.problems.tables import WHO, Table, as_table, counted, listed

SCALES = ("global", "columns", "none")
NOISES = ("empirical", "gaussian", "mixture")


@dataclass(frozen=True, eq=False)
class Prepared:
    """Centred and scaled rows, with what was done to them.

    Attributes:
        features: Shape (n, d), float64.
        targets: Shape (n,), float64.
        dropped: Names of the columns left out.
        steps: One sentence on centring and scaling.
    """

    features: Tensor
    targets: Tensor
    dropped: tuple[str, ...]
    steps: str


def problem_from_data(
    X: Any,
    y: Any,
    *,
    center: bool = True,
    scale: str = "global",
    ridge: float = 1e-6,
    noise: str = "empirical",
    seed: int = 0,
    factory: Callable[..., LeastSquares] = LeastSquares,
) -> LeastSquares:
    """The problem behind `LeastSquares.from_data`, where the arguments are explained."""
    checks.one_of(WHO, "scale", scale, SCALES)
    checks.one_of(WHO, "noise", noise, NOISES)
    ridge = checks.non_negative(WHO, "ridge", ridge)
    table = as_table(X, y)
    data = prepare(table, center=center, scale=scale)
    cov, target = solve(data.features, data.targets, ridge=ridge)
    residuals = data.targets - data.features @ target
    return factory(
        cov,
        target=target,
        noise=residual_law(residuals, kind=noise, seed=seed),
        seed=seed,
        rows=Rows(data.features, data.targets, residuals),
        dropped_columns=data.dropped,
        report=_report(table, data, cov, residuals, noise),
    )


def prepare(table: Table, *, center: bool, scale: str) -> Prepared:
    """Drop columns that never vary, centre, scale.

    Raises:
        InvalidInput: No column is left, fewer rows than columns, a constant y, or numbers whose squares leave
            the range of float64.
    """
    kept = varying_columns(table.features, center=center)
    n, d = len(table.features), int(kept.sum())
    if not d:
        raise InvalidInput(f"{WHO}: none of the {len(kept)} columns of X varies; there is nothing to learn from.")
    if n < d:
        raise InvalidInput(
            f"{WHO}: fewer rows than columns ({n} against {d}), so the covariance cannot be estimated. "
            "Use more rows or fewer columns."
        )
    source = table.features if bool(kept.all()) else table.features[:, kept]
    features = np.array(source, dtype=np.float64, order="C")  # the one working copy, changed in place below
    targets = table.target.copy()
    if center:
        for values in (features, targets):
            values -= values.mean(axis=0)
            values -= values.mean(axis=0)  # again: the first mean rounds where the offset is large
    if not np.abs(targets).max() > 1e-14 * np.abs(table.target).max():
        raise InvalidInput(f"{WHO}: `y` never varies (it is {table.target[0]:g} throughout).")
    steps = _scale_(features, scale, size_name="standard deviation" if center else "root mean square")
    start = "centred, y too (the same as fitting an intercept)" if center else "not centred"
    dropped = tuple(name for name, keep in zip(table.names, kept, strict=True) if not keep)
    return Prepared(torch.from_numpy(features), torch.from_numpy(targets), dropped, f"{start}; {steps}")


def varying_columns(features: np.ndarray, *, center: bool) -> np.ndarray:
    """Which columns vary by more than rounding; without centring, which are not 0 throughout. Shape (p,)."""
    low = features.min(axis=0).astype(np.float64)
    high = features.max(axis=0).astype(np.float64)
    size = np.maximum(np.abs(low), np.abs(high))
    return high - low > 4 * np.finfo(np.float64).eps * size if center else size > 0


def solve(features: Tensor, targets: Tensor, *, ridge: float) -> tuple[Covariance, Tensor]:
    r"""Covariance of the rows and their least-squares solution.

    $$ K = X'X/n, \qquad \theta^* = \Bigl(K + \rho \tfrac{\operatorname{tr} K}{d} I\Bigr)^{-1} X'y/n $$

    Args:
        features: X, shape (n, d), float64.
        targets: y, shape (n,), float64.
        ridge: rho, at least 0; with 0, directions without variance get coefficient 0.

    Returns:
        K (without the ridge) and the solution, shape (d,).

    Raises:
        InvalidInput: K leaves the range of float64.

    Notes:
        One product of cost n d^2 and one eigendecomposition, which the covariance keeps. The relative error of
        the solution is about 1e-16 times the condition number of the bracket.
    """
    n, d = features.shape
    product = features.T @ features / n
    if not bool(torch.isfinite(product).all()) or not bool((product.diagonal() > 0).all()):
        raise InvalidInput(f"{WHO}: squares of X leave the range of float64. Choose other units, or scale them.")
    cov = Dense(product)
    eigvals, eigvecs = cov.eigh()
    shifted = eigvals + ridge * cov.trace / d
    if ridge == 0:
        shifted[: d - cov.rank] = torch.inf  # the eigenvalues ascend
    return cov, eigvecs @ ((eigvecs.T @ (features.T @ targets / n)) / shifted)


def residual_law(residuals: Tensor, *, kind: str, seed: int) -> Any:
    """The law of the residuals as `as_noise` takes it: the sample, a Gaussian, or a fitted mixture."""
    from signscope.noise import Gaussian, fit_mixture

    std, mean = float(residuals.std(correction=0)), float(residuals.mean())
    if not bool(residuals.any()):
        return None
    if kind == "empirical" or std == 0:
        return residuals.numpy()
    if kind == "mixture":
        return fit_mixture(residuals.numpy(), seed=seed)
    return Gaussian(std, mean if abs(mean) > 1e-9 * std else 0.0)  # after centring the mean is rounding


def _scale_(features: np.ndarray, scale: str, *, size_name: str) -> str:
    """Scale in place; the words for the report, where the size of a column goes by ``size_name``."""
    if scale == "none":
        return "not scaled"
    axis = None if scale == "global" else 0
    size = np.maximum(features.max(axis=axis), -features.min(axis=axis))  # np.abs would copy everything
    features /= size  # first, so that no square overflows
    variances = np.einsum("ij,ij->j", features, features) / len(features)
    if scale == "columns":
        features /= np.sqrt(variances)
        return f"every column divided by its own {size_name}"
    std = float(np.sqrt(variances.mean()))
    features /= std
    return f"divided by one {size_name}, {std * float(size):.6g}, so that tr K = d"


def _report(table: Table, data: Prepared, cov: Covariance, residuals: Tensor, noise: str) -> str:
    n, d = data.features.shape
    power = float(data.targets.square().mean())
    share = 1 - float(residuals.square().mean()) / power
    lost = _exact_share(data, cov, power) - share
    lines = [
        f"{counted(n, 'row')}, {counted(d, 'column')}, n/d = {n / d:.4g}",
        f"rank {cov.rank} of {d}, condition number {cov.condition_number:.4g}",
        data.steps,
        f"least squares explains {100 * share:.4g}% of y; residuals of standard deviation "
        f"{float(residuals.std(correction=0)):.4g} as {noise} noise",
    ]
    if data.dropped:
        lines.insert(1, f"dropped {counted(len(data.dropped), 'column')} that never vary: {listed(data.dropped)}")
    if table.coding:
        lines.append(f"y: {table.coding}")
    if lost > 1e-3:
        lines.append(
            f"the ridge leaves out {100 * lost:.2g}% of y that lies along directions of tiny variance; "
            "ridge=0 keeps it, scale='columns' may bring it up"
        )
    if cov.rank < d:
        lines.append(f"no variance along {counted(d - cov.rank, 'direction')}: the target is 0 there")
    if n < 10 * d:
        lines.append("fewer than 10 rows per column: the covariance is a rough estimate")
    return "\n".join(lines)


def _exact_share(data: Prepared, cov: Covariance, power: float) -> float:
    """Share of y'y that the solution without ridge explains."""
    eigvals, eigvecs = cov.eigh()
    along = eigvecs.T @ (data.features.T @ data.targets / len(data.targets))
    kept = slice(cov.dim - cov.rank, None)
    return float((along[kept].square() / eigvals[kept]).sum()) / power
