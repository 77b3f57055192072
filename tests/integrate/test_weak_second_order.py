"""Weak order of the schemes on a linear SDE whose noises do not commute: exact moments on both sides, no sampling."""

import itertools

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from signscope.integrate.euler_maruyama import euler_step
from signscope.integrate.weak_second_order import platen_step, shared_noise_step, trapezoid_step

PULL = torch.tensor([[-1.0, 0.4], [-0.3, -0.7]], dtype=torch.float64)
PUSH = torch.tensor([[[0.5, 0.2], [-0.3, 0.4]], [[0.1, -0.6], [0.5, 0.3]]], dtype=torch.float64)
START = torch.tensor([1.0, -0.5], dtype=torch.float64)


class Linear:
    """dY = A Y dt + B_1 Y dW_1 + B_2 Y dW_2; its first and second moments obey linear equations."""

    num_noises = 2

    def coefficients(self, time, state):
        return state @ PULL.T, lambda z: sum(z[:, r : r + 1] * (state @ PUSH[r].T) for r in range(2))


def nodes():
    """Five Gauss-Hermite nodes for each increment, both signs for each coin: exact for one step of a linear SDE."""
    x, w = np.polynomial.hermite_e.hermegauss(5)
    w = w / w.sum()
    points, weights = [], []
    for i, j in itertools.product(range(5), repeat=2):
        for coins in itertools.product((-1.0, 1.0), repeat=2):
            points.append([x[i], x[j], *coins])
            weights.append(w[i] * w[j] / 4)
    return torch.tensor(points, dtype=torch.float64), torch.tensor(weights, dtype=torch.float64)


def errors_of(step, num_steps):
    """Errors of E Y and E YY' at time 1."""
    points, weights = nodes()
    drawn = points if step is shared_noise_step else points[:, :2]
    columns = [step(Linear(), 0.0, e.repeat(len(points), 1), 1 / num_steps, drawn) for e in torch.eye(2).double()]
    maps = torch.stack(columns, -1)
    first = torch.einsum("n,nij->ij", weights, maps)
    second = torch.einsum("n,nij,nkl->ikjl", weights, maps, maps).reshape(4, 4)
    eye = torch.eye(2).double()
    rate = torch.kron(PULL, eye) + torch.kron(eye, PULL) + sum(torch.kron(b, b) for b in PUSH)
    squares = torch.kron(START, START)
    exact = torch.cat([torch.from_numpy(expm(m.numpy())) @ v for m, v in ((PULL, START), (rate, squares))])
    found = [torch.linalg.matrix_power(m, num_steps) @ v for m, v in ((first, START), (second, squares))]
    return np.abs((torch.cat(found) - exact).numpy())


def slopes(step):
    return np.log2(errors_of(step, 16) / errors_of(step, 32))


def test_scheme_for_shared_noise_has_weak_order_two():
    assert slopes(shared_noise_step) == pytest.approx(2, abs=0.12)


@pytest.mark.parametrize("step", [euler_step, trapezoid_step, platen_step])
def test_the_others_have_not_where_the_noises_do_not_commute(step):
    """Teeth: their second moments are of order one here, and twice as far off and more."""
    assert slopes(step)[2:].min() < 1.2
    assert errors_of(step, 32)[2:].max() > 2 * errors_of(shared_noise_step, 32)[2:].max()


def test_areas_between_the_motions_are_needed(monkeypatch):
    """Teeth: coins that are always heads give the iterated integrals a wrong covariance."""
    right = errors_of(shared_noise_step, 32)[2:].max()
    points, weights = nodes()
    points[:, 2:] = 1.0
    monkeypatch.setattr(__import__("sys").modules[__name__], "nodes", lambda: (points, weights))
    assert errors_of(shared_noise_step, 32)[2:].max() > 5 * right


def test_number_of_evaluations():
    class Counted(Linear):
        count = 0

        def coefficients(self, time, state):
            self.count += 1
            return super().coefficients(time, state)

    equation, state = Counted(), torch.ones(3, 2, dtype=torch.float64)
    kept = state.clone()
    shared_noise_step(equation, 0.0, state, 0.1, torch.ones(3, 4, dtype=torch.float64))
    assert equation.count == 2 * equation.num_noises + 4
    assert torch.equal(state, kept)
