"""One attempted step: sweep the node values to a standstill, estimate the error, read the curve off inside."""

from dataclasses import dataclass

import torch
from torch import Tensor

from signscope.integrate.collocation import NUM_NODES, PROBE, Step, Stepper

_MAX_SWEEPS = 8
_GRADIENT_SWEEPS = 6  # more of them where gradients are wanted: derivatives settle later than values


@dataclass
class LaneState:
    """Where every lane stands.

    Attributes:
        modes: r_j, shape (lanes, modes).
        risk: Their sum, shape (lanes,).
        memory: w, shape (lanes,), or None.
        past: log R at the nodes of the last step, shape (lanes, 5); extrapolated, they start the next sweeps.
        past_length: Length of the last step, shape (lanes,).
        evaluations: Coefficient evaluations so far, shape (lanes,).
    """

    modes: Tensor
    risk: Tensor
    memory: Tensor | None
    past: Tensor
    past_length: Tensor
    evaluations: Tensor


class Trial:
    """One attempted step on the lanes ``lanes``."""

    def __init__(self, stepper: Stepper, state: LaneState, lanes: Tensor, time: Tensor, length: Tensor) -> None:
        self.stepper, self.state = stepper, state
        self.lanes, self.time, self.length = lanes, time, length
        self.start_modes, self.start_risk = state.modes[lanes], state.risk[lanes]
        self.start_memory = None if state.memory is None else state.memory[lanes]
        # The last node lies just before the end: a step that ends on a break-point must not see what comes after it.
        self.node_times = (time[:, None] + length[:, None] * self.stepper.nodes) * self.stepper.before
        self.memory: Tensor | None = None

    def run(self, rtol: float) -> Tensor:
        """Sweep until R at the nodes stands still; returns the estimated relative error, shape (m,)."""
        at = self.stepper.nodes.expand(len(self.lanes), NUM_NODES)
        start = self.start_risk[:, None].clamp(min=self.stepper.smallest_risk)
        self.risk = start * torch.exp(self._expected_growth())
        moved = torch.full_like(self.start_risk, torch.inf)
        for _ in range(_MAX_SWEEPS):
            previous = self.risk
            self._sweep(at)
            self.state.evaluations[self.lanes] += NUM_NODES - 1
            moved = ((self.risk - previous).abs() / (self.risk.abs() + self.stepper.risk_floor)).detach().amax(-1)
            if bool((moved < 0.2 * rtol).all()) or not bool(torch.isfinite(moved).all()):
                break
        for _ in range(_GRADIENT_SWEEPS if self.risk.requires_grad else 0):
            self._sweep(at)
        error = self._defect()
        self.state.evaluations[self.lanes] += 1
        error = torch.maximum(error, moved)
        return torch.where(torch.isfinite(error), error, torch.full_like(error, 1e6))

    def _sweep(self, at: Tensor) -> None:
        stepper = self.stepper
        if self.start_memory is not None:
            target = stepper.target(self.risk)
            later = stepper.remember(self.start_memory, self.time, self.length, target, at[:, 1:])
            self.memory = torch.cat([self.start_memory[:, None], later], dim=1)
        self.alpha, ratio = stepper.coefficients(self.node_times, self.risk, self.memory, self.lanes)
        self.decay, self.share = stepper.shares(self.alpha, self.length)
        self.forcing = stepper.forcing_polynomial(self.share, ratio)
        self.node_modes = stepper.relax(
            self.start_modes, self.lanes, self.decay[:, 1:], self.forcing, self.share[:, 1:]
        )
        self.risk = torch.cat([self.start_risk[:, None], self.node_modes.sum(-1)], dim=1)

    def end_modes(self) -> Tensor:
        """Modes at the end of the step, (m, modes)."""
        return self.node_modes[:, -1]

    def _expected_growth(self) -> Tensor:
        """Change of log R from the start to the nodes: the last step's polynomial, or its end slope if too far."""
        past = self.state.past[self.lanes]
        stretch = (self.length / self.state.past_length[self.lanes])[:, None]
        poly = past @ self.stepper.to_monomial.T
        ahead = 1 + stretch * self.stepper.nodes
        curve = (poly[:, None] * ahead[..., None] ** self.stepper.powers).sum(-1) - past[:, -1:]
        slope = (poly[:, 1:] * self.stepper.powers[1:]).sum(-1, keepdim=True)
        line = slope * stretch * self.stepper.nodes
        return torch.where(stretch < 2.5, curve, line).clamp(-2, 2)

    def decay_at(self, rows: Tensor, fraction: Tensor) -> Tensor:
        """Sigma at a fraction of the step, (p,)."""
        poly = self.alpha[rows] @ self.stepper.to_monomial.T
        powers = self.stepper.powers
        primitive = fraction[:, None] ** (powers + 1) / (powers + 1)
        decay = self.length[rows] * (poly * primitive).sum(-1)
        return torch.minimum(decay.clamp(min=0), self.decay[rows, -1])

    def risk_inside(self, rows: Tensor, times: Tensor) -> Tensor:
        """Risk at ``times`` inside the steps of ``rows``, (p,)."""
        fraction = ((times - self.time[rows]) / self.length[rows]).clamp(0, 1)
        decay = self.decay_at(rows, fraction)
        share = decay / self.decay[rows, -1].clamp(min=1e-300)
        modes = self.stepper.relax(
            self.start_modes[rows], self.lanes[rows], decay[:, None], self.forcing[rows], share[:, None]
        )
        return modes.sum(-1).squeeze(-1)

    def _defect(self) -> Tensor:
        """How far the two quartics miss the true coefficients between nodes, weighed by their effect on R."""
        rows = torch.arange(len(self.lanes))
        half = torch.full_like(self.length, PROBE)
        decay = self.decay_at(rows, half)
        share = decay / self.decay[:, -1].clamp(min=1e-300)
        risk = self.risk_inside(rows, self.time + PROBE * self.length)[:, None]
        memory = None
        if self.start_memory is not None:
            target = self.stepper.target(self.risk)
            memory = self.stepper.remember(self.start_memory, self.time, self.length, target, half[:, None])
        time = (self.time + PROBE * self.length)[:, None]
        alpha, ratio = self.stepper.coefficients(time, risk, memory, self.lanes)
        curve = (self.alpha @ self.stepper.to_monomial.T @ (PROBE**self.stepper.powers))[:, None]
        forcing = (self.forcing * share[:, None, None] ** self.stepper.powers).sum(-1)[:, None]
        alpha_miss = ((curve - alpha) / alpha).detach().abs().squeeze(1)
        lost = self.start_modes.detach() * -torch.expm1(
            -self.stepper.of(self.stepper.eigvals, self.lanes).detach() * self.decay[:, -1:].detach()
        )
        gained = self.end_modes().detach() - self.start_modes.detach() + lost
        force_miss = ((forcing - ratio).abs() / ratio.abs().clamp(min=1e-290)).detach().amax((1, 2))
        effect = alpha_miss * lost.sum(-1) + (alpha_miss + force_miss) * gained.abs().sum(-1)
        # a sum of modes is no risk where it is negative: its size still is what the error is held against
        return 0.2 * effect / (self.risk[:, -1].detach().abs() + self.stepper.risk_floor)

    def step_of_lane_zero(self) -> Step:
        """The step of lane 0 in this trial."""
        row = int(torch.nonzero(self.lanes == 0)[0])
        return Step(
            float(self.time[row]),
            float(self.length[row]),
            self.alpha[row] @ self.stepper.to_monomial.T,
            self.forcing[row],
            self.decay[row, -1],
        )
