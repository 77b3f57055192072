"""`descend`: the optimizers themselves on any differentiable loss with a given gradient noise, many paths at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from signscope import rules
from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.progress import Meter, as_meter
from signscope._version import __version__
from signscope.integrate.brownian import Normals
from signscope.integrate.ensemble import Ensemble, Recording, gather
from signscope.integrate.run_arguments import RunArguments, run_arguments

WHO = "descend"
_NEVER = 10**9  # a step number at which Adam's bias corrections are 1
_TEMPORARIES = 14  # vectors that a path holds during a step


def descend(
    loss: Any, start: Any, *, optimizer: str, noise: Any, lr: float, num_steps: int | None = None,
    horizon: float | None = None, betas: tuple[float, float] = (0.9, 0.999), weight_decay: float = 0.0,
    eps: float = 1e-8, schedule: Callable[[Any], Any] | None = None, bias_correction: bool = True,
    brownian_substeps: int | None = None, num_paths: int = 256, seed: int = 0, times: Sequence[int] | None = None,
    observe: Mapping[str, Callable[[Tensor], Tensor]] | None = None, dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None, progress: bool | Meter = False,
) -> Ensemble:  # fmt: skip
    r"""Many runs of an optimizer with gradients grad f(x) + Z; arguments as in `signscope.sdes.solve`.

    $$ x \leftarrow x - \eta_k\,(d(g) + \theta x), \qquad \eta_k = \eta\,u(k\eta) $$

    with d(g) = g (SGD), sign(g), g / (sqrt(v) + eps) (RMSprop, new v) or Adam's bias-corrected direction, as torch has
    them. RMSprop starts from v = (grad f)^2 + diag Sigma: with torch's v = 0 its first step is eta / sqrt(1 - beta2).

    Args:
        loss: A torch function of one point (dim,), or a `signscope.problems.oracle.Loss`.
        start: First position, (dim,).
        optimizer: ``"sgd"``, ``"signsgd"``, ``"rmsprop"``, ``"adam"``, ``"rmspropw"``, ``"adamw"``.
        noise: Law of Z; any, also without moments.
        lr: eta, torch's lr.
        num_steps: Updates per run, or
        horizon: their number times lr.
        betas: Adam's averages; RMSprop uses the second.
        weight_decay: Decoupled decay theta.
        eps: Added to the root of v.
        schedule: u(t), factor on lr.
        bias_correction: As torch's Adam; False starts from m = grad f, v = (grad f)^2 + diag Sigma.
        brownian_substeps: Take the noise of step k from the increments of the SDE with as many ``noise_substeps`` (or
            ``substeps``), Z_k = Sigma^(1/2) dW_k / sqrt(lr), so that both follow the same Brownian path. Gaussian noise
            of an SDE that draws dim numbers per step (not Adam's or RMSprop's with V noise).
        num_paths: Independent runs.
        seed: Paths have their own streams of it.
        times: Increasing numbers of steps to record at; 101 equally spaced ones by default.
        observe: Further quantities by name, from positions (n, dim) to (n,).
        dtype: ``torch.float64`` (default) or ``torch.float32``.
        device: The CPU by default.
        progress: True draws a meter on a terminal; a `Meter` object is told the fraction done.

    Returns:
        An `Ensemble`. Under noise without variance the mean loss of SGD does not exist: read the band.

    Raises:
        InvalidInput: An argument is out of range, or the loss is random or not finite.

    Notes:
        Memory as in `signscope.sdes.solve`. Numbers come from streams of their own, not from those of the SDE.
    """
    args = run_arguments(
        WHO, loss, start, optimizer=optimizer, noise=noise, lr=lr, num_steps=num_steps, horizon=horizon, betas=betas,
        weight_decay=weight_decay, eps=eps, schedule=schedule, num_paths=num_paths, seed=seed, times=times,
        observe=observe, dtype=dtype, device=device,
    )  # fmt: skip
    coarsen = (
        None if brownian_substeps is None else checks.integer(WHO, "brownian_substeps", brownian_substeps, minimum=1)
    )
    if coarsen is not None and not args.noise.is_gaussian:
        raise InvalidInput(f"{WHO}: `brownian_substeps` needs Gaussian noise.")
    warm = args.rule == "rmsprop" or (args.rule == "adam" and not bias_correction)
    if warm and not args.noise.has_moment(2):
        raise InvalidInput(f"{WHO}: starting from the stationary v needs a finite second moment E Z^2 of the noise.")
    runs = _Runs(args, warm=warm, coarsen=coarsen)
    about = {
        "optimizer": args.optimizer,
        "lr": args.lr,
        "step_size": args.lr,
        "provenance": {"method": "simulation", "seed": args.seed, "version": __version__},
    }
    recording = Recording(steps=args.steps, lr=args.lr, observables=args.observables, about=about)
    meter = as_meter(progress, f"runs of {args.optimizer}")
    try:
        return gather(
            runs, recording, num_paths=args.num_paths, dim=args.loss.dim, width=args.loss.dim,
            numbers_per_path=_TEMPORARIES * args.loss.dim, meter=meter,
        )  # fmt: skip
    finally:
        meter.close()


class _Runs:
    """Positions of consecutive runs after 0, 1, 2, ... updates."""

    def __init__(self, args: RunArguments, *, warm: bool, coarsen: int | None) -> None:
        self.args, self.warm, self.coarsen = args, warm, coarsen

    def __call__(self, paths: range) -> Iterator[Tensor]:
        args = self.args
        x = args.start.repeat(len(paths), 1)
        memory = self._memory(x)
        raw = self._raw(paths)
        step = 0
        while True:
            yield x
            time = step * args.lr
            grad = args.loss.grad(x) + args.noise.shaped(raw.next(), x, time)
            direction, memory = self._direction(grad, memory, step + 1)
            size = args.lr * (1.0 if args.factor is None else args.factor(time))
            shrunk = x * (1 - size * args.weight_decay) if args.weight_decay else x
            x = torch.add(shrunk, direction, alpha=-size)
            step += 1

    def _raw(self, paths: range) -> Normals:
        args = self.args
        law = None if args.noise.is_gaussian else lambda rng, size: _drawn(args, rng, size)
        name = "gradient" if self.coarsen is None else "brownian"
        where = {"dtype": args.dtype, "device": args.device, "width": args.loss.dim}
        return Normals(args.seed, name, paths, coarsen=self.coarsen or 1, law=law, **where)

    def _memory(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if not self.warm:
            return torch.zeros_like(x), torch.zeros_like(x)
        grad = self.args.loss.grad(x)
        return grad, grad.square() + self.args.noise.variance(x, 0.0)

    def _direction(
        self, grad: Tensor, memory: tuple[Tensor, Tensor], step: int
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        args = self.args
        if args.rule == "sgd":
            return rules.sgd(grad), memory
        if args.rule == "signsgd":
            return rules.signsgd(grad), memory
        betas = (
            (0.0, args.betas[1]) if args.rule == "rmsprop" else args.betas
        )  # RMSprop is Adam without a first average
        number = _NEVER if self.warm else step
        direction, first, second = rules.adam(grad, *memory, number, betas=betas, eps=args.eps)
        return direction, (first, second)


def _drawn(args: RunArguments, rng: Any, size: tuple[int, ...]) -> Any:
    """Raw numbers of a law; Gaussian noise never asks."""
    found = args.noise.draw(rng, size)
    assert found is not None
    return found
