"""The printed reference values of signs, chain, closures and SDE moments, to the printed digits."""

import itertools
import math

import pytest
import torch

from signscope.problems.landscapes import Quadratic
from signscope.problems.oracle_noise import GaussianNoise
from signscope.sdes import expected
from signscope.sdes.moments import (
    chain_law,
    chain_stationary,
    expectations,
    frozen_variance,
    gaussian_up,
    sgd_sde_law,
    sgd_stationary,
    sign_covariance,
    signsgd_moments,
    stationary_covariance,
    stationary_density,
)
from signscope.sdes.moments.signs import gaussian_sign_moments, slope_at_zero, student_sign_mean
from signscope.sdes.setting import Setting
from signscope.sdes.signsgd import SignSgdEquation

OBSERVABLES = [lambda x: x, lambda x: x * x, lambda x: torch.cos(2 * x), lambda x: x**4]
H, SIGMA, START = [[2.0, 0.5], [0.5, 1.0]], [[1.0, 0.4], [0.4, 0.5]], [1.0, -0.5]


def t64(value):
    return torch.tensor(value, dtype=torch.float64)


def coefficients(*, order=1, curvature=1.0, std=1.0, lr):
    """Drift and variance of the implemented SDE of signSGD in one dimension."""
    loss, noise = Quadratic([curvature]), GaussianNoise(1, std=std)
    equation = SignSgdEquation(Setting(loss, noise, lr, order=order))

    def drift(x):
        return equation.coefficients(0.0, x[:, None])[0][:, 0]

    def variance(x):
        spread = equation.coefficients(0.0, x[:, None])[1]
        return spread(torch.ones_like(x)[:, None])[:, 0].square()

    return drift, variance


@pytest.mark.parametrize(
    ("a", "b", "corr", "wanted"),
    [
        (0, 0, 0.5, 0.3333333333),
        (0.5, -1, 0.6, 0.1669419143),
        (1, 1, 0.9, 0.3612753913),
        (2, 0.1, -0.7, -0.0410694529),
        (0, 1, 0.3, 0.1157875758),
        (-0.8, 0.4, -0.5, -0.2357810652),
    ],
)
def test_covariance_of_two_signs(a, b, corr, wanted):
    assert float(sign_covariance(t64(float(a)), t64(float(b)), t64(corr))) == pytest.approx(wanted, rel=1e-8)


def test_covariance_of_two_signs_near_full_correlation_needs_more_nodes():
    a = t64(3.0)
    assert float(sign_covariance(a, a, t64(0.99), nodes=64)) == pytest.approx(0.0043987911, rel=1e-6)
    assert float(sign_covariance(a, a, t64(0.99))) == pytest.approx(0.0043987911, rel=1e-5)
    assert float(sign_covariance(0 * a, 0 * a, t64(1.0))) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("dof", "x", "wanted"),
    [
        (0.5, 1, 0.1988783892),
        (1, 0.5, 0.1475836177),
        (1, 2, 0.3524163823),
        (1.5, 1, 0.2744323164),
        (2, 1, 0.2886751346),
        (3, 1, 0.3044988905),
        (5, 2, 0.4490302606),
        (30, 0.7, 0.2553397783),
    ],
)
def test_student_sign_mean(dof, x, wanted):
    assert float(student_sign_mean(t64(float(x)), dof)) == pytest.approx(wanted, rel=1e-8)
    assert float(student_sign_mean(t64(-float(x)), dof)) == pytest.approx(-wanted, rel=1e-8)


def test_student_sign_mean_where_the_form_with_gamma_functions_overflows():
    assert float(student_sign_mean(t64(40.0), 1000)) == 0.5


@pytest.mark.parametrize(
    ("dof", "wanted"),
    [(0.5, 0.2696763006), (1, 0.3183098862), (1.5, 0.3407349813), (2, 0.3535533906), (3, 0.3675525969),
     (5, 0.3796066898), (30, 0.3956321849)],
)  # fmt: skip
def test_student_density_at_zero(dof, wanted):
    assert slope_at_zero(dof) == pytest.approx(wanted, rel=1e-8)


def test_gaussian_sign_mean_and_its_variance_far_out_in_float32():
    z = t64([0.1, 0.5, 1, 1.5, 2, 3])
    wanted = t64([0.0796556746, 0.3829249225, 0.6826894921, 0.8663855975, 0.9544997361, 0.9973002039])
    torch.testing.assert_close(gaussian_sign_moments(z)[0], wanted, rtol=1e-8, atol=0)
    far = t64([4.0, 5.0, 5.5, 6.0])
    q = torch.special.erfc(far * math.sqrt(0.5))
    single = gaussian_sign_moments(far.float())[1].double()
    torch.testing.assert_close(single, q * (2 - q), rtol=1e-4, atol=0)
    naive = 1 - torch.erf(far.float() * math.sqrt(0.5)) ** 2  # teeth
    assert abs(float(naive[2]) / float((q * (2 - q))[2]) - 1) > 0.3


R4 = {
    0.125: (
        [0.35244975, 0.19399055, 0.66329018, 0.08352339],
        [0.372166, 0.203850, 0.642685, 0.081132],
        [0.353568, 0.189313, 0.666108, 0.071844],
    ),
    0.0625: (
        [0.35814322, 0.16232646, 0.70481589, 0.04655145],
        [0.368015, 0.168394, 0.693131, 0.047097],
        [0.358430, 0.161168, 0.705480, 0.043734],
    ),
    0.015625: (
        [0.36227531, 0.13960783, 0.73639110, 0.02404812],
        [0.364748, 0.141337, 0.733195, 0.024448],
        [0.362294, 0.139536, 0.736430, 0.023876],
    ),
}


@pytest.mark.parametrize("lr", R4)
def test_signsgd_its_sde_and_the_second_order_sde_in_one_dimension(lr):
    x, p = chain_law(1.5, gaussian_up(1, 1), lr=lr, num_steps=round(2 / lr))
    torch.testing.assert_close(torch.stack([(p * g(x)).sum() for g in OBSERVABLES]), t64(R4[lr][0]), rtol=0, atol=6e-9)
    for order in (1, 2):
        found = expectations(*coefficients(order=order, lr=lr), OBSERVABLES, 1.5, horizon=2.0)
        torch.testing.assert_close(found, t64(R4[lr][order]), rtol=0, atol=2e-6)


R5 = [
    (1, 1, 0.1, 6.4648241e-2, 6.4659956e-2, 6.2078490e-2),
    (1, 1, 0.01, 6.2862251e-3, 6.2862364e-3, 6.2611437e-3),
    (2, 0.5, 0.01, 1.5863550e-3, 1.5864007e-3, 1.5610466e-3),
    (1, 0.1, 0.01, 6.4648241e-4, 6.4659956e-4, 6.2078490e-4),
    (5, 0.2, 0.002, 5.0921822e-5, 5.0924115e-5, 4.9906669e-5),
    (0.1, 10, 0.01, 6.2667670e-1, 6.2667670e-1, 6.2665170e-1),
]


@pytest.mark.parametrize(("h", "std", "lr", "chain", "closure", "sde"), R5)
def test_stationary_variance_of_signsgd_by_chain_closure_and_sde(h, std, lr, chain, closure, sde):
    reach = min(12 * math.sqrt(lr * std / h), 6 * std / h)
    x, p = chain_stationary(gaussian_up(h, std), lr=lr, reach=reach)
    assert float((p * x * x).sum()) == pytest.approx(chain, rel=1e-7)
    found = stationary_covariance("signsgd", t64([[float(h)]]), t64([[float(std) ** 2]]), lr=lr)
    assert float(found) == pytest.approx(closure, rel=1e-7)
    x, p = stationary_density(*coefficients(curvature=h, std=std, lr=lr), reach=reach)
    assert float((p * x * x).sum()) == pytest.approx(sde, rel=1e-7)


def test_stationary_variance_of_signsgd_where_no_sde_is_valid():
    x, p = chain_stationary(gaussian_up(1, 0.1), lr=0.1, reach=0.8)
    assert float((p * x * x).sum()) == pytest.approx(8.3828e-3, rel=1e-5)
    assert float(stationary_covariance("signsgd", t64([[1.0]]), t64([[0.01]]), lr=0.1)) == pytest.approx(
        8.5305e-3, rel=1e-5
    )
    x, p = stationary_density(*coefficients(std=0.1, lr=0.1), reach=0.6)
    assert float((p * x * x).sum()) == pytest.approx(5.5966e-3, rel=1e-5)


@pytest.mark.parametrize(
    ("h", "std", "lr", "discrete", "sde"),
    [(1.0, 1.0, 0.1, 5.26315789e-2, 5e-2), (2.0, 0.5, 0.01, 6.31313131e-4, 6.25e-4)],
)
def test_stationary_variance_of_sgd(h, std, lr, discrete, sde):
    matrix, cov = t64([[h]]), t64([[std**2]])
    assert float(sgd_stationary(matrix, cov, lr=lr)) == pytest.approx(discrete, rel=1e-8)
    late = sgd_sde_law(matrix, cov, t64([1.0]), t64([50.0 / h]), lr=lr)[1]
    assert float(late) == pytest.approx(sde, rel=1e-8)


R7 = [
    (0.9, 0.01, 1, 0, 5.00131614e-3, 4.00990099e-3, 4.95544554e-3, 5.00000000e-3),
    (0.9, 0.001, 1, 1, 2.47783117e-4, 2.00296736e-4, 2.47329377e-4, 2.47524752e-4),
    (0.9, 0.001, 4, 0.5, 1.10626455e-4, 8.91972250e-5, 1.10169585e-4, 1.10558320e-4),
    (0.99, 0.01, 2, 0.1, 2.16658606e-3, 2.08354592e-3, 2.12629677e-3, 2.16450216e-3),
]


@pytest.mark.parametrize(("beta", "lr", "alpha", "decay", "discrete", "published", "augmented", "recommended"), R7)
def test_stationary_variance_of_adamw_and_of_the_forms_of_its_sde(
    beta, lr, alpha, decay, discrete, published, augmented, recommended
):
    names = {"discrete": discrete, "published": published, "augmented": augmented, "recommended": recommended}
    for form, wanted in names.items():
        found = frozen_variance(alpha, lr=lr, beta1=beta, weight_decay=decay, form=form)
        assert found == pytest.approx(wanted, rel=1e-8), form
    c, rho = 1 - beta, (1 - beta) / lr  # the closed forms, by another route
    assert published == pytest.approx(
        0.5 * lr * beta**2 / ((alpha + decay) * (1 + (c * alpha + decay) / rho)), rel=1e-7
    )
    assert recommended == pytest.approx(0.5 * lr / ((alpha + decay) * (1 + decay / rho)), rel=1e-7)


def test_frozen_rmsprop():
    assert frozen_variance(1.0, lr=0.01, beta1=0.0) == pytest.approx(5.02512563e-3, rel=1e-8)


R9 = {
    "sgd": ({}, [0.06797805, 0.01554646, 0.00616471, 0.00427039]),
    "signsgd": ({}, [0.120939, 0.024424, 0.008929, 0.006053]),
    "signsgd decay": ({"weight_decay": 0.5}, [0.043088, 0.006345, 0.004161, 0.004013]),
    "rmsprop": ({}, [0.162077, 0.028232, 0.007250, 0.004555]),
    "rmspropw": ({"weight_decay": 0.5}, [0.058451, 0.005789, 0.003277, 0.003309]),
    "adam": ({"bias_correction": False}, [0.142508, 0.021910, 0.005923, 0.004300]),
    "adamw": ({"bias_correction": False, "weight_decay": 0.5}, [0.046979, 0.004452, 0.003028, 0.003125]),
    "adamw zero": ({"weight_decay": 0.5}, [0.036448, 0.004068, 0.003174, 0.003198]),
}


@pytest.mark.parametrize("name", R9)
def test_mean_loss_in_two_dimensions(name):
    options, wanted = R9[name]
    found = expected(
        Quadratic(H), START, optimizer=name.split()[0], noise=SIGMA, lr=0.01, num_steps=400, betas=(0.9, 0.99),
        times=[0, 100, 200, 300, 400], **options,
    )  # fmt: skip
    torch.testing.assert_close(found.loss.value, t64([0.875, *wanted]), rtol=2e-6, atol=6e-7)


def test_mean_loss_of_the_sde_of_sgd_in_two_dimensions():
    h = t64(H)
    mean, cov = sgd_sde_law(h, t64(SIGMA), t64(START), t64([0.0, 1.0, 2.0, 3.0, 4.0]), lr=0.01)
    found = 0.5 * torch.stack([m @ h @ m + (h * c).sum() for m, c in zip(mean, cov, strict=True)])
    torch.testing.assert_close(found, t64([0.875, 0.06865036, 0.01566668, 0.00617374, 0.00424615]), rtol=0, atol=6e-9)


def test_dropping_the_correlation_of_the_signs_is_seen():
    rates = itertools.repeat((0.01, 1.0), 401)
    *_, (_, whole) = signsgd_moments(t64(H), t64(SIGMA), t64(START), rates)
    diagonal = torch.diag(t64(SIGMA).diagonal())
    *_, (_, without) = signsgd_moments(t64(H), diagonal, t64(START), itertools.repeat((0.01, 1.0), 401))
    assert abs(float(whole[0, 1]) - float(without[0, 1])) > 1e-3
