"""`NoiseLaw`: what the theory, the simulator and the reports ask of a label-noise law."""

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.noise import slope
from signscope.noise.m_table import MTable

Size = int | tuple[int, ...]


class NoiseLaw(ABC):
    """The law of the label noise eps in y = <x, target> + eps, independent of x.

    Signs see the noise through one function only, ``m(a) = E exp(-a eps^2)``, hence only through |eps|.
    Laws are immutable. Theory runs in float64; ``m``, ``phi``, ``psi`` and ``residual_density`` are vectorised
    and differentiable. They and ``pdf`` and ``cdf`` take numbers, arrays and tensors and give float64 tensors.
    """

    name: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for method, argument in (("m", "a"), ("pdf", "x"), ("cdf", "x")):
            checks.take_numbers(cls, method, argument, float64=True)

    @property
    @abstractmethod
    def spec(self) -> str:
        """Text that `parse_noise` reads back."""

    @abstractmethod
    def m(self, a: Tensor) -> Tensor:
        """Value of ``E exp(-a eps^2)`` for a >= 0 of any shape: 1 at 0, decreasing."""

    @abstractmethod
    def pdf(self, x: Tensor) -> Tensor:
        """Density of eps at ``x``; discrete laws raise `Unsupported`."""

    @abstractmethod
    def cdf(self, x: Tensor) -> Tensor:
        """P(eps <= x), any shape."""

    @abstractmethod
    def sample(self, size: Size, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Independent draws in float64 of the given shape."""

    @property
    @abstractmethod
    def mean(self) -> float:
        """E eps; nan where undefined."""

    @property
    @abstractmethod
    def second_moment(self) -> float:
        """E eps^2; inf where infinite."""

    @abstractmethod
    def has_moment(self, order: float) -> bool:
        """Whether E |eps|^order is finite."""

    @property
    @abstractmethod
    def density_at_zero(self) -> float:
        """Mean of the densities left and right of 0; 0 for a gap around 0, inf for an atom."""

    @abstractmethod
    def _smoothed(self, x: Tensor, risk: Tensor) -> Tensor:
        """`residual_density` for ``x`` and ``risk`` of one shape, risk > 0."""

    @property
    def variance(self) -> float:
        """Variance of eps; inf where infinite or undefined."""
        if math.isinf(self.second_moment):
            return math.inf
        return self.second_moment - self.mean**2

    @property
    def atom_at_zero(self) -> float:
        """P(eps = 0)."""
        return 0.0

    @property
    def gap(self) -> float:
        """Distance of the law's support from 0; above 0 the risk has a floor that small rates cannot pass."""
        return 0.0

    @property
    def is_costly(self) -> bool:
        """Whether one value of ``m`` takes a hundred terms or more; then `signscope.noise.tabulate` pays."""
        return False

    def phi(self, risk: Tensor, *, batch_size: int = 1) -> Tensor:
        r"""Slope of the mean signed gradient: E sign(g) = phi_B(R) D^-1 K v in high dimension.

        Args:
            risk: Noiseless risk R = 1/2 v'Kv >= 0, any shape.
            batch_size: Rows per gradient, B >= 1.

        Returns:
            phi_B(R) like ``risk``. R = 0 gives the limit (inf if infinite; derivative reported as 0 unless the law
            has a closed form there).

        Raises:
            InvalidInput: A risk is negative or the batch size is not a whole number above 0.

        Notes:
            B = 1 costs one value of m per risk; B >= 2 about 300. Relative accuracy 1e-10 or better.
        """
        size = checks.integer("phi", "batch_size", batch_size, minimum=1)
        return self._phi(as_risk("phi", risk), size)

    @equation("xiao2024", "psi, noise compression (2.3)")
    def psi(self, risk: Tensor, *, batch_size: int = 1) -> Tensor:
        r"""Noise-compression factor $\psi_B = \varphi_B(R)\,\pi\sqrt{2P}/(2\sqrt B)$, P = R + E eps^2 / 2.

        At batch size 1 it is 1 for centred Gaussian noise; above 1 signs profit from the noise's shape.
        Infinite for noise of infinite variance.
        """
        risk = as_risk("psi", risk)
        doubled = 2 * risk + self.second_moment
        return self.phi(risk, batch_size=batch_size) * (math.pi / 2 / math.sqrt(batch_size)) * torch.sqrt(doubled)

    def residual_density(self, x: Tensor, risk: Tensor) -> Tensor:
        """Density at ``x`` of z - eps, where z ~ N(0, 2 risk) is independent of eps.

        Args:
            x: Points, any shape; gradients of any order are exact.
            risk: R > 0, any shape that broadcasts with ``x``; differentiable too.

        Raises:
            InvalidInput: A risk is not above 0.
        """
        x, risk = checks.doubles("residual_density", x=x, risk=risk)
        if not bool((risk.detach() > 0).all()):
            raise InvalidInput(f"residual_density: `risk` must be above 0, got {float(risk.detach().min()):g}.")
        x, risk = torch.broadcast_tensors(x, risk)
        return self._smoothed(x, risk)

    def describe(self) -> dict[str, Any]:
        """Name, spec and moments, ready for JSON (infinite or undefined numbers become text)."""
        numbers = {"mean": self.mean, "second_moment": self.second_moment, "gap": self.gap}
        plain = {key: value if math.isfinite(value) else str(value) for key, value in numbers.items()}
        return {"law": self.name, "spec": self.spec, **plain, "atom_at_zero": self.atom_at_zero}

    def __str__(self) -> str:
        return self.spec

    def _phi(self, risk: Tensor, batch_size: int) -> Tensor:
        positive = risk > 0
        safe = torch.where(positive, risk, torch.ones_like(risk))
        if batch_size == 1:
            value = slope.phi_single(self.m, safe)
        else:
            knee = slope.first_drop(*self._drop, batch_size)
            value = slope.phi_batch(self._quick_m, safe, batch_size=batch_size, knee=knee)
        if bool(positive.all()):
            return value
        limit = torch.full_like(risk, self._phi_at_zero(batch_size))
        return torch.where(positive, value, torch.where(torch.isnan(risk), risk, limit))

    @equation("xiao2024", "limit of phi at zero risk")
    def _phi_at_zero(self, batch_size: int) -> float:
        if self.atom_at_zero > 0:
            return math.inf
        if batch_size == 1:
            return 2 * math.sqrt(2 / math.pi) * self.density_at_zero
        knee = slope.first_drop(*self._drop, batch_size)
        return slope.phi_batch_at_zero(self._quick_m, batch_size=batch_size, knee=knee)

    @cached_property
    def _drop(self) -> tuple[Tensor, Tensor]:
        grid = torch.logspace(-40, 40, 241, dtype=torch.float64)
        return grid, self._quick_m(grid)

    def _quick_m(self, a: Tensor) -> Tensor:
        return self._m_table(a) if self.is_costly else self.m(a)

    @cached_property
    def _m_table(self) -> MTable:
        low, high = self._m_range
        return MTable(self.m, low=low, high=high, power=0.0 if self.atom_at_zero > 0 or self.gap > 0 else 0.5)

    @property
    def _m_range(self) -> tuple[float, float]:
        """Where m is neither 1 nor in its final power law, for costly laws."""
        raise NotImplementedError


def as_risk(who: str, risk: Tensor) -> Tensor:
    """``risk`` as a float64 tensor, 0 or more."""
    risk = checks.real(who, "risk", risk).double()
    if bool((risk.detach() < 0).any()):
        raise InvalidInput(f"{who}: `risk` must be 0 or more, got {float(risk.detach().min()):g}.")
    return risk


def number(value: float) -> str:
    """A number as specs write it: shortest text that reads back exactly."""
    text = repr(float(value))
    return text.removesuffix(".0")
