"""Distributed sign methods with all workers in one process: the reference of the distributed optimizer."""

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.simulation.worker_arguments import WHO, check_setting, check_troubles
from signscope.simulation.worker_attacks import Adversary, Scene, legal
from signscope.simulation.worker_rules import FINITE_SUM, MOMENTUM, TWO_POINTS, Crowd, Setting

Gradient = Callable[[Tensor, int], Tensor]
"""Gradient of one worker at a point, for the batch of a number: the same number must give the same batch."""


@dataclass(frozen=True)
class WorkerRun:
    """Path of the common parameters.

    Attributes:
        path: Parameters at the start and after every ``record_every`` calls, shape (recorded, dim).
        steps: Calls behind every row of the path.
        moves: Moves made; fewer than calls when first batches were averaged.
    """

    path: Tensor
    steps: list[int]
    moves: int

    @property
    def final(self) -> Tensor:
        """The last parameters, shape (dim,)."""
        return self.path[-1]


@dataclass(frozen=True)
class _Run:
    """Arguments of a run that are not part of the method."""

    gradients: Sequence[Gradient]
    full_gradients: Sequence[Callable[[Tensor], Tensor]] | None
    lr: float | Callable[[int], float]
    weight_decay: float
    init_batches: int
    period: int
    delays: tuple[int, ...]
    flipped: frozenset[int]
    adversaries: Mapping[int, Adversary]

    def __post_init__(self) -> None:
        if not callable(self.lr):
            checks.non_negative(WHO, "lr", self.lr)
        checks.non_negative(WHO, "weight_decay", self.weight_decay)
        checks.integer(WHO, "init_batches", self.init_batches, minimum=1)
        checks.integer(WHO, "period", self.period, minimum=1)

    def rate(self, move: int) -> float:
        return self.lr(move) if callable(self.lr) else self.lr


def simulate_workers(
    gradients: Sequence[Gradient],
    start: Tensor,
    *,
    method: str,
    lr: float | Callable[[int], float],
    num_steps: int,
    beta: float = 0.1,
    momentum: float | None = None,
    init_batches: int = 1,
    radius: float = 1.0,
    ball: float | None = None,
    server: str = "sign",
    block_size: int = 256,
    tie: str = "parity",
    seed: int = 0,
    weight_decay: float = 0.0,
    weights: Sequence[float] | None = None,
    full_gradients: Sequence[Callable[[Tensor], Tensor]] | None = None,
    period: int = 1,
    buckets: Sequence[int] | None = None,
    delays: Sequence[int] | None = None,
    flipped: Collection[int] = (),
    adversaries: Mapping[int, Adversary] | None = None,
    max_scale: float | None = None,
    record_every: int = 1,
) -> WorkerRun:
    """Path of a distributed sign method, bit for bit that of `DistributedSign` at equal thread counts.

    Args:
        gradients: One function per worker.
        start: First parameters, shape (dim,); its precision is that of the run.
        method: Name, as for `DistributedSign`.
        lr: Learning rate, or a function of the move.
        num_steps: Calls; every one uses the batch of its number.
        beta: As for `DistributedSign`, like all that is not listed here.
        momentum: Weight of the past in local averages.
        init_batches: Batches averaged before the first move.
        radius: R of random signs without a scale.
        ball: Euclidean radius of the estimates of ssvr-mv.
        server: "sign" or "random", for ssvr-mv.
        block_size: Coordinates that share a scale.
        tie: "parity", "random" or "ternary".
        seed: Seed of the private streams.
        weight_decay: Decoupled weight decay.
        weights: Weights of the workers (dvr and ef-sign), with sum 1; equal by default.
        full_gradients: One function per worker, for the finite-sum versions.
        period: Moves between two full gradients.
        buckets: Coordinates per flat buffer of the distributed run; one buffer by default.
        delays: Moves by which the messages of each worker come late (asynchronous votes). A vote that has not come
            yet is the worker's first; a late dvr or ef-sign message is missing at first.
        flipped: Workers that send the opposite of every sign.
        adversaries: Workers that send what a function of everything makes of it; see `worker_attacks`.
        max_scale: Largest scale of a message that is believed; larger ones are clipped.
        record_every: Calls between two recorded points.

    Raises:
        InvalidInput: An argument is wrong.
    """
    n, start = len(gradients), start.detach().clone()
    if n < 1 or start.ndim != 1:
        raise InvalidInput(f"{WHO}: needs at least one gradient and a flat start, got {n} and {tuple(start.shape)}.")
    dims = tuple(buckets) if buckets is not None else (len(start),)
    late = tuple(delays) if delays is not None else (0,) * n
    if sum(dims) != len(start) or len(late) != n:
        raise InvalidInput(f"{WHO}: `buckets` must add up to {len(start)}; `delays` needs {n} entries.")
    past = MOMENTUM.get(method, 0.0) if momentum is None else momentum
    shares = tuple(weights) if weights is not None else (1 / n,) * n
    setting = Setting(method, n, dims, beta, past, radius, ball, server, block_size, tie, seed, shares, max_scale)
    check_setting(setting)
    checks.integer(WHO, "num_steps", num_steps, minimum=0)
    checks.integer(WHO, "record_every", record_every, minimum=1)
    liars, has_full = adversaries or {}, full_gradients is not None
    check_troubles(setting, has_full=has_full, delays=late, flipped=flipped, adversaries=liars)
    run = _Run(gradients, full_gradients, lr, weight_decay, init_batches, period, late, frozenset(flipped), liars)
    return _walk(setting, run, start, num_steps, record_every)


def _walk(setting: Setting, run: _Run, theta: Tensor, num_steps: int, every: int) -> WorkerRun:
    crowd = Crowd(setting, setting.places, [{} for _ in run.gradients])
    posts = [deque[Tensor](maxlen=delay + 1) for delay in run.delays]
    path, steps, moves, waiting = [theta], [0], 0, run.init_batches
    previous: Tensor | None = None
    for call in range(num_steps):
        rate = run.rate(moves)
        two, finite_sum = setting.method in TWO_POINTS, setting.method in FINITE_SUM
        if finite_sum and moves % run.period == 0:
            assert run.full_gradients is not None
            crowd.z = _weighted(crowd, [crowd.pad(full(theta)) for full in run.full_gradients])
            direction: Tensor | None = crowd.from_z(moves)
        elif two and waiting and not finite_sum:
            waiting -= 1
            _collect(crowd, run, theta, call)
            direction = None if waiting else _first(crowd, run, posts, theta, moves, rate)
        else:
            direction = _round(crowd, run, posts, theta, previous if two else None, (call, moves), rate)
        if direction is not None:
            step = direction[crowd.places] * (1.0 if setting.method == "ef-sign" else rate)
            kept = theta * (1 - rate * run.weight_decay) if run.weight_decay else theta
            previous, theta, moves = theta, kept - step, moves + 1
        if (call + 1) % every == 0 or call + 1 == num_steps:
            path.append(theta)
            steps.append(call + 1)
    return WorkerRun(torch.stack(path), steps, moves)


def _weighted(crowd: Crowd, rows: list[Tensor]) -> Tensor:
    mean = torch.zeros_like(rows[0])
    for row, weight in zip(rows, crowd.setting.weights, strict=True):
        mean = mean + row * weight
    return mean


def _collect(crowd: Crowd, run: _Run, theta: Tensor, call: int) -> None:
    """A share of the mean of the first gradients."""
    for own, gradient in zip(crowd.averages, run.gradients, strict=True):
        part = crowd.pad(gradient(theta, call)) * (1 / run.init_batches)
        own["v"] = own["v"] + part if "v" in own else part


def _first(crowd: Crowd, run: _Run, posts: list[deque[Tensor]], theta: Tensor, move: int, rate: float) -> Tensor:
    """The first move of the two-gradient methods."""
    if crowd.setting.method == "ssvr-mv":
        messages = [crowd.message(j, move, own["v"], None, lr=rate) for j, own in enumerate(crowd.averages)]
        return crowd.answer(move, _post(crowd, run, posts, _spoken(crowd, run, theta, move, messages)))
    crowd.z = _weighted(crowd, [own["v"] for own in crowd.averages])
    return crowd.from_z(move)


def _round(
    crowd: Crowd,
    run: _Run,
    posts: list[deque[Tensor]],
    theta: Tensor,
    previous: Tensor | None,
    now: tuple[int, int],
    rate: float,
) -> Tensor:
    call, move = now
    messages = []
    for worker, gradient in enumerate(run.gradients):
        before = None if previous is None else crowd.pad(gradient(previous, call))
        grad = crowd.pad(gradient(theta, call))
        if crowd.setting.sends_nothing:
            assert before is not None
            return crowd.alone(move, grad, before)
        messages.append(crowd.message(worker, move, grad, before, lr=rate))
    return crowd.answer(move, _post(crowd, run, posts, _spoken(crowd, run, theta, move, messages)))


def _spoken(crowd: Crowd, run: _Run, theta: Tensor, move: int, messages: list[Tensor]) -> list[Tensor]:
    """The messages after the adversaries have heard the others."""
    if not run.adversaries:
        return messages
    liars = run.adversaries.keys()
    honest = [message for worker, message in enumerate(messages) if worker not in liars]
    spoken = list(messages)
    for worker, adversary in run.adversaries.items():
        own = messages[worker]
        spoken[worker] = legal(crowd, worker, adversary(Scene(worker, move, theta, own, honest, len(liars))), own)
    return spoken


def _post(crowd: Crowd, run: _Run, posts: list[deque[Tensor]], messages: list[Tensor]) -> list[Tensor]:
    """What has arrived: late messages come in the order they were sent, some with the wrong sign."""
    arrived = []
    for worker, (post, message) in enumerate(zip(posts, messages, strict=True)):
        post.append(-message if worker in run.flipped else message)
        is_here = len(post) == post.maxlen or not (crowd.setting.method.startswith("dvr") or "e" in crowd.averages[0])
        arrived.append(post[0] if is_here else torch.zeros_like(message))
    return arrived
