"""The exact relaxation of modes under polynomial coefficients: constants and formulas of one collocation step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope.integrate.moments import exponential_moments, lobatto_nodes, monomial_inverse

NODES = lobatto_nodes()
NUM_NODES = len(NODES)
PROBE = 0.5 * (NODES[1] + NODES[2])  # where the defect is read, between two nodes

Coefficients = Callable[[Tensor, Tensor, Tensor | None, Tensor], tuple[Tensor, Tensor]]
"""(time, risk, memory, lanes) -> (alpha, b): shapes (m, n), (m, n), (m, n) or None, (m,) -> (m, n), (m, n, sources)."""


@dataclass(frozen=True)
class ModeSystem:
    """A batch of risk equations in mode form.

    Attributes:
        eigvals: lambda_j >= 0, shape (modes,) or (lanes, modes).
        start: r_j at time 0, shape (lanes, modes) or (modes,).
        sources: g_sj, shape (sources, modes) or (lanes, sources, modes).
        coefficients: The scalars alpha and b; see `Coefficients`.
        num_lanes: Number of lanes.
        memory_rate: rho of the memory, per unit time; None for no memory.
        memory_target: target(R) of the memory.
        breakpoints: Times a step must end on.
        risk_scale: A typical risk. Errors are relative to R down to 1e-16 of it and absolute below, so that a
            start at R = 0 is an ordinary one.
    """

    eigvals: Tensor
    start: Tensor
    sources: Tensor
    coefficients: Coefficients
    num_lanes: int = 1
    memory_rate: float | None = None
    memory_target: Callable[[Tensor], Tensor] | None = None
    breakpoints: tuple[float, ...] = ()
    risk_scale: float = 1.0


@dataclass(frozen=True)
class Step:
    """One accepted step of one lane, enough to continue any mode through it."""

    time: float
    length: float
    alpha: Tensor  # (5,) monomial coefficients in the fraction of the step
    forcing: Tensor  # (sources, 5) monomial coefficients of b/alpha in the fraction of sigma
    decay: Tensor  # () sigma over the whole step


class Stepper:
    """Constants of one solve: node matrices and the per-lane views of the system."""

    def __init__(self, system: ModeSystem, horizon: float) -> None:
        self.system = system
        like = {"dtype": system.start.dtype, "device": system.start.device}
        self.nodes = torch.tensor(NODES, **like)
        self.before = torch.tensor([*[1.0] * (NUM_NODES - 1), 1 - 1e-15], **like)
        self.to_monomial = monomial_inverse(NODES).to(**like)
        powers = torch.arange(NUM_NODES, **like)
        primitive = self.nodes[:, None] ** (powers + 1) / (powers + 1)
        self.integrate = primitive @ self.to_monomial  # values at nodes -> integral from 0 to each node
        self.powers = powers
        # Shared by all lanes where there is one set: then (1, ...) and broadcast instead of gathered.
        self.eigvals = system.eigvals if system.eigvals.ndim == 2 else system.eigvals[None]
        self.sources = system.sources if system.sources.ndim == 3 else system.sources[None]
        self.risk_floor, self.smallest_risk = 1e-16 * system.risk_scale, 1e-30 * system.risk_scale
        # A floor on alpha keeps b/alpha finite; over the whole horizon it decays no mode by more than 1e-14.
        self.alpha_floor = 1e-14 / (float(system.eigvals.detach().max()) * horizon + 1e-300)

    def coefficients(self, time: Tensor, risk: Tensor, memory: Tensor | None, lanes: Tensor) -> tuple[Tensor, Tensor]:
        """Alpha (m, n) and b/alpha (m, n, sources)."""
        alpha, force = self.system.coefficients(time, risk.clamp(min=self.smallest_risk), memory, lanes)
        alpha = alpha.clamp(min=self.alpha_floor)
        return alpha, force / alpha[..., None]

    def target(self, risk: Tensor) -> Tensor:
        """What the memory runs after."""
        assert self.system.memory_target is not None
        return self.system.memory_target(risk.clamp(min=self.smallest_risk))

    def relax(self, modes: Tensor, lanes: Tensor, decay: Tensor, forcing: Tensor, share: Tensor) -> Tensor:
        """Modes after ``decay`` = sigma (m, n), a fraction ``share`` of the step's sigma: (m, n, modes)."""
        z = self.of(self.eigvals, lanes)[:, None, :] * decay[..., None]
        kernel = exponential_moments(z, NUM_NODES)  # 5 of shape (m, n, modes)
        weights = forcing[:, None] * (share[..., None, None] ** self.powers)  # (m, n, sources, 5)
        weights = weights * decay[..., None, None]
        relaxed = modes[:, None, :] * torch.exp(-z)
        for index, source in enumerate(self.of(self.sources, lanes).unbind(1)):
            push = sum(weights[:, :, index, k, None] * kernel[k] for k in range(NUM_NODES))
            relaxed = relaxed + push * source[:, None, :]
        return relaxed

    @staticmethod
    def of(shared: Tensor, lanes: Tensor) -> Tensor:
        """The entries of ``lanes``, or the single entry that all share."""
        return shared if len(shared) == 1 else shared[lanes]

    def remember(self, memory: Tensor, time: Tensor, length: Tensor, target: Tensor, at: Tensor) -> Tensor:
        """Memory at fractions ``at`` (m, n) of a step, from w at its start and target values at the nodes."""
        rate = self.system.memory_rate
        assert rate is not None
        span = rate * length[:, None] * at
        poly = target @ self.to_monomial.T  # (m, 5)
        kernel = torch.stack(exponential_moments(span, NUM_NODES))  # (5, m, n)
        pushed = torch.einsum("mk,mnk,kmn->mn", poly, at[..., None] ** self.powers, kernel) * span
        old = memory[:, None] * -torch.expm1(-rate * time)[:, None]
        raw = torch.exp(-span) * old + pushed
        return raw / -torch.expm1(-rate * time[:, None] - span)

    def shares(self, alpha: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Sigma at the nodes (m, 5) and the same as a fraction of the step's sigma."""
        decay = length[:, None] * (alpha @ self.integrate.T)
        decay = torch.cummax(decay, dim=-1).values
        total = decay[:, -1:].clamp(min=1e-300)
        return decay, decay / total

    def forcing_polynomial(self, share: Tensor, ratio: Tensor) -> Tensor:
        """Monomial coefficients of b/alpha in the fraction of sigma, (m, sources, 5)."""
        powers = share[..., None] ** self.powers
        # Coincident nodes (alpha spans many orders within a trial step) are separated; the defect rejects the step.
        powers = powers + 1e-14 * torch.diag(self.powers)
        return torch.linalg.solve(powers, ratio).transpose(1, 2)
