"""Densities of known noise: the bias at few samples, its corrections, and how often the interval holds."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from signscope._core.norms import density_of
from signscope.measure import gradient_noise
from signscope.measure.jackknife import c4, corrected, spread_of
from signscope.measure.merging import merged_and_left

DIM = 20_000
SIGMA = torch.as_tensor(norm.ppf((torch.arange(DIM).double() + 0.5) / DIM)).exp()  # lognormal(0, 1), without chance
TRUE = density_of(float(SIGMA.sum()), float(SIGMA.norm()), DIM)

# noise: rows n, then raw, c4 and jackknife of the specification, whose own sigmas have density 0.3738
TABLE = {
    "gaussian": {8: (0.348, 0.374, 0.378), 32: (0.365, 0.371, 0.372), 128: (0.371, 0.373, 0.373)},
    "t5": {8: (0.322, 0.346, 0.360), 32: (0.348, 0.354, 0.360), 128: (0.373, 0.374, 0.377)},
    "active 10%": {8: (0.137, 0.147, 0.229), 32: (0.285, 0.289, 0.370), 128: (0.350, 0.351, 0.372)},
    "active 1%": {8: (0.014, 0.015, 0.027), 32: (0.067, 0.068, 0.121), 128: (0.180, 0.181, 0.284)},
}


def noise_rows(kind, n, gen):
    rows = torch.randn(n, DIM, generator=gen, dtype=torch.float64)
    if kind == "t5":
        chi = sum(torch.randn(n, DIM, generator=gen, dtype=torch.float64) ** 2 for _ in range(5))
        rows = rows / (chi / 5).sqrt() * math.sqrt(3 / 5)
    if kind.startswith("active"):
        share = float(kind.removeprefix("active ").removesuffix("%")) / 100
        rows = rows * (torch.rand(n, DIM, generator=gen, dtype=torch.float64) < share) / math.sqrt(share)
    return rows * SIGMA


def estimate(rows):
    """Raw, c4 and jackknife densities of rows, group k mod 4, by the package's own pieces."""
    n = len(rows)
    groups = [rows[g::4] for g in range(4)]
    counts = torch.tensor([len(g) for g in groups])
    means = torch.stack([g.mean(0) for g in groups])
    m2s = torch.stack([((g - g.mean(0)) ** 2).sum(0) for g in groups])
    whole = merged_and_left(means, m2s, counts.double())
    found = corrected(spread_of(whole.m2, whole.left_m2, counts))
    return found.density_raw, found.density_raw / c4(n) ** 2, found


@pytest.mark.parametrize("kind", TABLE)
@pytest.mark.parametrize("n", [8, 32])
def test_table_of_the_specification(kind, n):
    gen = torch.Generator().manual_seed(n)
    found = [estimate(noise_rows(kind, n, gen)) for _ in range(4)]
    means = [sum(f[i] for f in found) / 4 for i in (0, 1)] + [sum(f[2].density for f in found) / 4]
    allowed = 0.006 if kind == "gaussian" else 0.02  # the table shows single draws, which scatter with heavy tails
    for mean, value in zip(means, TABLE[kind][n], strict=True):
        assert mean == pytest.approx(value * TRUE / 0.3738, abs=allowed)


def test_rare_coordinates_against_their_own_mean_deviation():
    """Equal active coordinates: densities are squares of mean standard deviations, here from a plain loop."""
    rng, share, n = np.random.default_rng(0), 0.1, 8
    rows = rng.standard_normal((200_000, n)) * (rng.random((200_000, n)) < share) / share**0.5
    whole, part = rows.std(1, ddof=1).mean(), rows[:, : n * 3 // 4].std(1, ddof=1).mean()
    gen = torch.Generator().manual_seed(3)
    raw, _, jack = estimate(noise_rows("active 10%", n, gen) / SIGMA)
    assert raw == pytest.approx(whole**2, abs=0.01)
    assert jack.density == pytest.approx((4 * whole - 3 * part) ** 2, abs=0.02)


def test_correction_helps_and_rare_coordinates_stay_low():
    gen = torch.Generator().manual_seed(1)
    raw, by_c4, jack = estimate(noise_rows("gaussian", 16, gen))
    assert raw < 0.975 * TRUE  # teeth: uncorrected is off by more than the others allow
    assert by_c4 == pytest.approx(TRUE, rel=0.01)
    assert jack.density == pytest.approx(TRUE, rel=0.012)
    assert estimate(noise_rows("active 1%", 32, gen))[2].density < 0.5 * TRUE


def test_the_jackknife_on_groups_of_unequal_size_by_hand():
    """Groups of 3, 3, 2, 2 rows: pseudo-values by deleting rows, typed from Busing, Meijer and van der Leeden."""
    rows = noise_rows("gaussian", 10, torch.Generator().manual_seed(4))[:, :500]
    found = estimate(rows)[2]

    def statistics(kept):
        std = kept.std(0)
        return float(std.sum()), float(std.sum() ** 2 / (500 * (std**2).sum()))

    whole = statistics(rows)
    left = [(10 / len(rows[g::4]), statistics(rows[torch.arange(10) % 4 != g])) for g in range(4)]
    centres = [4 * whole[i] - sum((1 - 1 / h) * part[i] for h, part in left) for i in (0, 1)]
    pseudo = [(h, h * whole[1] - (h - 1) * part[1]) for h, part in left]
    stderr = math.sqrt(sum((value - centres[1]) ** 2 / (h - 1) for h, value in pseudo) / 4)
    assert found.sigma1 == pytest.approx(centres[0], rel=1e-10)
    assert found.density - found.low == pytest.approx(3.182446 * stderr, rel=1e-6)  # t with 3 degrees of freedom
    assert found.density == pytest.approx(centres[0] ** 2 / (500 * float(rows.var(0).sum())), rel=1e-10)


def test_c4_table():
    table = {2: 0.6366, 3: 0.7854, 4: 0.8488, 8: 0.9313, 16: 0.9672, 32: 0.9840, 64: 0.9921, 128: 0.9961}
    assert {n: round(c4(n) ** 2, 4) for n in table} == table


def test_two_over_pi_is_the_density_of_one_gaussian_vector_not_of_isotropic_noise(vector, rows_loss):
    gen = torch.Generator().manual_seed(0)
    rows = torch.randn(32, 1, DIM, generator=gen)
    assert density_of(float(rows[0].abs().sum()), float(rows[0].norm()), DIM) == pytest.approx(2 / math.pi, abs=0.01)
    report = gradient_noise(vector(DIM), rows_loss, list(rows), num_batches=32)
    assert report.density == pytest.approx(1, abs=0.01)


def test_the_interval_holds():
    """Few coordinates, so that the density scatters; four groups make the interval wide, hence the upper limit."""
    gen, inside, rounds, dim = torch.Generator().manual_seed(7), 0, 200, 60
    sigma = SIGMA[:: DIM // dim][:dim]
    truth = density_of(float(sigma.sum()), float(sigma.norm()), dim)
    for _ in range(rounds):
        rows = sigma * torch.randn(32, dim, generator=gen, dtype=torch.float64)
        _, _, found = estimate(rows)
        inside += found.low <= truth <= found.high
    assert 0.88 * rounds <= inside <= 0.995 * rounds  # 95% less 4.5 binomial standard errors


def test_validation_on_the_quadratic_of_the_specification():
    """dim 12, n = 32, M = 8: c4 and jackknife remove the bias of sigma1 that raw keeps, over 200 repeats."""
    gen = torch.Generator().manual_seed(2)
    sigma = torch.linspace(0.2, 9, 12, dtype=torch.float64)
    raw, jack, squares = [], [], []
    for _ in range(200):
        rows = sigma * torch.randn(32, 12, generator=gen, dtype=torch.float64)
        found = estimate(rows)[2]
        raw.append(found.sigma1_raw)
        jack.append(found.sigma1)
        squares.append(found.sigma2**2)
    raw, jack, squares = (torch.tensor(v) for v in (raw, jack, squares))
    stderr = float(jack.std()) / 200**0.5
    assert abs(float(jack.mean() - sigma.sum())) < 4.5 * stderr
    assert float(raw.mean() / sigma.sum()) == pytest.approx(c4(32), abs=4.5 * stderr / float(sigma.sum()))
    assert float(sigma.sum() - raw.mean()) > 2 * stderr  # teeth
    assert abs(float(squares.mean() - (sigma**2).sum())) < 4.5 * float(squares.std()) / 200**0.5


def test_the_interval_allows_for_what_the_correction_leaves():
    """Coordinates that are active in a tenth of 8 batches: the estimate is far too low, and the interval says so."""
    gen, dim, inside, below = torch.Generator().manual_seed(0), 300, 0, 0
    model = nn.Module()
    model.w = nn.Parameter(torch.zeros(dim))
    for _ in range(30):
        active = torch.rand(8, 1, dim, generator=gen) < 0.1
        rows = list(active * torch.randn(8, 1, dim, generator=gen))  # true density 1
        found = gradient_noise(model, lambda m, b: (b @ m.w).mean(), rows, num_batches=8).overall
        inside += found.density_high > 0.95
        below += found.density < 0.8
    assert below == 30
    assert inside >= 25
