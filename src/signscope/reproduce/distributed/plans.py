"""Parameters and bounds of distributed methods from theory, nothing tuned."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from signscope._core.equations import equation


@dataclass(frozen=True)
class Terms:
    """Constants of a problem that n workers share.

    Attributes:
        dim: Coordinates d of one copy of the problem, which share one scale: a = d.
        num_workers: n.
        initial_gap: Delta.
        curvature: L_2 (of one coordinate: the problems are separable).
        largest: G, the largest entry of any stochastic gradient.
        noise: Standard deviation of a coordinate of one worker's gradient.
        second_moment: H^2, bound of E |g_j|_2^2.
        period: Components m of a finite sum, and steps between full gradients.
    """

    dim: int
    num_workers: int
    initial_gap: float
    curvature: float
    largest: float
    noise: float
    second_moment: float
    period: int = 1


@dataclass(frozen=True)
class Choice:
    """What theory says about one run.

    Attributes:
        options: Of `simulate_workers`.
        bound: Upper bound of the mean gradient norm along the run; NaN where there is none for workers that differ.
        norm: Norm of the bound, "l1" or "l2".
    """

    options: dict[str, Any]
    bound: float = math.nan
    norm: str = "l1"


def vote(terms: Terms, num_steps: int) -> Choice:
    """Rate of the descent lemma in the l-infinity norm; no guarantee for workers that differ."""
    return Choice({"lr": _descent_lr(terms, num_steps)})


def signum(terms: Terms, num_steps: int) -> Choice:
    """Signum's parameters for one worker, as every worker would choose them."""
    smooth = terms.dim * terms.curvature
    weight = min(1.0, math.sqrt(2 * smooth * terms.initial_gap / num_steps) / (terms.dim * terms.noise))
    lr = math.sqrt(weight * terms.initial_gap / (2 * smooth * num_steps))
    return Choice({"lr": lr, "momentum": 1 - weight})


def random_vote(terms: Terms, num_steps: int) -> Choice:
    """Random signs with the smallest radius that never clips."""
    return Choice({"lr": _descent_lr(terms, num_steps), "radius": terms.largest})


@equation("jiang2024", "SSVR-MV with random server, rate in the l2 norm")
def ssvr_mv(terms: Terms, num_steps: int) -> Choice:
    r"""Step length and bound of SSVR-MV with a random server (option 2) for exact estimates.

    $$ \tfrac1T \sum_t E \lVert \nabla f \rVert_2^2 \le R \Bigl(\tfrac{\Delta}{\eta T} + \tfrac{L_2 \eta d}{2}\Bigr) $$

    beta is 1/2 as published. Additive noise cancels in the differences, so the estimates stay within the radius G,
    smaller than the (2/beta - 1) G that is needed in general.

    Args:
        terms: Constants.
        num_steps: T.
    """
    lr = _descent_lr(terms, num_steps)
    square = terms.largest * (terms.initial_gap / (lr * num_steps) + terms.curvature * lr * terms.dim / 2)
    return Choice({"lr": lr, "radius": terms.largest, "beta": 0.5}, math.sqrt(square), "l2")


@equation("dvr", "DVR-Sign, parameters and rate")
def dvr_sign(terms: Terms, num_steps: int) -> Choice:
    r"""Parameters of DVR-Sign with u = 1 / (K^{1/2} + c^{1/3} K^{2/3}), c = d/n, and its bound in the l1 norm.

    $$ \beta = u, \quad \eta = \frac{H u}{L \sqrt d}, \quad B_0 = \lceil 1 / (u^2 K) \rceil, \qquad
    \tfrac1K \sum_t E \lVert \nabla f \rVert_1 \le \sqrt d \Bigl[\bigl(\tfrac{L \Delta}{H} + \tfrac H2\bigr) K^{-1/2}
    + \bigl(\tfrac{L \Delta}{H} + 2 \sqrt 5 H\bigr) (c/K)^{1/3}\Bigr] $$

    Args:
        terms: Constants.
        num_steps: K.
    """
    share, size = terms.dim / terms.num_workers, math.sqrt(terms.second_moment)
    u = 1 / (math.sqrt(num_steps) + share ** (1 / 3) * num_steps ** (2 / 3))
    gap = terms.curvature * terms.initial_gap / size
    slow = (gap + size / 2) / math.sqrt(num_steps)
    bound = math.sqrt(terms.dim) * (slow + (gap + 2 * math.sqrt(5) * size) * (share / num_steps) ** (1 / 3))
    options = {
        "lr": size * u / (terms.curvature * math.sqrt(terms.dim)),
        "beta": u,
        "init_batches": math.ceil(1 / (u * u * num_steps)),
    }
    return Choice(options, bound)


@equation("dvr", "DVR-Q, parameters and rate")
def dvr_q(terms: Terms, num_steps: int) -> Choice:
    r"""Parameters of DVR-Q with r = (K/n^2)^{1/3}, a = d, and its bound in the l2 norm.

    $$ \eta = \frac{1}{2 L a (1 + r)}, \quad \beta = \frac{1}{n (1 + r)^2}, \quad B_0 = \lceil 1 + r \rceil, \qquad
    E \lVert \nabla f \rVert_2 \le \sqrt{4 L \Delta + H^2} \sqrt{a/K}
    + \sqrt{4 L \Delta + 3 H^2} \sqrt a \, (n K)^{-1/3} $$

    Args:
        terms: Constants.
        num_steps: K.
    """
    n, a = terms.num_workers, float(terms.dim)
    r = (num_steps / n**2) ** (1 / 3)
    gap, square = 4 * terms.curvature * terms.initial_gap, terms.second_moment
    bound = math.sqrt((gap + square) * a / num_steps) + math.sqrt((gap + 3 * square) * a) / (n * num_steps) ** (1 / 3)
    options = {
        "lr": 1 / (2 * terms.curvature * a * (1 + r)),
        "beta": 1 / (n * (1 + r) ** 2),
        "init_batches": math.ceil(1 + r),
    }
    return Choice(options, bound, "l2")


@equation("dvr", "DVR-Sign-FS, rate")
def dvr_sign_fs(terms: Terms, num_steps: int) -> Choice:
    r"""Step length of DVR-Sign-FS and its bound in the l1 norm.

    $$ J = \tfrac d2 + 2 d \sqrt{a (q-1)/n}, \quad \eta = \sqrt{\Delta / (L J K)}, \qquad
    \tfrac1K \sum_t E \lVert \nabla f \rVert_1 \le \frac{\Delta}{\eta K} + L \eta J $$

    Args:
        terms: Constants; q is ``period``.
        num_steps: K.
    """
    d = terms.dim
    spread = d / 2 + 2 * d * math.sqrt(d * (terms.period - 1) / terms.num_workers)
    lr = math.sqrt(terms.initial_gap / (terms.curvature * spread * num_steps))
    bound = terms.initial_gap / (lr * num_steps) + terms.curvature * lr * spread
    return Choice({"lr": lr, "period": terms.period}, bound)


@equation("dvr", "DVR-Q-FS, rate")
def dvr_q_fs(terms: Terms, num_steps: int) -> Choice:
    r"""Step length of DVR-Q-FS and its bound in the l2 norm.

    $$ J = a \bigl(1 + \sqrt{(q-1)/n}\bigr), \quad \eta = \frac{1}{2 L J}, \qquad
    E \lVert \nabla f \rVert_2 \le 2 \sqrt{L \Delta J / K} $$

    Args:
        terms: Constants; q is ``period``.
        num_steps: K.
    """
    spread = terms.dim * (1 + math.sqrt((terms.period - 1) / terms.num_workers))
    bound = 2 * math.sqrt(terms.curvature * terms.initial_gap * spread / num_steps)
    return Choice({"lr": 1 / (2 * terms.curvature * spread), "period": terms.period}, bound, "l2")


def error_feedback(terms: Terms, num_steps: int) -> Choice:
    """SGD's rate for the mean gradient, at most 1/(2 L): error feedback follows the path of SGD."""
    spread = terms.dim * terms.noise**2 / terms.num_workers
    lr = math.sqrt(2 * terms.initial_gap / (terms.curvature * spread * num_steps))
    return Choice({"lr": min(lr, 1 / (2 * terms.curvature))})


def _descent_lr(terms: Terms, num_steps: int) -> float:
    return math.sqrt(2 * terms.initial_gap / (terms.dim * terms.curvature * num_steps))


Planner = Callable[[Terms, int], Choice]
