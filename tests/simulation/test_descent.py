"""`descend`: the optimizers as torch and the algorithm boxes have them, under a given gradient noise."""

import numpy as np
import pytest
import scipy.stats
import torch

from signscope import InvalidInput, schedules
from signscope.integrate.brownian import Normals
from signscope.problems.landscapes import DoubleWell, Quadratic
from signscope.problems.oracle_noise import GaussianNoise, LawNoise
from signscope.sdes import expected
from signscope.simulation.descent import descend

H = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
START = torch.tensor([1.0, -0.5], dtype=torch.float64)
STEPS, LR = 30, 0.05


def noise_of(path):
    draws = Normals(3, "gradient", range(4), width=2, dtype=torch.float64, device=torch.device("cpu"))
    return [0.7 * draws.next()[path].clone() for _ in range(STEPS)]


def by_torch(make, path, *, decay=0.0):
    x = START.clone().requires_grad_()
    optimizer = make([x])
    for z in noise_of(path):
        x.grad = H @ x.detach() + z
        optimizer.step()
    return x.detach()


@pytest.mark.parametrize(
    ("optimizer", "options", "make"),
    [
        ("sgd", {}, lambda p: torch.optim.SGD(p, lr=LR)),
        ("adam", {"betas": (0.8, 0.95)}, lambda p: torch.optim.Adam(p, lr=LR, betas=(0.8, 0.95))),
        ("adamw", {"betas": (0.8, 0.95), "weight_decay": 0.3, "eps": 1e-3},
         lambda p: torch.optim.AdamW(p, lr=LR, betas=(0.8, 0.95), weight_decay=0.3, eps=1e-3)),
    ],
)  # fmt: skip
def test_paths_are_those_of_torch(optimizer, options, make):
    observe = {f"x{i}": lambda x, i=i: x[:, i] for i in range(2)}
    runs = descend(
        Quadratic(H), START, optimizer=optimizer, noise=0.7, lr=LR, num_steps=STEPS, num_paths=4, seed=3,
        observe=observe, **options,
    )  # fmt: skip
    for path in range(4):
        found = torch.stack([runs.observed[f"x{i}"].runs[path, -1] for i in range(2)])
        torch.testing.assert_close(found, by_torch(make, path), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("optimizer", ["signsgd", "rmspropw"])
def test_paths_are_those_of_the_box(optimizer):
    decay, beta, cosine = 0.2, 0.9, schedules.Cosine(1.0, horizon=2.0)
    runs = descend(
        Quadratic(H), START, optimizer=optimizer, noise=0.7, lr=LR, num_steps=STEPS, num_paths=4, seed=3,
        schedule=cosine, weight_decay=decay, betas=(0.5, beta), observe={"x": lambda x: x[:, 0]},
    )  # fmt: skip
    x = START.clone()
    v = (H @ x) ** 2 + 0.49
    for k, z in enumerate(noise_of(2)):
        g = H @ x + z
        v = beta * v + (1 - beta) * g**2
        size = LR * float(cosine(torch.tensor(k * LR, dtype=torch.float64)))
        x = x - size * (torch.sign(g) if optimizer == "signsgd" else g / (v.sqrt() + 1e-8)) - size * decay * x
    torch.testing.assert_close(runs.observed["x"].runs[2, -1], x[0], rtol=1e-12, atol=1e-13)


def test_zero_gradients_do_not_move_signsgd():
    runs = descend(Quadratic([1.0]), [0.0], optimizer="signsgd", noise=None, lr=0.1, num_steps=3, num_paths=1)
    assert float(runs.mean[-1]) == 0.0
    assert float(runs.variance.max()) == 0.0


@pytest.mark.parametrize("noise", [0.8, scipy.stats.t(1), scipy.stats.laplace(), scipy.stats.gumbel_r()])
def test_signsgd_in_a_double_well_has_the_law_of_its_chain(noise):
    same = {"optimizer": "signsgd", "noise": noise, "lr": 0.1, "num_steps": 30, "times": [0, 10, 30]}
    runs = descend(DoubleWell(1), [0.1], num_paths=3000, **same)
    law = expected(DoubleWell(1), [0.1], **same)
    assert law.loss.provenance["method"] == "exact law on its lattice"
    assert ((runs.loss.value - law.loss.value).abs()[1:] <= 4.5 * runs.loss.stderr[1:]).all()
    error = 4.5 * (law.variance / 3000).sqrt()
    assert ((runs.mean - law.mean).abs()[1:] <= error[1:]).all()


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd", "rmsprop", "adamw"])
def test_mean_loss_is_that_of_the_recursions_under_schedules_of_rate_and_noise(optimizer):
    noise = GaussianNoise(2, cov=[[1.0, 0.4], [0.4, 0.5]], batch_size=2, scale=lambda t: 1 + 0.8 * np.sin(2 * t))
    same = {
        "optimizer": optimizer,
        "noise": noise,
        "lr": 0.01,
        "num_steps": 300,
        "schedule": schedules.Cosine(1.0, horizon=3.0),
    }
    same |= {"betas": (0.9, 0.99), "times": [0, 100, 300], "weight_decay": 0.2 if optimizer == "adamw" else 0.0}
    runs = descend(Quadratic(H), START, num_paths=2000, **same)
    theory = expected(Quadratic(H), START, **same).loss.value
    # 2%: what the closure and the mean of V leave out
    assert (
        (runs.loss.value - theory).abs() <= 4.5 * runs.loss.stderr + (0 if optimizer == "sgd" else 0.02) * theory
    ).all()


def test_heavy_tails_are_run_and_bad_input_is_named():
    runs = descend(Quadratic([1.0]), [1.0], optimizer="sgd", noise="cauchy:1", lr=0.01, num_steps=20, num_paths=9)
    assert runs.loss.status == "ok"
    with pytest.raises(InvalidInput, match="second moment"):
        descend(Quadratic([1.0]), [1.0], optimizer="rmsprop", noise="cauchy:1", lr=0.01, num_steps=2)
    with pytest.raises(InvalidInput, match="Gaussian"):
        descend(
            Quadratic([1.0]), [1.0], optimizer="sgd", noise=LawNoise("laplace:1", 1), lr=0.01, num_steps=2,
            brownian_substeps=2,
        )  # fmt: skip
