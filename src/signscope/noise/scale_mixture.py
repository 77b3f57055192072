"""`ScaleMixture`: laws that are a Gaussian of random variance, held as fixed variances with weights."""

import math
from abc import abstractmethod
from functools import cached_property

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope.noise.law import NoiseLaw
from signscope.noise.smoothing import gaussian_sum
from signscope.noise.special import normal_cdf


class ScaleMixture(NoiseLaw):
    """eps = sqrt(V) g with g standard normal and V > 0 independent of it.

    A subclass gives the law of V as nodes and weights; densities then are sums of Gaussian ones, smooth and
    exact to rounding even far in the tails.
    """

    @abstractmethod
    def _variances(self) -> tuple[Tensor, Tensor]:
        """Nodes v_k > 0 and weights adding to 1, both of shape (n,)."""

    @equation("signscope", "m(a) of a Gaussian scale mixture")
    def m(self, a: Tensor) -> Tensor:
        """``sum_k w_k (1 + 2 a v_k)^(-1/2)``."""
        variances, weights = self._rule
        return torch.rsqrt(1 + 2 * a[..., None] * variances) @ weights

    def pdf(self, x: Tensor) -> Tensor:
        """The sum of centred normal densities."""
        variances, weights = self._rule
        still = torch.zeros_like(x)
        return gaussian_sum(x, still, centres=torch.zeros_like(variances), variances=variances, weights=weights)

    def cdf(self, x: Tensor) -> Tensor:
        """The sum of centred normal distribution functions; left tails keep 6 digits down to 1e-17."""
        variances, weights = self._rule
        return normal_cdf(x[..., None] * torch.rsqrt(variances)) @ weights

    @property
    def is_costly(self) -> bool:
        """A hundred nodes or more."""
        return True

    @property
    def density_at_zero(self) -> float:
        """E (2 pi V)^(-1/2)."""
        variances, weights = self._rule
        return float(torch.rsqrt(2 * math.pi * variances) @ weights)

    def _smoothed(self, x: Tensor, risk: Tensor) -> Tensor:
        variances, weights = self._rule
        return gaussian_sum(x, risk, centres=torch.zeros_like(variances), variances=variances, weights=weights)

    @cached_property
    def _rule(self) -> tuple[Tensor, Tensor]:
        return self._variances()
