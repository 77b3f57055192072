"""All workers in one process: which methods are biased when the workers' data differ, and by how much."""

import itertools
import math

import numpy as np
import pytest
import torch

from signscope._core.errors import InvalidInput
from signscope.simulation.workers import simulate_workers

CENTRES = (1.0, 1.0, -4.0)


def quadratics(centres=CENTRES, dim=1):
    return [lambda theta, _, c=c: theta - c for c in centres]


def full_quadratics():
    return [lambda theta, c=c: theta - c for c in CENTRES]


OPTIONS = {
    "majority-vote": {},
    "sto-sign": {"radius": 6.0},
    "ssdm": {"momentum": 0.0},
    "dvr-sign": {"beta": 0.3},
    "dvr-q": {"beta": 0.3},
    "dvr-sign-fs": {"full_gradients": full_quadratics(), "period": 10},
    "dvr-q-fs": {"full_gradients": full_quadratics(), "period": 10},
    "ef-sign": {},
}


@pytest.mark.parametrize(
    ("method", "limit"),
    [
        ("majority-vote", 1.0),
        ("ssdm", 1.0),
        ("dvr-sign", -2 / 3),
        ("dvr-q", -2 / 3),
        ("dvr-sign-fs", -2 / 3),
        ("dvr-q-fs", -2 / 3),
        ("ef-sign", -2 / 3),
    ],
)
def test_heterogeneous_quadratics(method, limit):
    """c = (1, 1, -4): the optimum is -2/3, the median is 1."""
    run = simulate_workers(
        quadratics(),
        torch.zeros(1, dtype=torch.float64),
        method=method,
        lr=lambda move: 0.2 / math.sqrt(1 + move) if method != "ef-sign" else 0.05,
        num_steps=3000,
        block_size=8,
        **OPTIONS[method],
    )
    tail = run.path[-500:].mean()
    assert float(tail) == pytest.approx(limit, abs=0.02)
    assert not float(tail) == pytest.approx(1.0 if limit < 0 else -2 / 3, abs=0.5)  # teeth


def test_sto_sign_stops_between():
    """The reference value -0.751 is that of the drift root; the sign of three random signs sees a cubic correction."""
    run = simulate_workers(
        quadratics(),
        torch.zeros(1, dtype=torch.float64),
        method="sto-sign",
        lr=0.002,
        num_steps=30_000,
        radius=6.0,
        record_every=5,
    )
    m = [(run.path[2000:].mean() - c) / 6 for c in CENTRES]
    drift = (sum(m) - math.prod(m)) / 2
    assert abs(float(drift)) < 0.01
    assert float(run.path[2000:].mean()) != pytest.approx(-2 / 3, abs=0.03)


def test_three_voter_identity():
    means = (0.3, -0.5, 0.8)
    exact = sum(
        math.prod((1 + q * m) / 2 for q, m in zip(signs, means, strict=True)) * np.sign(sum(signs))
        for signs in itertools.product((-1, 1), repeat=3)
    )
    assert exact == pytest.approx((sum(means) - math.prod(means)) / 2, rel=1e-12)
    num = 60_000
    votes = one_move(means, num, tie="parity")
    assert abs(votes.mean() - exact) <= 4.5 * votes.std() / math.sqrt(num)
    with pytest.raises(AssertionError):
        assert abs(votes.mean() - sum(means) / 2) <= 4.5 * votes.std() / math.sqrt(num)


def one_move(means, num, *, tie, seed=0):
    """Signs of one stochastic vote on many independent coordinates with the given means."""
    run = simulate_workers(
        [lambda theta, _, m=m: torch.full_like(theta, m) for m in means],
        torch.zeros(num, dtype=torch.float64),
        method="sto-sign",
        lr=1.0,
        num_steps=1,
        radius=1.0,
        tie=tie,
        seed=seed,
    )
    return -run.final


TABLE = {3: 0.648, 5: 0.68256, 7: 0.710208, 15: 0.786897, 4: 0.4752, 8: 0.594086}
TIES = {4: 0.3456, 8: 0.232243}


@pytest.mark.parametrize("voters", TABLE)
def test_vote_table(voters):
    """p = 0.6: share of right votes and of ties."""
    num = 40_000
    votes = one_move([0.2] * voters, num, tie="ternary", seed=voters)
    for share, expected in (((votes > 0), TABLE[voters]), ((votes == 0), TIES.get(voters, 0.0))):
        assert abs(share.double().mean() - expected) <= 4.5 * math.sqrt(expected * (1 - expected) / num)


def test_a_tie_that_always_goes_up_is_biased_and_ours_is_not():
    """n = 4, p = 0.6: with ties kept or by parity the mean vote is odd in the sign of the truth."""
    num = 40_000
    for tie in ("parity", "random", "ternary"):
        up, down = (one_move([m] * 4, num, tie=tie, seed=1).mean() for m in (0.2, -0.2))
        assert abs(up - 0.296) <= 4.5 / math.sqrt(num)
        assert abs(up + down) <= 4.5 * math.sqrt(2 / num)
    assert 0.4752 + 0.3456 - 0.1792 == pytest.approx(0.642, abs=1e-3)  # the biased rule, for comparison


def log_cosh(dim=8, amplified=True):
    """Two workers pull one way, the third twice as strongly the other way; together they are 0.1 log cosh."""
    pulls = (0.45, 0.45, -0.9)
    return [lambda theta, _, b=b: 0.1 * torch.tanh(theta) + b for b in pulls]


def test_amplified_log_cosh_shows_the_floor_of_the_majority():
    """Bias u^3 = 0.0911 at the optimum; the majority rests where the mean gradient is -0.0506."""
    u = 0.45
    m = np.array([0.45, 0.45, -0.9])
    assert (m.sum() - m.prod()) / 2 == pytest.approx(u**3, rel=1e-12)
    run = simulate_workers(
        log_cosh(),
        torch.zeros(400, dtype=torch.float64),
        method="ssvr-mv",
        lr=0.01,
        num_steps=1500,
        beta=1.0,
        radius=1.0,
        record_every=10,
    )
    slopes = 0.1 * torch.tanh(run.path[50:])
    by_coordinate = slopes.mean(0)
    stderr = by_coordinate.std() / math.sqrt(400)
    assert abs(by_coordinate.mean() + 0.0507) <= 4.5 * stderr + 0.001  # the walk has curvature effects of order lr
    assert abs(by_coordinate.mean()) > 20 * stderr  # far from the optimum


def test_dvr_and_option_two_find_the_optimum_of_log_cosh():
    for method, options in (("dvr-sign", {"beta": 0.2}), ("ssvr-mv", {"server": "random", "beta": 1.0})):
        run = simulate_workers(
            log_cosh(),
            torch.full((64,), -0.5, dtype=torch.float64),
            method=method,
            lr=0.01,
            num_steps=3000 if method == "ssvr-mv" else 800,
            radius=1.0,
            block_size=8,
            record_every=10,
            **options,
        )
        slopes = 0.1 * torch.tanh(run.path[len(run.path) // 2 :])
        assert abs(float(slopes.mean())) < 0.015


# --- faults studied in one process ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flipped", "expected"), [(0, 1), (1, 1), (2, 1), (3, -1)])
def test_sign_flipping_workers_are_tolerated_below_half(flipped, expected):
    """Five workers that agree: up to two may send the opposite of everything."""
    run = simulate_workers(
        [lambda theta, _: torch.ones_like(theta)] * 5,
        torch.zeros(4),
        method="majority-vote",
        lr=0.1,
        num_steps=3,
        flipped=range(flipped),
    )
    torch.testing.assert_close(run.final, torch.full((4,), -0.3 * expected))


def test_late_votes_are_those_sent_earlier():
    """All votes two moves late: x_{t+1} = x_t - lr sign(g(x_{t-2})); the oscillation grows with the delay."""
    widths = []
    for delay in (0, 2, 6):
        run = simulate_workers(
            [lambda theta, _: theta] * 3,
            torch.tensor([1.0], dtype=torch.float64),
            method="majority-vote",
            lr=0.09,
            num_steps=100,
            delays=[delay] * 3,
        )
        x = [1.0]
        for t in range(100):
            x.append(x[t] - 0.09 * math.copysign(1, x[max(t - delay, 0)]))
        np.testing.assert_allclose(run.path[:, 0], x, atol=1e-12)
        widths.append(float(run.path[50:].abs().max()))
    assert widths[0] < widths[1] < widths[2]


def test_a_minority_of_late_votes_changes_little_and_late_differences_do_no_lasting_harm():
    gen = torch.Generator().manual_seed(0)
    noise = torch.randn(4, 600, 16, generator=gen, dtype=torch.float64)
    workers = [lambda theta, t, j=j: theta + 0.3 * noise[j][t] for j in range(4)]
    for method in ("majority-vote", "dvr-sign"):
        ends = [
            float(
                simulate_workers(
                    workers,
                    torch.ones(16, dtype=torch.float64),
                    method=method,
                    lr=0.01,
                    num_steps=600,
                    block_size=16,
                    delays=delays,
                )
                .path[300:]
                .abs()
                .mean()
            )
            for delays in ([0] * 4, [0, 0, 0, 5])
        ]
        assert ends[1] < 2 * ends[0] + 0.02, method


def test_bad_arguments():
    with pytest.raises(InvalidInput, match="`method` must be one of"):
        simulate_workers(quadratics(), torch.zeros(1), method="adam", lr=0.1, num_steps=1)
    with pytest.raises(InvalidInput, match="flat start"):
        simulate_workers([], torch.zeros(1), method="ssdm", lr=0.1, num_steps=1)
    with pytest.raises(InvalidInput, match="`delays`, `weights` need 3 entries"):
        simulate_workers(quadratics(), torch.zeros(1), method="ssdm", lr=0.1, num_steps=1, delays=[1])
    with pytest.raises(InvalidInput, match="needs `full_gradients`"):
        simulate_workers(quadratics(), torch.zeros(1), method="dvr-q-fs", lr=0.1, num_steps=1)
