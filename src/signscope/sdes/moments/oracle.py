"""`expected`: loss, mean and variance of an optimizer without sampling, where a closed recursion exists."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from signscope._core.errors import Unsupported
from signscope._version import __version__
from signscope.curves import Curve
from signscope.integrate.ensemble import Ensemble
from signscope.integrate.run_arguments import RunArguments, run_arguments
from signscope.noise.special import normal_cdf
from signscope.problems.landscapes import Quadratic
from signscope.problems.oracle_noise import GaussianNoise, LawNoise
from signscope.sdes.moments.adaptive import Averaged, adaptive_moments
from signscope.sdes.moments.chain import chain_laws
from signscope.sdes.moments.closure import signsgd_moments
from signscope.sdes.moments.sgd import sgd_moments

WHO = "expected"
_FEW = 60  # steps of a descent during which V averages too few squares to be replaced by its mean
_HASTE = (
    f"The descent ends within {_FEW} steps of zero averages, when V is a mean of few squares; it is replaced by its "
    "mean, so that Var(X) is too wide on the way (twice and more) and the mean loss too high (up to 17% in our tests). "
    "Run the optimizer itself (signscope.simulation.descent.descend)."
)
METHODS = {
    "chain": "exact law on its lattice",
    "exact": "exact moments",
    "closure": "Gaussian closure",
    "mean V": "moments for the mean of V",
}


def expected(
    loss: Any,
    start: Any,
    *,
    optimizer: str,
    noise: Any,
    lr: float,
    num_steps: int | None = None,
    horizon: float | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
    eps: float = 1e-8,
    schedule: Callable[[Any], Any] | None = None,
    bias_correction: bool = True,
    times: Sequence[int] | None = None,
) -> Ensemble:
    """Mean loss, mean and variance of the optimizer itself, without sampling; arguments as in `signscope.sdes.solve`.

    SignSGD in one dimension, any loss and continuous noise, without decay and schedule: the exact law (chain). On a
    quadratic: SGD exactly under any noise with a variance; signSGD under Gaussian noise by a Gaussian closure;
    RMSprop(W) and Adam(W) with V replaced by its mean: the mean loss, and a variance without V's fluctuations. From
    zero averages (bias correction) V is a mean of few squares, which move with the gradient. Leaving that out makes the
    variance too wide, by twice and more while the gradient is not small against the noise, and the mean loss too high
    in a descent of few steps: from one standard deviation of the noise at lr = 0.05, 6% at step 20 and 14% at step 40;
    at lr = 0.01, 0.2% and 0.4%. Such a run is called inaccurate.

    Returns:
        An `Ensemble` whose curve has no error bars; ``provenance["method"]`` is one of `METHODS`.

    Raises:
        Unsupported: There is no such recursion; simulate instead.
        InvalidInput: An argument is out of range.

    Notes:
        O(dim^3) per step, O(num_steps^2) in all for the chain.
    """
    args = run_arguments(
        WHO, loss, start, optimizer=optimizer, noise=noise, lr=lr, num_steps=num_steps, horizon=horizon, betas=betas,
        weight_decay=weight_decay, eps=eps, schedule=schedule, num_paths=1, seed=0, times=times, observe=None,
        dtype=None, device=None,
    )  # fmt: skip
    if _is_chain(args):
        return _from_chain(args)
    cov = _covariance(args)
    quadratic = args.loss
    if not isinstance(quadratic, Quadratic):
        raise Unsupported(
            f"{WHO}: there is a recursion for quadratic losses, not for {type(args.loss).__name__}. Write a quadratic "
            "as signscope.problems.landscapes.Quadratic(hessian); run others with signscope.simulation.descent.descend."
        )
    if args.rule == "signsgd" and not args.noise.is_gaussian:
        raise Unsupported(f"{WHO}: in more than one dimension signSGD has a closure under Gaussian noise alone.")
    mean = args.start - quadratic.centre
    drag = args.weight_decay * quadratic.centre
    common = {"weight_decay": args.weight_decay, "drag": drag}
    if args.rule == "sgd":
        method, moments = "exact", sgd_moments(quadratic.matrix, cov, mean, _rates(args), **common)
    elif args.rule == "signsgd":
        method, moments = "closure", signsgd_moments(quadratic.matrix, cov, mean, _rates(args), **common)
    else:
        averages = args.betas if args.rule == "adam" else (0.0, args.betas[1])
        corrected = bias_correction and args.rule == "adam"
        setting = Averaged(averages, args.weight_decay, args.eps, corrected)
        method = "mean V"
        moments = adaptive_moments(quadratic.matrix, cov, mean, _rates(args), setting, drag=drag)
    found = _from_moments(args, quadratic, moments, METHODS[method])
    few = method == "mean V" and bias_correction and args.rule == "adam" and _scattered_after(found, quadratic) <= _FEW
    return replace(found, loss=found.loss.with_status("inaccurate", _HASTE), notes=(_HASTE,)) if few else found


def _scattered_after(found: Ensemble, loss: Quadratic) -> float:
    """Step from which the scatter of the runs is more than half of the mean loss, of the steps that were recorded."""
    away = found.mean - loss.centre
    still = 0.5 * ((away @ loss.matrix) * away).sum(1)
    late = (found.loss.value > 2 * still).nonzero()
    return float(found.time[late[0, 0]]) / found.loss.lr if len(late) else float("inf")


def _rates(args: RunArguments) -> Iterator[tuple[float, float]]:
    """(eta_k, factor on the noise std) of the steps that are needed, one more than are made."""
    for step in range(args.steps[-1] + 1):
        time = step * args.lr
        yield args.lr * (1.0 if args.factor is None else args.factor(time)), args.noise.factor(time)


def _covariance(args: RunArguments) -> Tensor:
    """Sigma of one unit of noise, (dim, dim)."""
    noise = args.noise
    if noise.depends_on_point:
        raise Unsupported(f"{WHO}: noise that depends on the position has no closed recursion.")
    if isinstance(noise, GaussianNoise):
        unit = noise.unit_covariance()
    else:
        assert isinstance(noise, LawNoise)
        if not noise.has_moment(2):
            raise Unsupported(f"{WHO}: noise without a second moment E Z^2 has no moments to follow.")
        unit = noise.scales.square() * noise.law.variance
    return torch.diag(unit) if unit.ndim == 1 else unit


def _from_moments(
    args: RunArguments, loss: Quadratic, moments: Iterator[tuple[Tensor, Tensor]], method: str
) -> Ensemble:
    wanted, matrix = set(args.steps), loss.matrix
    value: list[Tensor] = []
    means: list[Tensor] = []
    variances: list[Tensor] = []
    for step, (mean, spread) in enumerate(moments):
        if step in wanted:
            value.append(0.5 * (mean @ matrix @ mean + (matrix * spread).sum()))
            means.append(mean + loss.centre)
            variances.append(spread.diagonal().clone())
    return _ensemble(args, torch.stack(value), torch.stack(means), torch.stack(variances), method)


def _is_chain(args: RunArguments) -> bool:
    plain = args.rule == "signsgd" and args.loss.dim == 1 and not args.weight_decay and args.factor is None
    steady = args.noise.scale is None and not args.noise.depends_on_point
    return plain and steady and not (isinstance(args.noise, LawNoise) and args.noise.has_atoms)


def _from_chain(args: RunArguments) -> Ensemble:
    noise = args.noise

    def up(x: Tensor) -> Tensor:
        grad = args.loss.grad(x[:, None])
        if isinstance(noise, LawNoise):
            return noise.cdf(-grad, 0.0)[:, 0]
        return normal_cdf(-grad / noise.effective_std(x[:, None], 0.0))[:, 0]

    wanted = set(args.steps)
    rows: list[Tensor] = []
    laws = chain_laws(float(args.start[0]), up, lr=args.lr, num_steps=args.steps[-1])
    losses: Tensor | None = None
    for step, (x, p) in enumerate(laws):
        losses = args.loss.value(x[:, None]) if losses is None else losses
        if step in wanted:
            mean = (p * x).sum()
            rows.append(torch.stack([torch.where(p > 0, p * losses, 0.0).sum(), mean, (p * (x - mean).square()).sum()]))
    table = torch.stack(rows)
    return _ensemble(args, table[:, 0], table[:, 1:2], table[:, 2:], METHODS["chain"])


def _ensemble(args: RunArguments, value: Tensor, mean: Tensor, variance: Tensor, method: str) -> Ensemble:
    curve = Curve(
        time=args.lr * torch.tensor(args.steps, dtype=torch.float64), value=value, quantity="loss",
        time_unit="lr*steps", optimizer=args.optimizer, lr=args.lr, step_size=args.lr,
        provenance={"method": method, "version": __version__},
    )  # fmt: skip
    return Ensemble(loss=curve, mean=mean, variance=variance)
