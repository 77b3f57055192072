"""Other quadratics of the displacement along a risk curve: squared distance and squared gradient norm."""

from typing import Any

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput, Unsupported
from signscope.integrate import Solution, Step, exponential_moments
from signscope.limits.coefficients import Setting
from signscope.limits.spectrum import Spectrum, noise_matrices, spectrum
from signscope.problems import LeastSquares

QUANTITIES = ("excess_risk", "distance", "grad_norm")
"""R = 1/2 v'Kv; ||v||^2; ||Kv||^2, each with v = theta - target."""

Form = str | Tensor
"""A quantity by name, or the symmetric matrix Q of v'Qv, shape (d, d)."""


def as_form(who: str, quantity: Any, dim: int) -> Form:
    """A name out of `QUANTITIES`, or a symmetric matrix as float64, or `InvalidInput`."""
    if isinstance(quantity, str):
        return checks.one_of(who, "quantity", quantity, QUANTITIES)
    try:
        form = torch.as_tensor(quantity, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise InvalidInput(f"{who}: `quantity` must be a name or a matrix, got {type(quantity).__name__}.") from None
    if form.shape != (dim, dim) or not bool(torch.isfinite(form).all()):
        raise InvalidInput(
            f"{who}: `quantity` as a matrix must be finite and of shape ({dim}, {dim}), got {tuple(form.shape)}."
        )
    return (form + form.T) / 2


@equation("signscope", "(4.3)")
def quadratic_statistic(
    problem: LeastSquares, setting: Setting, quantity: Form, solution: Solution, times: Tensor
) -> Tensor:
    r"""E v'Qv along an already solved risk curve, Q = I (``distance``), K^2 (``grad_norm``) or any matrix.

    The second-moment matrix Y in the eigenbasis of S obeys
    $$ \dot Y_{jk} = -\tfrac{\alpha}{2}(\lambda_j + \lambda_k) Y_{jk} + 2 b N_{jk}, \quad Y(0) = y_0 y_0', $$
    and $E\,v'Qv = \mathrm{tr}(WY)$. The scalars alpha and b are those of the risk equation, so every entry is
    continued exactly through the same steps.

    Args:
        problem: The problem of the curve.
        setting: Its optimizer.
        quantity: ``"distance"``, ``"grad_norm"`` or Q itself, shape (d, d).
        solution: Result of the risk solve with its steps kept.
        times: Times in steps/dim, shape (num_times,).

    Returns:
        Shape (num_times,).

    Notes:
        O(d^2) per step and per time; O(d) for a named quantity and a diagonal covariance.
    """
    modes = spectrum(problem, setting.kernel)
    separate = modes.eigvecs is None and isinstance(quantity, str)
    if problem.dim > 4000 and not separate:
        raise Unsupported(f"predict: this quantity needs dim x dim moments, and dim = {problem.dim} is beyond 4000.")
    parts = _diagonal_parts if separate else _dense_parts
    decay, moments, noise, weight = parts(problem, setting, quantity, modes)
    return along_steps(moments, decay, noise, weight, solution, times)


def along_steps(
    moments: Tensor, decay: Tensor, noise: Tensor, weight: Tensor, solution: Solution, times: Tensor
) -> Tensor:
    """Sum of ``weight`` times the moments that obey dY/dt = -alpha decay Y + 2 b noise, at ``times``.

    Where the risk curve itself was not reached the values are its own, ``inf`` or NaN.
    """
    risk = solution.risk[0]
    if not solution.steps:  # nothing but the start was asked for, or no step could be made
        return torch.where(torch.isfinite(risk), (weight * moments).sum(), risk)
    values = []
    for step, inside in _steps_with_times(solution.steps, times):
        for time in inside:
            values.append((weight * _continue(moments, decay, noise, step, time)).sum())
        moments = _continue(moments, decay, noise, step, step.time + step.length)
    return torch.where(torch.isfinite(risk.detach()), torch.stack(values), risk)


def _dense_parts(
    problem: LeastSquares, setting: Setting, quantity: Form, modes: Spectrum
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    eigvals = modes.eigvals
    vecs = torch.eye(problem.dim, dtype=torch.float64) if modes.eigvecs is None else modes.eigvecs
    y0 = vecs.T @ (modes.scale * problem.displacement)
    sources = [torch.diag(n) if n.ndim == 1 else n for n in noise_matrices(problem, setting.kernel)]
    noise = torch.stack([vecs.T @ n @ vecs for n in sources])
    back = vecs / modes.scale[:, None]  # v = back @ (coordinates of y)
    if isinstance(quantity, Tensor):
        weight = back.T @ quantity @ back
    else:
        image = back if quantity == "distance" else problem.cov.matvec(back.T).T
        weight = image.T @ image
    return 0.5 * (eigvals[:, None] + eigvals), torch.outer(y0, y0), noise, weight


def _diagonal_parts(
    problem: LeastSquares, setting: Setting, quantity: Form, modes: Spectrum
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    noise = torch.stack(noise_matrices(problem, setting.kernel))
    weight = modes.scale**-2
    if quantity == "grad_norm":
        weight = weight * problem.cov.diagonal() ** 2
    return modes.eigvals, (modes.scale * problem.displacement) ** 2, noise, weight


def _steps_with_times(steps: tuple[Step, ...], times: Tensor) -> list[tuple[Step, list[float]]]:
    pairs: list[tuple[Step, list[float]]] = []
    left = times.tolist()
    for index, step in enumerate(steps):
        last = index == len(steps) - 1
        inside = left if last else [t for t in left if t <= step.time + step.length]
        left = [] if last else left[len(inside) :]
        pairs.append((step, inside))
    return pairs


def _continue(moments: Tensor, decay: Tensor, noise: Tensor, step: Step, time: float) -> Tensor:
    """Moments at ``time`` inside ``step``, from their values at its start."""
    fraction = min(max((time - step.time) / step.length, 0.0), 1.0)
    powers = torch.arange(len(step.alpha), dtype=moments.dtype)
    primitive = fraction ** (powers + 1) / (powers + 1)
    sigma = (step.length * (step.alpha * primitive).sum()).clamp(min=0)
    share = sigma / step.decay.clamp(min=1e-300)
    z = decay * sigma
    kernel = torch.stack(exponential_moments(z, len(powers)))
    weights = step.forcing * share**powers * sigma  # (sources, 5)
    return moments * torch.exp(-z) + 2 * torch.einsum("sk,k...,s...->...", weights, kernel, noise)
