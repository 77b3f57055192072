"""The SDE of signSGD with least-squares moments: moments against sampled rows, paths against the algorithm."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from signscope import InvalidInput, LeastSquares
from signscope._core.errors import Unsupported
from signscope.noise import as_noise
from signscope.schedules import Constant
from signscope.sdes.streaming import StreamingSigns, row_sign_means, streaming_paths

NOISES = [None, 0.5, "gaussian:0.3,0.5", "rademacher:0.5", "cauchy:0,1", "student-t:3"]


def problem(dim=6, noise=0.5, correlation=0.6):
    place = np.arange(dim)
    std = np.logspace(-0.3, 0.3, dim)
    cov = correlation ** np.abs(place[:, None] - place) * np.outer(std, std)
    return LeastSquares(cov, noise=noise, seed=1)


def test_mean_and_second_moment_of_the_signs_are_those_of_rows():
    """200,000 rows in six coordinates, where the limit of high dimension is far off."""
    rng, num = np.random.default_rng(0), 200_000
    for noise in ("rademacher:0.5", "cauchy:0,1"):
        case = problem(noise=noise)
        rows = rng.standard_normal((num, case.dim)) @ np.linalg.cholesky(case.cov.dense().numpy()).T
        labels = case.noise.sample((num,), rng)
        v = 2 * case.displacement
        signs = np.sign((rows @ v.numpy() - labels)[:, None] * rows)
        equation = StreamingSigns(case, Constant(1.0))
        mean = equation.means(v[None])[0].numpy()
        error = 4.5 / math.sqrt(num)
        assert np.abs(signs.mean(0) - mean).max() < error
        moment = (equation._root @ equation._root.T).numpy()
        assert np.abs(signs.T @ signs / num - moment).max() < error
        risk = float(case.excess_risk(case.target + v))
        limit = float(case.noise.phi(torch.tensor(risk))) * (case.cov.dense() @ v / case.cov.diagonal().sqrt()).numpy()
        assert np.abs(signs.mean(0) - limit).max() > 3 * error, "teeth: the limit is seen to be off"


@pytest.mark.parametrize("noise", NOISES)
def test_mean_signs_against_the_integral_they_come_from(noise):
    law = as_noise(noise)
    risk, w = 0.7, 0.9
    rho = w / math.sqrt(2 * risk)

    def inside(s):
        share = 1 - s * s
        return float(law.m(torch.tensor(1 / (4 * risk * share), dtype=torch.float64))) / math.sqrt(share)

    wanted = 2 / math.pi * quad(inside, 0, rho, epsrel=1e-11)[0]
    found = row_sign_means(torch.tensor([[w]]).double(), torch.tensor([risk]).double(), law.phi, law)
    assert float(found) == pytest.approx(wanted, rel=1e-7)


def test_mean_sign_of_a_single_coordinate():
    """Rho = 1: the integrand in u itself has a root at its end, and eight nodes would leave 3e-3."""
    law = as_noise("laplace:0.3")
    one = torch.ones(1).double()
    found = row_sign_means(math.sqrt(2) * one[None], one, law.phi, law)

    def inside(angle):  # E sign((a v - eps) a) given |a| v, v = sqrt 2: over the size of the row
        return 1 - math.exp(-math.sqrt(2) * angle / 0.3)

    wanted = 2 * quad(lambda a: inside(a) * math.exp(-a * a / 2) / math.sqrt(2 * math.pi), 0, 40)[0]
    assert float(found) == pytest.approx(wanted, abs=1e-6)


def test_diffusion_has_the_covariance_of_the_signs():
    case = problem(noise=0.2)
    equation = StreamingSigns(case, Constant(0.7))
    state = torch.stack([case.displacement, 3 * case.displacement])
    drift, spread = equation.coefficients(0.0, state)
    columns = torch.stack([spread(e.repeat(2, 1)) for e in torch.eye(case.dim).double()], -1)
    second = equation._root @ equation._root.T
    for row in range(2):
        wanted = second - torch.outer(drift[row], drift[row]) / 0.49
        torch.testing.assert_close(columns[row] @ columns[row].T, 0.49 / case.dim * wanted, rtol=1e-10, atol=1e-12)


def test_the_gaussian_model_is_root_half_pi_too_steep_in_high_dimension():
    for dim, low in ((50, 1.15), (400, 1.23)):
        case = problem(dim=dim, noise=0.5)
        v = case.displacement[None]
        exact, naive = (StreamingSigns(case, Constant(1.0), moments=m).means(v) for m in ("exact", "gaussian"))
        ratio = float((exact * naive).sum() / exact.square().sum())
        assert low < ratio < math.sqrt(math.pi / 2) + 1e-3


@pytest.mark.parametrize("noise", ["gaussian:0.5", pytest.param("cauchy:0,1", marks=pytest.mark.slow)])
def test_paths_follow_the_discrete_steps_with_the_same_moments(noise):
    """Against a loop of rows, 1,000 runs: mean within what order one leaves, spread within its error."""
    case, lr, horizon, runs = problem(dim=20, noise=noise), 0.7, 3.0, 1000
    rng = np.random.default_rng(1)
    root = np.linalg.cholesky(case.cov.dense().numpy())
    v = np.tile(case.displacement.numpy(), (runs, 1))
    for _ in range(round(horizon * case.dim)):
        rows = rng.standard_normal(v.shape) @ root.T
        residual = (rows * v).sum(1) - case.noise.sample((runs,), rng)
        v = v - lr / case.dim * np.sign(residual[:, None] * rows)
    risks = 0.5 * np.einsum("ni,ij,nj->n", v, case.cov.dense().numpy(), v)
    found = streaming_paths(case, lr=lr, horizon=horizon, num_paths=runs, times=[0.0, horizon])
    assert float(found.value[0]) == pytest.approx(float(case.excess_risk(case.start)))
    error = 4.5 * math.sqrt(float(found.stderr[-1]) ** 2 + risks.var() / runs)
    assert abs(float(found.final) - risks.mean()) < error + 1 / case.dim * risks.mean()
    assert float(found.runs[:, -1].std()) == pytest.approx(risks.std(), rel=4.5 / math.sqrt(runs) * 1.2 + 0.05)


def test_every_option_moves_the_path_and_paths_do_not_depend_on_their_number():
    case = problem()
    same = {"lr": 0.5, "horizon": 1.0, "num_paths": 5}
    base = streaming_paths(case, **same)
    for change in (
        {"lr": 0.4},
        {"seed": 1},
        {"moments": "gaussian"},
        {"dt": 0.5 / case.dim},
        {"lr": lambda t: 0.5 - 0.1 * t},
    ):
        assert not torch.equal(base.runs[:, -1], streaming_paths(case, **{**same, **change}).runs[:, -1])
    more = streaming_paths(case, **{**same, "num_paths": 9})
    torch.testing.assert_close(more.runs[:5], base.runs, rtol=1e-12, atol=1e-14)
    assert (base.time_unit, base.quantity, base.optimizer) == ("steps/dim", "excess_risk", "signsgd")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"moments": "other"}, InvalidInput, "`moments`"),
        ({"problem": problem(noise="cauchy:0,1"), "moments": "gaussian"}, InvalidInput, "second moment"),
        ({"horizon": 0.0}, InvalidInput, "`horizon`"),
        ({"times": [0.0, 2.0]}, InvalidInput, "`times`"),
        ({"times": [0.0, 1e-9]}, InvalidInput, "`times`"),
        ({"times": [1.0, 0.5]}, InvalidInput, "`times` must increase"),
        ({"times": "soon"}, InvalidInput, "`times`"),
        ({"dt": -1.0}, InvalidInput, "`dt`"),
        ({"num_paths": 0}, InvalidInput, "`num_paths`"),
        ({"problem": LeastSquares(np.ones(4001))}, Unsupported, "4000"),
    ],
)
def test_what_is_refused(change, error, words):
    options = {"lr": 0.5, "horizon": 1.0, **change}
    with pytest.raises(error, match=words):
        streaming_paths(options.pop("problem", problem()), **options)
