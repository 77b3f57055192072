"""Lower bounds: what no constant step and no batch size can beat on every problem with the given constants."""

import math

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.bounds.constants import Constants
from signscope.bounds.plan import Condition, LowerBound, Norm, check_run

SIGN_FORMULA = "max( sqrt(L Delta/(N - 1/2)), 0.49 min(sqrt(L Delta), (sigma_1^2 L Delta/N)^(1/4)) )"
SGD_FORMULA = "max( sqrt(d L Delta/(4(N-1) + d/2)), min(sqrt(L Delta), (d sigma_2^2 L Delta/(8N))^(1/4)) )"


@equation("tao2026", "lower bound of SignSGD, corrected range and constants")
def signsgd_lower(constants: Constants, *, num_calls: int, norm: Norm = "l1") -> LowerBound:
    r"""What signSGD with a constant step and batch cannot beat on every problem of the class.

    $$ E\min_{t<T}\lVert\nabla f(x_t)\rVert_1 \ge \max\Bigl(\sqrt{\tfrac{L\Delta}{N - 1/2}},\;
       0.49\min\bigl(\sqrt{L\Delta}, (\sigma_1^2 L\Delta/N)^{1/4}\bigr)\Bigr) $$

    The published noise term is claimed for all N; below $\sigma_1^2/(L\Delta)$ it contradicts
    $\lVert\nabla f(x_0)\rVert_1^2 \le 2L\Delta$. There the problem for that many calls bounds shorter runs as well,
    whence the minimum. The instance depends on step, T and B:
    `signscope.bounds.instances.hard_signsgd`. The constant 0.49 is a certificate; it tends to 1 with N.

    Args:
        constants: Of the class.
        num_calls: Per-sample gradients N, spent in any batches.
        norm: "nuclear" for Muon on matrices with the same constants; the diagonal embedding carries the instance over.

    Returns:
        The bound.
    """
    calls = checks.integer("signsgd_lower", "num_calls", num_calls, minimum=1)
    product, noise = constants.descent * constants.initial_gap, constants.noise_l1
    needed = noise**2 / product
    terms = math.sqrt(product / (calls - 0.5)), 0.49 * (noise**2 * product / max(calls, needed)) ** 0.25
    conditions = (_enough("sigma_1^2/(L Delta)", needed, calls), _constant_step(), *_free(constants))
    method = "muon" if norm == "nuclear" else "signsgd"
    return LowerBound(method, max(terms), calls, conditions, SIGN_FORMULA, norm)


@equation("signscope", "lower bound of SGD in the l1 norm, any batch size")
def sgd_lower(constants: Constants, *, num_calls: int, norm: Norm = "l1") -> LowerBound:
    r"""What SGD with a constant step and batch cannot beat on every problem of the class.

    $$ \min_{t<T}\lVert\nabla f(x_t)\rVert_1 \ge \max\Bigl(\sqrt{\tfrac{d L\Delta}{4(N-1) + d/2}},\;
       \min\bigl(\sqrt{L\Delta}, (d\sigma_2^2 L\Delta/(8N))^{1/4}\bigr)\Bigr) \quad\text{on every path} $$

    The worse of a stuck and a slow problem, see `sgd_lower_at`; both are separable. $L_2$ and the $L_i$ are not fixed
    in the class.

    Args:
        constants: Of the class, with ``dim``; without ``noise_l2`` the smaller $\sigma_1/\sqrt d$ is used.
        num_calls: Per-sample gradients N, spent in any batches.
        norm: "nuclear" on matrices: d is the shorter side and $\sigma_2$ the Frobenius norm of $\Sigma$.

    Returns:
        The bound.
    """
    calls = checks.integer("sgd_lower", "num_calls", num_calls, minimum=1)
    dim, noise, product = _dim(constants), _noise(constants), constants.descent * constants.initial_gap
    needed = dim * noise**2 / (8 * product)
    slow = math.sqrt(dim * product / (4 * (calls - 1) + dim / 2))
    terms = slow, (dim * noise**2 * product / (8 * max(calls, needed))) ** 0.25
    known = constants.noise_l2 is not None or constants.noise_l1 == 0
    stand_in = () if known else (Condition("smaller constant", "sigma_2 not given, sigma_1/sqrt(d) used", None),)
    conditions = (_enough("d sigma_2^2/(8 L Delta)", needed, calls), _constant_step(), *_free(constants), *stand_in)
    return LowerBound("sgd", max(terms), calls, conditions, SGD_FORMULA, norm)


@equation("signscope", "lower bound of SGD at a given step: stuck or slow")
def sgd_lower_at(constants: Constants, *, lr: float, num_steps: int, batch_size: int = 1) -> tuple[float, float]:
    r"""Smallest l1 norm of the gradient that SGD sees on its two hard problems, on every path.

    $$ A = \min\bigl(\sigma_2\sqrt{\eta L/(4B)}, \sqrt{2L\Delta}\bigr) \quad(\sqrt{2L\Delta} \text{ if } \eta \ge 4/L),
       \qquad S = \sqrt{\frac{d\Delta}{(T-1)\eta + d/(2L)}} $$

    Args:
        constants: Of the class, with ``dim``.
        lr: Factor on the gradient.
        num_steps: Updates T.
        batch_size: Samples B per gradient.

    Returns:
        (A, S): stuck and slow; the larger is the lower bound at this step.
    """
    check_run("sgd_lower_at", lr=lr, num_steps=num_steps, batch_size=batch_size)
    smooth, gap, dim = constants.descent, constants.initial_gap, _dim(constants)
    ceiling = math.sqrt(2 * smooth * gap)
    stuck = ceiling if lr >= 4 / smooth else _noise(constants) * math.sqrt(lr * smooth / (4 * batch_size))
    return min(stuck, ceiling), math.sqrt(dim * gap / ((num_steps - 1) * lr + dim / (2 * smooth)))


def _enough(formula: str, needed: float, calls: int) -> Condition:
    return Condition("noise term falls with N", f"N = {calls}, from {formula} = {needed:.3g} on", calls >= needed)


def _constant_step() -> Condition:
    return Condition("constant step", "no schedule, momentum or clipping; the problem is chosen after the step", None)


def _free(constants: Constants) -> tuple[Condition, ...]:
    """The problems spread the curvature as they need it, whatever else is known of it."""
    fixed = constants.smoothness_l2 is not None and constants.smoothness_l2 < constants.descent
    if not fixed and constants.noise_curvature is None:
        return ()
    text = "the problem has these L, Delta and sigma, but L_2 and L_i of its own; for yours alone less may be possible"
    return (Condition("free curvature", text, None),)


def _dim(constants: Constants) -> int:
    if constants.dim is None:
        raise InvalidInput("sgd_lower: the bound needs `dim`, the number of coordinates; Constants(..., dim=...).")
    return constants.dim


def _noise(constants: Constants) -> float:
    if constants.noise_l2 is not None:
        return constants.noise_l2
    return constants.noise_l1 / math.sqrt(_dim(constants))
