"""Moments without sampling take lists, arrays and plain numbers as they take tensors."""

import itertools

import numpy as np
import pytest
import torch

from signscope import InvalidInput
from signscope.sdes import moments

H, SIGMA, MEAN, RATES = [[2.0, 0.5], [0.5, 1.0]], [[1.0, 0.4], [0.4, 0.5]], [1.0, -0.5], ((0.1, 1.0), (0.1, 1.0))
SETTING = moments.Averaged((0.9, 0.99))
SDE = {"lr": 0.1, "form": "recommended", "num_steps": 2, "substeps": 2}
CASES = {
    "sign_covariance": lambda h, s, m: moments.sign_covariance(m, m, 0.3),
    "gaussian_sign_moments": lambda h, s, m: moments.gaussian_sign_moments(m),
    "sign_covariance_matrix": lambda h, s, m: moments.sign_covariance_matrix(m, s),
    "sgd_stationary": lambda h, s, m: moments.sgd_stationary(h, s, lr=0.1),
    "sgd_sde_law": lambda h, s, m: moments.sgd_sde_law(h, s, m, m, lr=0.1),
    "stationary_covariance": lambda h, s, m: moments.stationary_covariance("signsgd", h, s, lr=0.1),
    "sgd_moments": lambda h, s, m: [*moments.sgd_moments(h, s, m, iter(RATES))],
    "signsgd_moments": lambda h, s, m: [*moments.signsgd_moments(h, s, m, iter(RATES))],
    "adaptive_moments": lambda h, s, m: [*moments.adaptive_moments(h, s, m, iter(RATES), SETTING)],
    "sde_moments": lambda h, s, m: [*moments.sde_moments(h, s, m, SETTING, **SDE)],
}


def tensors(value):
    return itertools.chain.from_iterable(map(tensors, value)) if isinstance(value, tuple | list) else [value]


@pytest.mark.parametrize("name", CASES)
def test_lists_and_arrays_are_tensors(name):
    wanted = [*tensors(CASES[name](*(torch.tensor(v, dtype=torch.float64) for v in (H, SIGMA, MEAN))))]
    for kind in (list, np.array):
        found = [*tensors(CASES[name](*(kind(v) for v in (H, SIGMA, MEAN))))]
        assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
    with pytest.raises(InvalidInput, match="must be a number or an array of numbers"):
        CASES[name]("H", "Sigma", "m")


def test_signs_take_numbers_and_float32():
    mean, variance = moments.gaussian_sign_moments(0.5)
    assert (float(mean), float(variance)) == pytest.approx((0.382924922548026, 1 - 0.382924922548026**2))
    assert float(moments.sign_covariance(0.0, 0.0, 1.0)) == pytest.approx(1.0)
    assert moments.sign_covariance_matrix(torch.tensor(MEAN), SIGMA).dtype == torch.float32


def test_where_one_number_is_wanted_several_are_refused():
    up = moments.gaussian_up(np.float32(1.0), torch.tensor(1.0))
    assert moments.chain_law(torch.tensor(1.0), up, lr=0.1, num_steps=3)[1].sum() == pytest.approx(1)
    for bad in (
        lambda: moments.gaussian_up([1.0, 2.0], 1.0),
        lambda: moments.chain_law([1.0, 2.0], up, lr=0.1, num_steps=3),
        lambda: moments.chain_stationary(up, lr=-0.1, reach=1.0),
        lambda: moments.frozen_variance([1.0, 2.0], lr=0.1, beta1=0.9),
        lambda: moments.sgd_stationary(H, SIGMA, lr=[0.1]),
        lambda: moments.stationary_covariance("adam", H, SIGMA, lr=[0.1]),
        lambda: moments.stationary_density(up, up, reach=[1.0]),
    ):
        with pytest.raises(InvalidInput, match=r"`curvature`|`start`|`lr`|`reach`"):
            bad()
