"""Stationary laws: printed reference values, the chain and the recursions, and the forms usually stated rejected."""

import math

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope._core.errors import InvalidInput, Unsupported
from signscope.noise import as_noise
from signscope.problems.landscapes import Quadratic
from signscope.sdes import expected
from signscope.sdes.asymptotic_losses import asymptotic_loss, decayed_loss_bound
from signscope.sdes.moments import (
    Averaged,
    adaptive_moments,
    chain_law,
    chain_stationary,
    frozen_variance,
    gaussian_up,
    signsgd_moments,
    stationary_covariance,
)
from signscope.sdes.stationary_laws import (
    adam_variance,
    forgetting_factor,
    law_variance,
    sign_variance,
    stated_sign_law,
)


def t64(value):
    return torch.tensor(value, dtype=torch.float64)


R5 = [
    (1, 1, 0.1, 6.4648241e-2, 6.0261616e-2, 6.2665707e-2, 6.4659956e-2, 6.2078490e-2),
    (1, 1, 0.01, 6.2862251e-3, 6.2416700e-3, 6.2665707e-3, 6.2862364e-3, 6.2611437e-3),
    (2, 0.5, 0.01, 1.5863550e-3, 1.5420353e-3, 1.5666427e-3, 1.5864007e-3, 1.5610466e-3),
    (1, 0.1, 0.01, 6.4648241e-4, 6.0261616e-4, 6.2665707e-4, 6.4659956e-4, 6.2078490e-4),
    (5, 0.2, 0.002, 5.0921822e-5, 4.9152123e-5, 5.0132565e-5, 5.0924115e-5, 4.9906669e-5),
    (0.1, 10, 0.01, 6.2667670e-1, 6.2663207e-1, 6.2665707e-1, 6.2667670e-1, 6.2665170e-1),
    (1, 0.1, 0.1, 8.3828e-3, 4.4795e-3, None, 8.5305e-3, None),
]


@pytest.mark.parametrize(("h", "std", "lr", "chain", "stated", "leading", "corrected", "sde"), R5)
def test_stationary_variance_of_signsgd(h, std, lr, chain, stated, leading, corrected, sde):
    ratio = lr * h / std
    printed = 1e-7 if leading is not None else 1e-5
    assert sign_variance(h, std, lr=lr, form="stated") == pytest.approx(stated, rel=printed)
    assert sign_variance(h, std, lr=lr) == pytest.approx(corrected, rel=printed)
    assert sign_variance(h, std, lr=lr) == pytest.approx(chain, rel=0.02 * ratio**2 + 1e-7)
    if leading is not None:
        assert sign_variance(h, std, lr=lr, form="leading") == pytest.approx(leading, rel=1e-7)
        assert sign_variance(h, std, lr=lr, form="sde") == pytest.approx(sde, rel=0.1 * ratio**2 + 1e-7)
        assert stated < leading < chain  # the stated correction goes the wrong way


@pytest.mark.parametrize(("decay", "std"), [(0.5, 1.0), (1.0, 0.3), (2.0, 0.05)])
def test_signsgd_with_decay_against_the_fixed_point_of_the_closure(decay, std):
    found = sign_variance(1.5, std, lr=0.01, weight_decay=decay)
    other = float(stationary_covariance("signsgd", t64([[1.5]]), t64([[std**2]]), lr=0.01, weight_decay=decay))
    assert found == pytest.approx(other, rel=1e-6)
    assert sign_variance(1.5, std, lr=1e-6, weight_decay=decay) == pytest.approx(
        sign_variance(1.5, std, lr=1e-6, weight_decay=decay, form="leading"), rel=1e-4
    )
    with pytest.raises(InvalidInput, match="`form`"):
        sign_variance(1.5, std, lr=0.01, weight_decay=decay, form="stated")


def test_the_stated_law_in_time_is_good_for_a_small_ratio_alone():
    ratios = {}
    for start in (0.25, 1.5):
        x, p = chain_law(start, gaussian_up(1, 1), lr=0.005, num_steps=100)
        mean = float((p * x).sum())
        at, variance = stated_sign_law(1, 1, start, lr=0.005, time=0.5)
        ratios[start] = variance / float((p * (x - mean) ** 2).sum())
        if start == 0.25:
            assert at == pytest.approx(mean, rel=0.03)
    assert ratios[0.25] == pytest.approx(1, abs=0.05)
    assert ratios[1.5] < 0.2 or ratios[1.5] > 5
    assert stated_sign_law(1, 1, 1.0, lr=0.01, time=100)[1] == pytest.approx(
        sign_variance(1, 1, lr=0.01, form="stated")
    )


@pytest.mark.parametrize(
    ("law", "allowance"),
    [
        ("gaussian:1", 1e-3),
        ("student-t:1", 1e-3),
        ("student-t:3", 1e-3),
        ("laplace:1", 0.02),
        (scipy.stats.gumbel_r(loc=-0.5772156649), 1.5e-3),
    ],
)
def test_any_noise_against_the_chain(law, allowance):
    found = as_noise(law)
    centre, variance = law_variance(law, 1.0, lr=0.001)
    x, p = chain_stationary(lambda x: found.cdf(-x), lr=0.001, reach=0.6, offset=0.0)
    mean = float((p * x).sum())
    assert mean == pytest.approx(centre, abs=2e-3)
    assert float((p * (x - mean) ** 2).sum()) == pytest.approx(variance, rel=allowance)


def test_skewed_noise_has_its_centre_off_the_minimum():
    assert law_variance(scipy.stats.gumbel_r(loc=-0.5772156649), 1.0, lr=0.001)[0] == pytest.approx(0.21070, abs=1e-5)
    assert law_variance(scipy.stats.expon(loc=-1), 1.0, lr=0.001)[0] == pytest.approx(0.30685, abs=1e-5)
    assert law_variance("gaussian:1", 2.0, lr=0.01, scale=3.0) == pytest.approx(
        (0.0, sign_variance(2, 3, lr=0.01, form="leading"))
    )


R7 = [
    (0.9, 0.01, 1, 0, 5.00131614e-3, 4.00990099e-3, 4.95544554e-3, 5.00000000e-3),
    (0.9, 0.001, 1, 1, 2.47783117e-4, 2.00296736e-4, 2.47329377e-4, 2.47524752e-4),
    (0.9, 0.001, 4, 0.5, 1.10626455e-4, 8.91972250e-5, 1.10169585e-4, 1.10558320e-4),
    (0.99, 0.01, 2, 0.1, 2.16658606e-3, 2.08354592e-3, 2.12629677e-3, 2.16450216e-3),
]


@pytest.mark.parametrize(("beta", "lr", "alpha", "decay", "exact", "published", "augmented", "recommended"), R7)
def test_stationary_variance_of_adamw(beta, lr, alpha, decay, exact, published, augmented, recommended):
    wanted = {"exact": exact, "published": published, "augmented": augmented, "recommended": recommended}
    for form, value in wanted.items():
        assert adam_variance(2 * alpha, 2.0, lr=lr, beta1=beta, weight_decay=decay, form=form) == pytest.approx(
            value, rel=1e-8
        )
    assert published == pytest.approx(beta**2 * exact, rel=0.02)


@settings(deadline=None, max_examples=30)
@given(
    alpha=st.floats(0.1, 5), lr=st.floats(1e-3, 0.1), beta=st.sampled_from([0.0, 0.5, 0.9, 0.99]), decay=st.floats(0, 2)
)
def test_the_closed_form_of_adamw_solves_lyapunovs_equation(alpha, lr, beta, decay):
    found = adam_variance(alpha, 1.0, lr=lr, beta1=beta, weight_decay=decay)
    assert found == pytest.approx(frozen_variance(alpha, lr=lr, beta1=beta, weight_decay=decay), rel=1e-8)


def test_forgetting_factor():
    assert (forgetting_factor(0.9), forgetting_factor(0.9, updated="after")) == pytest.approx((0.9625, 1.0625))


def matrices(seed, dim=4):
    gen = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, dim, dim, generator=gen, dtype=torch.float64)
    return a @ a.T / dim + 0.3 * torch.eye(dim).double(), b @ b.T / dim + 0.3 * torch.eye(dim).double()


@pytest.mark.parametrize("seed", range(3))
def test_long_run_losses_without_decay_are_closed_for_any_matrices(seed):
    hessian, cov = matrices(seed)
    std = cov.diagonal().sqrt()
    wanted = {
        "sgd": float(cov.trace()),
        "signsgd": math.sqrt(math.pi / 2) * float(std.sum()),
        "adam": float(std.sum()),
        "rmsprop": float(std.sum()),
    }
    for rule, value in wanted.items():
        assert asymptotic_loss(rule, hessian, cov, lr=0.04).total == pytest.approx(0.01 * value, rel=1e-9)
        spread = stationary_covariance(rule, hessian, cov, lr=1e-4)  # of the algorithm itself
        assert 0.5 * float((hessian * spread).sum()) == pytest.approx(0.25e-4 * value, rel=2e-3)


@pytest.mark.parametrize("std", [25.0, 1e3, 1e5])
@pytest.mark.parametrize("rule", ["sgd", "signsgd", "rmsprop", "adam"])
def test_strong_noise_has_its_stationary_law(rule, std):
    """Once refused from 23 on for Adam: a step moves the mean by a millionth, and 1 + G had lost G's digits."""
    hessian, cov = matrices(3, dim=8)
    cov = cov * std**2
    scale = cov.diagonal().sqrt().sum()
    line = {"sgd": cov.trace(), "signsgd": math.sqrt(math.pi / 2) * scale}.get(rule, scale)
    spread = stationary_covariance(rule, hessian, cov, lr=1e-3, eps=0.0)
    assert 0.5 * float((hessian * spread).sum()) == pytest.approx(
        0.25e-3 * float(line), rel=4e-2 / std if rule != "sgd" else 2e-3
    )
    assert bool((torch.linalg.eigvalsh(spread) > 0).all())


@pytest.mark.parametrize("rule", ["signsgd", "adam"])
def test_stationary_law_under_strong_noise_is_where_the_moments_end(rule):
    hessian, cov = matrices(3, dim=3)
    lr, cov = 2.0, 25.0**2 * cov
    spread = stationary_covariance(rule, hessian, cov, lr=lr, betas=(0.9, 0.99))
    start, rates = torch.zeros(3).double(), iter([(lr, 1.0)] * 800)
    if rule == "adam":
        *_, (_, found) = adaptive_moments(hessian, cov, start, rates, Averaged((0.9, 0.99), bias_correction=False))
    else:
        *_, (_, found) = signsgd_moments(hessian, cov, start, rates)
    torch.testing.assert_close(found, spread, rtol=1e-5, atol=1e-5 * float(spread.max()))


@settings(deadline=None, max_examples=20)
@given(alpha=st.floats(1e-9, 1.0), beta=st.sampled_from([0.0, 0.9, 0.99]))
def test_slow_recursions_keep_their_digits(alpha, beta):
    found = frozen_variance(alpha, lr=1e-3, beta1=beta)
    assert found == pytest.approx(adam_variance(alpha, 1.0, lr=1e-3, beta1=beta), rel=1e-5)


def test_a_rate_that_is_too_large_has_no_stationary_law():
    with pytest.raises(InvalidInput, match="no stationary law"):
        stationary_covariance("adam", t64([[-1.0]]), t64([[1.0]]), lr=1e-3)


@pytest.mark.parametrize("rule", ["rmspropw", "adamw", "signsgd"])
def test_long_run_losses_with_decay(rule):
    hessian, cov = matrices(7)
    lr, decay = 1e-3, 0.8
    found = asymptotic_loss(rule, hessian, cov, lr=lr, weight_decay=decay, beta1=0.9 if rule == "adamw" else 0.0)
    spread = stationary_covariance(rule.removesuffix("w"), hessian, cov, lr=lr, weight_decay=decay, betas=(0.9, 0.999))
    assert found.variance == pytest.approx(0.5 * float((hessian * spread).sum()), rel=5e-3)
    assert found.bias == 0


def test_decay_bounds_the_loss_by_pulling_the_iterate_to_the_origin():
    one = t64([[1.0]])
    common = {"lr": 0.005, "weight_decay": 0.5, "beta1": 0.9}
    wanted = {0.1: 2.20e-4, 1.0: 5.84e-3, 10.0: 3.329e-2, 100.0: 4.59e-2}  # runs of AdamW, x* = 0.3
    for std, value in wanted.items():
        found = asymptotic_loss("adamw", one, std**2 * one, centre=t64([0.3]), **common)
        assert found.total == pytest.approx(value, rel=0.05)
    assert found.bias > 0.85 * found.total
    assert found.bias < 0.5 * 0.3**2
    strong, stronger = (
        [asymptotic_loss("adamw", one, s**2 * one, decay=d, **common).total for d in ("decoupled", "coupled")]
        for s in (100.0, 1000.0)
    )
    assert stronger[0] / strong[0] < 1.02
    assert stronger[1] / strong[1] == pytest.approx(10)  # L2 is linear in the noise


def test_bias_of_decay_is_where_the_recursion_ends():
    found = asymptotic_loss("adamw", t64([[1.0]]), t64([[4.0]]), lr=0.02, weight_decay=0.5, beta1=0.9,
                            centre=t64([1.0]))  # fmt: skip
    run = expected(Quadratic([1.0], centre=[1.0]), [0.0], optimizer="adamw", noise=2.0, lr=0.02, num_steps=1000,
                   weight_decay=0.5, betas=(0.9, 0.99))  # fmt: skip
    assert float(run.loss.value[-1]) == pytest.approx(found.total, rel=0.05)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from(["decoupled", "coupled"]), st.floats(0, 5))
def test_decayed_bounds_are_never_violated(seed, decay, theta):
    hessian, _ = matrices(seed, dim=3)
    std = 0.2 + 2 * torch.rand(3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    values = torch.linalg.eigvalsh(hessian)
    found = asymptotic_loss("rmspropw", hessian, torch.diag(std**2), lr=0.01, weight_decay=theta, decay=decay)
    bound = decayed_loss_bound(
        lr=0.01, mu=float(values[0]), smoothness=float(values[-1]), trace=float(hessian.trace()),
        std_max=float(std.max()), weight_decay=theta, decay=decay,
    )  # fmt: skip
    assert found.variance <= bound * (1 + 1e-9)


def test_the_decayed_bound_is_nearly_attained():
    eye = torch.eye(3).double()
    bound = decayed_loss_bound(lr=0.01, mu=1, smoothness=1, trace=3, std_max=2, weight_decay=1, decay="decoupled")
    assert asymptotic_loss("rmspropw", eye, 4 * eye, lr=0.01, weight_decay=1).variance == pytest.approx(bound)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sign_variance(0.0, 1, lr=0.1), "`curvature`"),
        (lambda: sign_variance(1, 1, lr=0.1, form="other"), "`form`"),
        (lambda: adam_variance(1, 1, lr=0.1, beta1=1.0), "betas"),
        (lambda: adam_variance(100, 1, lr=1.0), "stability margin"),
        (lambda: law_variance("rademacher:1", 1, lr=0.1), "rademacher|density"),
        (lambda: asymptotic_loss("lion", t64([[1.0]]), t64([[1.0]]), lr=0.1), "`optimizer`"),
        (lambda: asymptotic_loss("sgd", t64([[1.0]]), t64([[0.0]]), lr=0.1), "positive diagonal"),
        (lambda: asymptotic_loss("signsgd", t64([[1.0, 0], [0, -1]]), t64([[1.0, 0], [0, 1]]), lr=0.1), "definite"),
        (lambda: asymptotic_loss("sgd", t64([[1.0, 0], [0, 0]]), t64([[1.0, 0], [0, 1]]), lr=0.1), "definite"),
        (lambda: asymptotic_loss("adam", t64([[1.0]]), t64([[1.0]]), lr=0.1, weight_decay=1, beta1=1.0), "betas"),
        (lambda: decayed_loss_bound(lr=1, mu=2, smoothness=1, trace=3, std_max=1, weight_decay=0, decay="coupled"),
         "below `mu`"),
    ],
)  # fmt: skip
def test_what_is_refused(call, message):
    with pytest.raises((InvalidInput, Unsupported), match=message):
        call()
