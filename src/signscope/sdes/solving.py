"""`solve`: loss, mean and variance of an optimizer's SDE on any differentiable loss."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput, Unsupported
from signscope._core.progress import Meter, as_meter
from signscope._version import __version__
from signscope.integrate.brownian import Normals
from signscope.integrate.ensemble import Ensemble, Recording, gather
from signscope.integrate.equation import Equation, Step
from signscope.integrate.euler_maruyama import euler_step, heun_step
from signscope.integrate.run_arguments import RunArguments, run_arguments
from signscope.integrate.weak_second_order import platen_step, shared_noise_step, trapezoid_step
from signscope.sdes.adam import AdamEquation
from signscope.sdes.rmsprop import RmspropEquation
from signscope.sdes.setting import FORMS, Setting
from signscope.sdes.sgd import SgdEquation
from signscope.sdes.signsgd import SignSgdEquation
from signscope.sdes.validity import check_noise, check_step, notes_on

WHO = "solve"
SCHEMES: dict[str, Step] = {
    "euler": euler_step,
    "heun": heun_step,
    "trapezoid": trapezoid_step,
    "platen": platen_step,
}
_CORRELATED = ("coin", "root")
_TEMPORARIES = 14  # tensors of one state that a step holds at a time


def solve(
    loss: Any, start: Any, *, optimizer: str, noise: Any, lr: float, num_steps: int | None = None,
    horizon: float | None = None, betas: tuple[float, float] = (0.9, 0.999), weight_decay: float = 0.0,
    eps: float = 1e-8, schedule: Callable[[Any], Any] | None = None, form: str = "recommended", order: int = 1,
    v_noise: bool | None = None, bias_correction: bool = True, correlated: Literal["coin", "root"] | None = None,
    scheme: str = "euler", substeps: int = 8, noise_substeps: int | None = None, num_paths: int = 256, seed: int = 0,
    times: Sequence[int] | None = None, observe: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    dtype: torch.dtype | str | None = None, device: torch.device | str | None = None,
    progress: bool | Meter = False,
) -> Ensemble:  # fmt: skip
    r"""Many paths of the SDE of an optimizer; time is t = lr*steps.

    Args:
        loss: A torch function of one point (dim,), or a `signscope.problems.oracle.Loss`.
        start: First position, (dim,).
        optimizer: ``"sgd"``, ``"signsgd"``, ``"rmsprop"``, ``"adam"``; decoupled weight decay turns the last two into
            ``"rmspropw"`` and ``"adamw"``.
        noise: Of the gradient; see `signscope.problems.oracle_noise.as_gradient_noise`.
        lr: eta, what one update multiplies (torch.optim's lr).
        num_steps: Length of the run in steps of the optimizer.
        horizon: The same as a time, lr*steps; give one of the two.
        betas: Adam's averages; RMSprop uses the second.
        weight_decay: Decoupled decay theta, as torch's AdamW.
        eps: Added to the root of V.
        schedule: u(t), factor on lr at t = lr*steps: a function or a `signscope.schedules.Schedule`.
        form: ``"recommended"``, or for comparison ``"published"`` (the same for SGD and signSGD), ``"older"`` (RMSprop,
            Adam), ``"augmented"`` (Adam).
        order: 2 adds the correction of the drift that makes the equation a second-order model.
        v_noise: Whether V fluctuates; by default in the recommended form under Gaussian noise.
        bias_correction: As torch's Adam from zero averages; False starts from the averages' stationary means.
        correlated: Increments of signSGD under correlated noise, ``"coin"`` or ``"root"``; see
            `signscope.sdes.signsgd.SignSgdEquation`. The second is the default of Platen's scheme, the first of others.
        scheme: ``"euler"``, ``"heun"``, ``"trapezoid"`` or ``"platen"`` (weak order 2 at any size of the noise).
        substeps: Steps of the scheme per step of the optimizer: dt = lr / substeps. With one Euler step the SDE is the
            optimizer again, whatever the SDE.
        noise_substeps: Multiple of ``substeps`` at which the Brownian path is drawn: runs that share it follow the
            same path with different dt.
        num_paths: Independent paths.
        seed: Paths have their own streams of it, the same for any ``num_paths``.
        times: Increasing numbers of optimizer steps to record at; 101 equally spaced ones by default.
        observe: Further quantities by name, from positions (n, dim) to (n,).
        dtype: ``torch.float64`` (default) or ``torch.float32``.
        device: The CPU by default.
        progress: True draws a meter on a terminal; a `Meter` object is told the fraction done.

    Returns:
        An `Ensemble`. The loss curve is ``"inaccurate"`` where dt or lr lie outside the model, ``"diverged"`` where
        paths left the finite numbers; ``notes`` say where the numbers are not to be trusted.

    Raises:
        InvalidInput: An argument is out of range, the loss is random or not finite, the noise lacks a moment that the
            equation needs, or dt is above the stability limit.
        Unsupported: The combination is not worked out.

    Notes:
        Memory: 128 MiB for the paths in flight (further ones follow in groups) and num_times (2 dim + num_paths)
        numbers of results. Time: one gradient and about dim numbers drawn per path and substep, times the
        evaluations of the scheme: 1, 2, 3, 4; with "platen" 2 m + 4 where each of m Brownian motions moves several
        numbers (correlated noise, RMSprop, Adam). Order 2 holds for continuous schedules.
    """
    args = run_arguments(
        WHO, loss, start, optimizer=optimizer, noise=noise, lr=lr, num_steps=num_steps, horizon=horizon, betas=betas,
        weight_decay=weight_decay, eps=eps, schedule=schedule, num_paths=num_paths, seed=seed, times=times,
        observe=observe, dtype=dtype, device=device,
    )  # fmt: skip
    setting = _setting(args, form=form, order=order, v_noise=v_noise, bias_correction=bias_correction)
    step = SCHEMES[checks.one_of(WHO, "scheme", scheme, SCHEMES)]
    substeps = checks.integer(WHO, "substeps", substeps, minimum=1)
    coarsen = _coarsening(noise_substeps, substeps)
    outside = check_step(WHO, args.rule, setting, args.start, substeps=substeps)
    increments = checks.one_of(WHO, "correlated", correlated or ("root" if scheme == "platen" else "coin"), _CORRELATED)
    equation = equation_of(args.rule, setting, correlated=increments)
    if scheme == "platen" and not equation.is_diagonal:
        step = _shared(args.rule, increments)
    paths = _Paths(args, equation, step, substeps=substeps, coarsen=coarsen)
    options = {"form": form, "order": order, "v_noise": setting.v_noise, "scheme": scheme, "substeps": substeps}
    found = _run(args, paths, options, progress)
    return _judged(found, equation, [*outside, *notes_on(args.rule, setting, args.start)])


def _setting(args: RunArguments, *, form: str, order: int, v_noise: bool | None, bias_correction: bool) -> Setting:
    """The model, checked against optimizer and noise."""
    checks.one_of(WHO, "form", form, FORMS)
    if form == "augmented" and args.rule != "adam":
        raise InvalidInput(f"{WHO}: the augmented form belongs to Adam, not to {args.optimizer}.")
    if checks.integer(WHO, "order", order, minimum=1) > 2:
        raise InvalidInput(f"{WHO}: `order` must be 1 or 2, got {order}.")
    adaptive = args.rule in ("adam", "rmsprop")
    if not adaptive and (form == "older" or v_noise):
        what = "v_noise=True" if v_noise else "the older form"
        raise InvalidInput(f"{WHO}: {what} belongs to RMSprop and Adam, {args.optimizer} has no second moment V.")
    if v_noise is None:
        v_noise = adaptive and form == "recommended" and args.noise.is_gaussian
    setting = Setting(
        loss=args.loss, noise=args.noise, lr=args.lr, betas=args.betas, weight_decay=args.weight_decay, eps=args.eps,
        factor=args.factor, form=form, order=order, v_noise=v_noise, bias_correction=bias_correction,
    )  # fmt: skip
    check_noise(WHO, args.rule, setting, args.start)
    return setting


def equation_of(rule: str, setting: Setting, *, correlated: str = "coin") -> Any:
    """The SDE of ``rule`` (a name without its W)."""
    if rule == "sgd":
        return SgdEquation(setting)
    if rule == "signsgd":
        return SignSgdEquation(setting, correlated=correlated)
    return RmspropEquation(setting) if rule == "rmsprop" else AdamEquation(setting)


def _shared(rule: str, increments: str) -> Step:
    """Platen's scheme where a Brownian motion moves several numbers."""
    if rule == "signsgd" and increments == "coin":
        raise Unsupported(
            f"{WHO}: Platen's scheme needs a Brownian motion, which fair coins are not. Use correlated='root'."
        )
    return shared_noise_step


class _Paths:
    """Positions of consecutive paths after 0, 1, 2, ... steps of the optimizer."""

    def __init__(self, args: RunArguments, equation: Any, step: Step, *, substeps: int, coarsen: int) -> None:
        self.args, self.equation, self.step = args, equation, step
        self.substeps, self.coarsen = substeps, coarsen

    def __call__(self, paths: range) -> Iterator[Tensor]:
        args, equation, dt = self.args, self.equation, self.args.lr / self.substeps
        where = {"dtype": args.dtype, "device": args.device}
        normals = Normals(args.seed, "brownian", paths, width=equation.num_noises, coarsen=self.coarsen, **where)
        areas = Normals(args.seed, "areas", paths, width=equation.num_noises, **where)
        has_areas = self.step is shared_noise_step
        state = args.start.repeat(len(paths), 1)
        yield state
        done = 0
        whole = not hasattr(equation, "begin")
        if not whole and args.rule == "adam" and equation.setting.bias_correction:
            first = Normals(args.seed, "first", paths, width=equation.num_noises, **where).next()
            state, done = equation.first_step(state, first[:, : args.loss.dim]), 1
            yield state[0]
        elif not whole:
            state = equation.begin(state)
        while True:
            for part in range(self.substeps):
                drawn = torch.cat([normals.next(), areas.next()], 1) if has_areas else normals.next()
                state = self.step(equation, done * args.lr + part * dt, state, dt, drawn)
            done += 1
            yield state if whole else state[0]


def _run(args: RunArguments, paths: _Paths, options: Mapping[str, Any], progress: bool | Meter) -> Ensemble:
    equation: Equation = paths.equation
    about = {
        "optimizer": args.optimizer,
        "lr": args.lr,
        "step_size": args.lr,
        "provenance": {"method": "sde", "options": dict(options), "seed": args.seed, "version": __version__},
    }
    recording = Recording(steps=args.steps, lr=args.lr, observables=args.observables, about=about)
    parts = {"rmsprop": 2, "adam": 3}.get(args.rule, 1)
    meter = as_meter(progress, f"SDE of {args.optimizer}")
    try:
        return gather(
            paths, recording, num_paths=args.num_paths, dim=args.loss.dim, width=equation.num_noises,
            numbers_per_path=_TEMPORARIES * parts * args.loss.dim + equation.num_noises, meter=meter,
        )  # fmt: skip
    finally:
        meter.close()


def _judged(found: Ensemble, equation: Any, notes: list[str]) -> Ensemble:
    """The result with its notes; status ``"inaccurate"`` where the step or the rate lies outside the model."""
    second = getattr(equation, "second", None)
    floored = int(second.floored) if second is not None else 0
    if floored:
        notes = [*notes, f"V fell below a tenth of the noise variance {floored} times and was used at that floor."]
    loss, doubts = found.loss, [n for n in notes if "no SDE" in n or "stability limit" in n]
    if loss.status == "ok" and doubts:
        loss = loss.with_status("inaccurate", " ".join(doubts))
    return replace(found, loss=loss, notes=tuple(notes), floored=floored)


def _coarsening(noise_substeps: int | None, substeps: int) -> int:
    if noise_substeps is None:
        return 1
    fine = checks.integer(WHO, "noise_substeps", noise_substeps, minimum=1)
    if fine % substeps:
        raise InvalidInput(f"{WHO}: `noise_substeps` must be a multiple of `substeps` = {substeps}, got {fine}.")
    return fine // substeps
