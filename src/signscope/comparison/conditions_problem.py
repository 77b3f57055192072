"""What the theory assumes of dimension, covariance and start. Thresholds were read from docs/check.md's tables."""

import math
from collections.abc import Sequence

from signscope.comparison.assumption import Assumption
from signscope.comparison.gaussianity import FLOW
from signscope.limits.assumptions import (
    linearisation_error,
    participation,
    sign_noise_norm,
    spectrum_bounds,
    strongest_coupling,
)
from signscope.problems import LeastSquares

SMALL_DIM = 50
ILL_CONDITIONED = 1e8
DOMINANT = 0.25  # share of tr K, or of the sign noise, in one direction
FEW_MODES = 10
SIGN_ERROR = {"signsgd": 0.03, "adam": 0.01, "signum": 0.03}  # of the speed at the start; the gap is then 2%
SIMULATE = "Trust the simulation where it differs from the prediction."


def problem_conditions(problem: LeastSquares, names: Sequence[str], *, batch_size: int) -> list[Assumption]:
    """Conditions on everything but noise, rates and rows, for the optimizers ``names``."""
    signed = [name for name in names if name != "sgd"]
    found = [_dimension(problem), *_spectrum(problem)]
    if signed:
        found += [_sign_noise(problem), *_delocalised(problem)]
        error = linearisation_error(problem, batch_size=batch_size)
        limit = min(SIGN_ERROR[name] for name in signed)
        trust = FLOW if problem.rows is not None and batch_size == 1 else SIMULATE
        found += [_alignment(error, limit, trust), *_modes(problem, signed[0], abs(error) <= limit, trust)]
    return found


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _dimension(problem: LeastSquares) -> Assumption:
    d = problem.dim
    text = f"predictions are limits of many coordinates; at {d} expect relative errors of about {100 / d:.2g}%"
    advice = f"For SGD use method 'exact'. {SIMULATE}"
    return Assumption("dimension", float(d), d >= SMALL_DIM, text, float(SMALL_DIM), advice)


def _spectrum(problem: LeastSquares) -> list[Assumption]:
    bounds = spectrum_bounds(problem.cov)
    cond, share = bounds.condition_number, bounds.high / problem.cov.trace
    at_most = "" if bounds.exact else " (an estimate by products)"
    spread = (
        f"eigenvalues of the covariance from {bounds.low:.3g} to {bounds.high:.3g}{at_most}; "
        "directions with small eigenvalues are learnt last"
    )
    if not math.isfinite(cond):
        rank = "" if bounds.rank is None else f" (rank {bounds.rank} of {problem.dim})"
        spread = f"the covariance is singular{rank}; some directions are never learnt"
    top = (
        f"the largest direction holds {100 * share:.2g}% of the variance; the theory wants many directions to share it"
    )
    drop = "Drop or merge columns that repeat others; the risk curve itself stays accurate."
    center = f"Centre the columns and remove common factors; otherwise single runs scatter widely. {SIMULATE}"
    return [
        Assumption("condition number", _number(cond), cond < ILL_CONDITIONED, spread, ILL_CONDITIONED, drop),
        Assumption("largest eigenvalue", share, share <= DOMINANT, top, DOMINANT, center),
    ]


def _sign_noise(problem: LeastSquares) -> Assumption:
    """Operator norm of Ksig, against a share of what it is when all signs are equal."""
    norm, whole = sign_noise_norm(problem.cov), problem.dim * math.pi / 2
    limit = max(DOMINANT * whole, math.pi)
    text = (
        f"operator norm {norm:.3g} of the covariance of signs, {100 * norm / whole:.2g}% of what it is when all signs "
        "agree; noise shared by all coordinates does not average out"
    )
    advice = f"Centre the columns and remove common factors; otherwise single runs scatter widely. {SIMULATE}"
    return Assumption("sign noise norm", norm, norm <= limit, text, limit, advice)


def _delocalised(problem: LeastSquares) -> list[Assumption]:
    """Largest off-diagonal entry of z (Kbar - z)^-1 on the circle |z| = 2 ||Kbar||."""
    if problem.cov.is_diagonal or problem.dim < 2:
        return []
    worst, limit = strongest_coupling(problem), problem.dim**-0.4
    text = (
        f"strongest coupling of two coordinates {worst:.2g} (resolvent on the circle of twice the norm); the theorem "
        f"wants about d^-1/2, at most d^-0.4 = {limit:.2g}"
    )
    if worst > limit:
        text += "; by itself a close pair was not seen to move a risk curve"
    advice = f"Merge columns that repeat each other if other checks fail too. {SIMULATE}"
    return [Assumption("delocalisation", worst, worst <= limit, text, limit, advice)]


def _alignment(error: float, limit: float, trust: str) -> Assumption:
    """Exact drift of the signs against its linearisation."""
    cause = "single coordinates carry the residual" if error > 0 else "in so large a batch signs become certain"
    text = (
        f"at the start the mean step of sign methods is {100 * abs(error):.2g}% {'longer' if error > 0 else 'shorter'} "
        f"than the linear theory says, as {cause}"
    )
    if abs(error) <= limit:
        text = f"mean steps of sign methods are linear in the displacement to {100 * abs(error):.2g}% at the start"
    start = "Predict from a start that is off in many coordinates, or rotate the features."
    advice = f"{start if error > 0 else 'Use a batch that is small against the dimension.'} {trust}"
    return Assumption("linear signs", abs(error), abs(error) <= limit, text, limit, advice)


def _modes(problem: LeastSquares, name: str, is_linear: bool, trust: str) -> list[Assumption]:
    count = participation(problem, name)
    if count is None:
        return []
    limit = min(FEW_MODES, problem.dim / 5)
    text = f"about {count:.2g} eigenvectors share the risk at the start; the theory wants many"
    if count < limit and is_linear:
        text += ", but they spread over many coordinates, which was seen to be enough"
    advice = f"Predict from another start, or rotate the features. {trust}"
    return [Assumption("modes at the start", count, count >= limit or is_linear, text, limit, advice)]
