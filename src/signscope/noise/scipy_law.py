"""Label noise from any frozen continuous law of scipy.stats, by quadrature on nodes fixed once."""

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope._core.errors import InvalidInput, Unsupported
from signscope.noise.law import NoiseLaw, Size, number
from signscope.noise.panel_density import PanelDensity
from signscope.noise.quadrature import Array, on_panels, resolve
from signscope.noise.special import erf_ratio, laplace_sum

_ORDER = 16
_NEGLIGIBLE = 2e-16  # tail mass that is cut off
_INNER = 1e-8  # of the law's scale: nearer to 0 the density is taken as constant
_QUANTILES = (1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 0.05, 0.25, 0.5)  # and the same from the right


@dataclass(frozen=True, eq=False)
class ScipyLaw(NoiseLaw):
    """A frozen continuous law of scipy.stats, such as ``scipy.stats.gamma(2, loc=-2)``.

    ``m`` integrates the density of |eps| on panels that halve towards the smallest |eps|, are split at the
    law's location and quantiles, and are bisected until the density is resolved: relative error about 1e-11,
    for every a >= 0. Gaps inside the support are not looked for.

    Attributes:
        frozen: The frozen law, with scalar parameters.
    """

    frozen: Any
    name: ClassVar[str] = "scipy"

    def __post_init__(self) -> None:
        check_frozen(self.frozen, method="pdf")

    @property
    def spec(self) -> str:
        """``scipy:NAME,SHAPES...,LOC,SCALE``; trailing defaults are left out."""
        return frozen_spec(self.frozen, defaults=(0.0, 1.0))

    @equation("signscope", "m(a) by fixed-node quadrature")
    def m(self, a: Tensor) -> Tensor:
        """``sum_k w_k exp(-a e_k^2)`` plus the closed form of the innermost piece of constant density."""
        squares, weights, inner, density = self._nodes
        return laplace_sum(a, squares, weights) + inner * density * erf_ratio(inner**2 * a)

    def pdf(self, x: Tensor) -> Tensor:
        """Density by scipy; not differentiable."""
        return torch.as_tensor(self._pdf(x.detach().numpy()), dtype=torch.float64)

    def cdf(self, x: Tensor) -> Tensor:
        """Distribution function by scipy; not differentiable."""
        return torch.as_tensor(self.frozen.cdf(x.detach().numpy()), dtype=torch.float64)

    def sample(self, size: Size, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Draws by scipy."""
        return np.asarray(self.frozen.rvs(size=size, random_state=rng), dtype=np.float64)

    @property
    def mean(self) -> float:
        """Mean by scipy."""
        return self._moments[0]

    @property
    def second_moment(self) -> float:
        """Variance plus squared mean; inf where scipy says infinite or undefined."""
        return self._moments[1]

    def has_moment(self, order: float) -> bool:
        """Whether the tail falls faster than x^-order, judged from P(|eps| > x) down to 1e-10."""
        return order < self._tail_index - 0.02

    @property
    def density_at_zero(self) -> float:
        """Mean of the densities on the two sides of 0; inf where it is singular there."""
        if self.gap > 0:
            return 0.0
        near, nearer = self._folded(self._scale * np.array([1e-25, 1e-50]))
        return math.inf if nearer > 1.01 * near else float(0.5 * nearer)

    @property
    def gap(self) -> float:
        """Distance of the support from 0."""
        low, high = self.frozen.support()
        return max(float(low), -float(high), 0.0)

    @property
    def is_costly(self) -> bool:
        """Hundreds of nodes."""
        return len(self._nodes[0]) > 200

    @property
    def _m_range(self) -> tuple[float, float]:
        squares = self._nodes[0]
        return 1e-15 / float(squares[-1]), 750 / float(squares[0])

    def _smoothed(self, x: Tensor, risk: Tensor) -> Tensor:
        return self._panels(x, risk)

    def _pdf(self, x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.nan_to_num(np.asarray(self.frozen.pdf(x), dtype=np.float64), posinf=0.0)

    def _folded(self, x: Array) -> Array:
        return self._pdf(x) + self._pdf(-x)

    def _tail(self, x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.nan_to_num(self.frozen.sf(x) + self.frozen.cdf(-x))

    @cached_property
    def _scale(self) -> float:
        quartiles = np.abs(self.frozen.ppf([0.25, 0.5, 0.75]))
        scale = float(np.max(quartiles))
        return scale if math.isfinite(scale) and scale > 0 else 1.0

    @cached_property
    def _inner_density(self) -> float:
        """Density of |eps| on (0, 1e-8 scale) where it is constant there, else nan."""
        half, tenth = self._folded(_INNER * self._scale * np.array([0.5, 0.05]))
        return float(half) if self.gap == 0 and abs(tenth - half) <= 1e-6 * half else math.nan

    @cached_property
    def _nodes(self) -> tuple[Tensor, Tensor, float, float]:
        """Squared nodes, weights, and the innermost interval with its density (of |eps|)."""
        edges, regular = self._edges
        left, right = resolve(self._folded, edges, order=_ORDER)
        nodes, weights = on_panels(left, right, order=_ORDER)
        mass = (self._folded(nodes) * weights).ravel()
        inner, density = (float(edges[0]), self._inner_density) if regular else (0.0, 0.0)
        total = math.fsum(mass) + inner * density
        missing = 0.0 if regular or self.gap > 0 else float(1 - self._tail(edges[:1])[0])
        if not abs(total + missing - 1) < 1e-6:
            raise Unsupported(
                f"ScipyLaw: the density of {self.spec} adds to {total + missing:.8g} instead of 1 on the panels used. "
                "Its pdf may be inaccurate or too spiky: pass a sample of it instead."
            )
        nodes, mass = np.append(nodes.ravel(), edges[0]), np.append(mass, missing)
        order = np.argsort(nodes)
        squares = torch.from_numpy(nodes[order] ** 2)
        return squares, torch.from_numpy(mass[order]) / (total + missing), inner, density / (total + missing)

    @cached_property
    def _edges(self) -> tuple[Array, bool]:
        """First panel edges for |eps| > 0, and whether the density is constant below the first one."""
        low, high = (float(v) for v in self.frozen.support())
        start, end = self.gap, max(abs(low), abs(high))
        reach = start + self._scale * np.exp2(np.arange(-10.0, 1000.0))
        light = reach[self._tail(reach) <= _NEGLIGIBLE]
        end = min(end, float(light[0]) if len(light) else 1e300)
        regular = math.isfinite(self._inner_density)
        depth = _INNER if regular or start > 0 else 1e-60
        smallest = depth * min(self._scale, end - start)
        count = math.ceil(math.log2((end - start) / smallest))
        edges = start + (end - start) * np.exp2(-np.arange(count, -1.0, -1.0))
        inside = [v for v in self._features(low, high) if edges[0] < v < end]
        if start > 0:
            inside.append(start)
        edges = np.unique(np.concatenate([edges, inside]))
        return edges[np.concatenate([[True], np.diff(edges) > 1e-13 * edges[1:]])], regular

    def _features(self, low: float, high: float) -> list[float]:
        """Where the density may have a kink: support, location, one scale beside it, quantiles."""
        _, loc, scale = self.frozen.dist._parse_args(*self.frozen.args, **self.frozen.kwds)
        quantiles = [*self.frozen.ppf(_QUANTILES), *self.frozen.isf(_QUANTILES)]
        places = [low, high, loc, loc - scale, loc + scale, *quantiles]
        return [abs(float(v)) for v in places if math.isfinite(v)]

    @cached_property
    def _panels(self) -> PanelDensity:
        edges = np.unique(np.concatenate([[self.gap], self._edges[0]]))
        right = resolve(self._pdf, edges, order=_ORDER, pointwise=True)
        left = resolve(lambda x: self._pdf(-x), edges, order=_ORDER, pointwise=True)
        starts = np.concatenate([-left[1][::-1], right[0]])
        ends = np.concatenate([-left[0][::-1], right[1]])
        return PanelDensity(self._pdf, starts, ends=ends, order=_ORDER)

    @cached_property
    def _moments(self) -> tuple[float, float]:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            mean, variance = (float(v) for v in self.frozen.stats(moments="mv"))
        if math.isfinite(mean) and math.isfinite(variance):
            return mean, variance + mean**2
        return mean, math.inf

    @cached_property
    def _tail_index(self) -> float:
        """Minus the slope of log P(|eps| > x) against log x at 1e-10; inf where it still steepens."""
        if all(math.isfinite(v) for v in self.frozen.support()):
            return math.inf
        x = [self._upper_quantile(level) for level in (1e-4, 1e-5, 1e-9, 1e-10)]
        if not x[0] < x[1] or not x[2] < x[3]:
            return math.inf
        early, late = (math.log(10) / math.log(x[i + 1] / x[i]) for i in (0, 2))
        return math.inf if late > 1.15 * early or late > 50 else late

    def _upper_quantile(self, level: float) -> float:
        low, high = math.log(self._scale) - 10, math.log(self._scale) + 690
        for _ in range(60):
            middle = 0.5 * (low + high)
            above = bool(self._tail(np.array([math.exp(min(middle, 700.0))]))[0] > level)
            low, high = (middle, high) if above else (low, middle)
        return math.exp(low)


def check_frozen(frozen: Any, *, method: str) -> None:
    """Raise `InvalidInput` unless ``frozen`` is a frozen scipy law with valid scalar parameters."""
    if not (hasattr(frozen, "dist") and hasattr(frozen, "kwds") and hasattr(frozen.dist, method)):
        raise InvalidInput(f"noise: wanted a frozen scipy.stats law with a {method}, got {frozen!r}.")
    support = np.asarray(frozen.support(), dtype=np.float64)
    if support.shape != (2,):
        raise InvalidInput(f"noise: the parameters of {frozen.dist.name} must be numbers, not arrays.")
    if np.isnan(support).any() or not np.isfinite(frozen.ppf(0.5)):
        raise InvalidInput(
            f"noise: scipy.stats.{frozen.dist.name} does not accept these parameters: "
            f"args {frozen.args}, keywords {frozen.kwds}."
        )


def frozen_spec(frozen: Any, *, defaults: tuple[float, ...]) -> str:
    """``scipy:NAME,SHAPES...,LOC[,SCALE]`` without the trailing numbers that equal ``defaults``."""
    shapes, *place = frozen.dist._parse_args(*frozen.args, **frozen.kwds)
    tail = list(place[: len(defaults)])
    while tail and tail[-1] == defaults[len(tail) - 1]:
        tail.pop()
    return ",".join([f"scipy:{frozen.dist.name}", *(number(float(v)) for v in (*shapes, *tail))])
