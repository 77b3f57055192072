"""Moments of the optimizers and of their SDEs without sampling: lattice chain, closures, recursions, quadrature."""

from signscope.sdes.moments.adaptive import Averaged, adaptive_moments, frozen_variance, sde_moments
from signscope.sdes.moments.chain import chain_law, chain_laws, chain_stationary, gaussian_up
from signscope.sdes.moments.closure import signsgd_moments, signsgd_step
from signscope.sdes.moments.fixed_point import stationary_covariance
from signscope.sdes.moments.one_dimension import expectations, stationary_density
from signscope.sdes.moments.oracle import expected
from signscope.sdes.moments.sgd import sgd_moments, sgd_sde_law, sgd_stationary
from signscope.sdes.moments.signs import gaussian_sign_moments, sign_covariance, sign_covariance_matrix, sign_moments

__all__ = [
    "Averaged",
    "adaptive_moments",
    "chain_law",
    "chain_laws",
    "chain_stationary",
    "expectations",
    "expected",
    "frozen_variance",
    "gaussian_sign_moments",
    "gaussian_up",
    "sde_moments",
    "sgd_moments",
    "sgd_sde_law",
    "sgd_stationary",
    "sign_covariance",
    "sign_covariance_matrix",
    "sign_moments",
    "signsgd_moments",
    "signsgd_step",
    "stationary_covariance",
    "stationary_density",
]
