"""Exponential collocation for modes that share two scalars: stiff decay costs nothing, order is high.

Solves, for many lanes at once (learning rates, problems, schedules),

    dr_j/dt = -alpha lambda_j r_j + sum_s b_s g_sj,    R = sum_j r_j,    alpha, b functions of (t, R, w),

with an optional memory dw/dt = rho / (1 - exp(-rho t)) (target(R) - w). The unknowns are scalars: alpha is a quartic
in t and b/alpha a quartic in the decay sigma = int alpha dt through the five Gauss-Lobatto nodes of a step, and each
mode is then integrated exactly. Sweeps repeat until R at the nodes stands still; the defect of the two quartics
between two nodes controls its length. Every lane has its own clock.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from signscope.integrate.collocation import NUM_NODES, ModeSystem, Step, Stepper
from signscope.integrate.trial import LaneState, Trial

_MAX_STEPS = 20_000
_CHUNK = 400_000  # numbers held at once while the curve is read off inside a step: they stay in cache


@dataclass(frozen=True)
class Solution:
    """Risk at the requested times.

    Attributes:
        risk: Shape (lanes, num_times); ``inf`` from where a lane left the finite range, NaN from where it ran out
            of steps (20,000, shared by all lanes).
        finished: Shape (lanes,): whether the lane reached the horizon.
        evaluations: Coefficient evaluations per lane, shape (lanes,).
        steps: Accepted steps of lane 0 when asked for, else empty.
    """

    risk: Tensor
    finished: Tensor
    evaluations: Tensor
    steps: tuple[Step, ...] = ()


def solve(
    system: ModeSystem,
    times: Tensor,
    *,
    rtol: float = 1e-6,
    keep_steps: bool = False,
    max_risk: float = 1e100,
) -> Solution:
    """Integrate every lane from 0 to the last time, to relative tolerance ``rtol`` in R.

    Args:
        system: The equations.
        times: Increasing times, shape (num_times,), the first at least 0.
        rtol: Relative tolerance of R per unit of log-time, the error of a step against R.
        keep_steps: Keep the steps of lane 0, to continue other statistics through them.
        max_risk: A lane whose risk passes this is stopped and reads ``inf`` from there on.

    Returns:
        The risks at ``times`` with counts and flags.

    Notes:
        Cost per step and lane about 12 evaluations, each O(modes). Gradients flow through the node values;
        step lengths are treated as constants.
    """
    horizon = float(times[-1])
    stepper = Stepper(system, horizon)
    run = _Run(system, stepper, times, rtol, keep_steps, max_risk)
    for _ in range(_MAX_STEPS):
        if not run.advance():
            break
    return run.solution()


class _Run:
    """The state of all lanes during one solve."""

    def __init__(
        self,
        system: ModeSystem,
        stepper: Stepper,
        times: Tensor,
        rtol: float,
        keep_steps: bool,
        max_risk: float,
    ) -> None:
        lanes = system.num_lanes
        like = {"dtype": system.start.dtype, "device": system.start.device}
        self.system, self.stepper, self.rtol, self.max_risk = system, stepper, rtol, max_risk
        self.times = times.to(**like)
        self.horizon = float(times[-1])
        stops = sorted({b for b in system.breakpoints if 0 < b < self.horizon} | {self.horizon})
        self.stops = torch.tensor(stops, **like)
        modes = system.start.expand(lanes, system.start.shape[-1])
        risk = modes.sum(-1)
        memory = None if system.memory_target is None else stepper.target(risk)
        past, past_length = torch.zeros(lanes, NUM_NODES, **like), torch.ones(lanes, **like)
        self.state = LaneState(modes, risk, memory, past, past_length, torch.zeros(lanes, dtype=torch.long))
        self.time = torch.zeros(lanes, **like)
        self.next_time = torch.zeros(lanes, dtype=torch.long, device=like["device"])
        self.alive = torch.ones(lanes, dtype=torch.bool, device=like["device"])
        self.pieces: list[tuple[Tensor, Tensor, Tensor]] = []
        self.keep_steps, self.steps = keep_steps, []
        self.length = self._first_length()
        self._record_start()

    def _first_length(self) -> Tensor:
        lanes = torch.arange(self.system.num_lanes)
        memory = None if self.state.memory is None else self.state.memory[:, None]
        alpha, ratio = self.stepper.coefficients(self.time[:, None], self.state.risk[:, None], memory, lanes)
        alpha, ratio = alpha.detach(), ratio.detach()
        eigvals = self.stepper.eigvals.detach()
        change = alpha * (
            -eigvals * self.state.modes.detach() + (ratio.transpose(1, 2) * self.stepper.sources.detach()).sum(1)
        )
        slope = change.sum(-1) / (self.state.risk.detach() + self.stepper.risk_floor)
        speed = slope.abs()
        self.state.past = slope[:, None] * (self.stepper.nodes - 1)
        return (0.1 / speed.clamp(min=1e-290)).clamp(max=self.horizon * 0.1)

    def _record_start(self) -> None:
        count = int((self.times <= 0).sum())
        if count:
            lanes = torch.arange(self.system.num_lanes).repeat_interleave(count)
            slots = torch.arange(count).repeat(self.system.num_lanes)
            self.pieces.append((lanes, slots, self.state.risk.repeat_interleave(count)))
            self.next_time += count

    def advance(self) -> bool:
        """Try one step on every lane that is not done; False when all are."""
        lanes = torch.nonzero(self.alive & (self.time < self.horizon)).squeeze(-1)
        if not len(lanes):
            return False
        time = self.time[lanes]
        stop = self.stops[torch.bucketize(time * (1 + 1e-14), self.stops, right=True).clamp(max=len(self.stops) - 1)]
        length = torch.minimum(self.length[lanes], stop - time)
        reaches = length >= (stop - time) * (1 - 1e-12)
        trial = Trial(self.stepper, self.state, lanes, time, length)
        error = trial.run(self.rtol)
        ratio = (error / self.rtol).clamp(min=1e-12)
        ok = ratio <= 1
        factor = (0.8 * ratio ** (-1 / 6)).clamp(0.2, 4.0)
        grown = torch.where(reaches & ok, torch.maximum(self.length[lanes], factor * length), factor * length)
        self.length = self.length.index_put((lanes,), grown)
        self._accept(trial, ok, torch.where(reaches, stop, time + length))
        return True

    def _accept(self, trial: Trial, ok: Tensor, end: Tensor) -> None:
        if not bool(ok.any()):
            return
        lanes = trial.lanes[ok]
        self._read_off(trial, ok, end)
        if self.keep_steps and bool((lanes == 0).any()):
            self.steps.append(trial.step_of_lane_zero())
        self.state.modes = self.state.modes.index_put((lanes,), trial.end_modes()[ok])
        risk = trial.risk[ok, -1]
        self.state.past[lanes] = torch.log(trial.risk[ok].detach().clamp(min=1e-290))
        self.state.past_length[lanes] = trial.length[ok]
        self.state.risk = self.state.risk.index_put((lanes,), risk)
        if self.state.memory is not None and trial.memory is not None:
            self.state.memory = self.state.memory.index_put((lanes,), trial.memory[ok, -1])
        self.time = self.time.index_put((lanes,), end[ok])
        lost = ~torch.isfinite(risk.detach()) | (risk.detach() > self.max_risk)
        self.alive[lanes[lost]] = False

    def _read_off(self, trial: Trial, ok: Tensor, end: Tensor) -> None:
        """Risk at the requested times inside the accepted steps, by the same exact relaxation."""
        rows = torch.nonzero(ok).squeeze(-1)
        lanes = trial.lanes[rows]
        upto = torch.searchsorted(self.times, end[rows].contiguous(), right=True)
        upto = torch.where(end[rows] >= self.horizon, len(self.times), upto)
        counts = upto - self.next_time[lanes]
        pair_row = rows.repeat_interleave(counts)
        offset = torch.arange(int(counts.sum())) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        slots = self.next_time[lanes].repeat_interleave(counts) + offset
        self.next_time[lanes] = upto
        width = max(1, _CHUNK // (4 * self.state.modes.shape[-1]))
        for first in range(0, len(slots), width):
            part = slice(first, first + width)
            self.pieces.append(
                (
                    trial.lanes[pair_row[part]],
                    slots[part],
                    trial.risk_inside(pair_row[part], self.times[slots[part]]),
                )
            )

    def solution(self) -> Solution:
        """Put the pieces together."""
        shape = (self.system.num_lanes, len(self.times))
        risk = torch.full(shape, torch.inf, dtype=self.state.modes.dtype, device=self.state.modes.device)
        if self.pieces:
            lanes, slots, values = (torch.cat(p) for p in zip(*self.pieces, strict=True))
            risk = risk.index_put((lanes, slots), values)
        unfinished = self.alive & (self.time < self.horizon)
        unreached = torch.arange(len(self.times), device=risk.device) >= self.next_time[:, None]
        risk = risk.masked_fill(unfinished[:, None] & unreached, torch.nan)
        return Solution(risk, self.alive & (self.time >= self.horizon), self.state.evaluations, tuple(self.steps))
