"""Workers that lie after hearing the others: what a vote withstands, and what clipping does for averages."""

import numpy as np
import pytest
import torch
from scipy.stats import binom

from signscope._core.errors import InvalidInput
from signscope._core.private_stream import private_stream
from signscope.simulation.worker_attacks import Scene, against_majority, just_enough, legal, loud
from signscope.simulation.worker_rules import Crowd, Setting
from signscope.simulation.workers import simulate_workers

VOTERS, ACCURACY, NUM = 21, 0.6, 20_000
LIE = loud(-1.0, scale=1.0)


def right(theta, worker, call):
    """A gradient whose sign is right (positive) with probability `ACCURACY`."""
    return ACCURACY - torch.rand(len(theta), generator=private_stream(5, worker, call), dtype=theta.dtype)


def vote(num_liars, strategy, *, voters=VOTERS, num=NUM):
    """Outcomes of independent votes whose right answer is +1."""
    run = simulate_workers(
        [lambda theta, t, j=j: right(theta, j, t) for j in range(voters)],
        torch.zeros(num, dtype=torch.float64),
        method="majority-vote",
        lr=1.0,
        num_steps=1,
        tie="ternary",
        adversaries=dict.fromkeys(range(num_liars), strategy),
    )
    return -run.final


def law(num_liars, *, knows_truth, voters=VOTERS, accuracy=ACCURACY):
    """Exact probabilities of a right and of a wrong majority."""
    honest = voters - num_liars
    right_ones = np.arange(honest + 1)
    weight, margin = binom.pmf(right_ones, honest, accuracy), 2 * right_ones - honest
    outcome = np.sign(margin - num_liars) if knows_truth else np.sign(margin - num_liars * np.sign(margin))
    outcome = np.where(np.abs(margin) > num_liars, np.sign(margin), outcome)
    if not knows_truth and num_liars % 2 == voters % 2:  # honest ties: every liar keeps its own vote
        own = np.arange(num_liars + 1)
        tied = binom.pmf(own, num_liars, accuracy)
        split = [tied[2 * own > num_liars].sum(), tied[2 * own < num_liars].sum()]
    else:
        split = [0.0, 0.0]
    even = weight[margin == 0].sum()
    return weight[outcome > 0].sum() + even * split[0], weight[outcome < 0].sum() + even * split[1]


@pytest.mark.parametrize("num_liars", [0, 2, 3, 4, 6])
@pytest.mark.parametrize("strategy", [LIE, against_majority, just_enough])
def test_outcomes_are_those_of_the_binomial_law(num_liars, strategy):
    votes = vote(num_liars, strategy)
    for share, exact in zip(((votes > 0), (votes < 0)), law(num_liars, knows_truth=strategy is LIE), strict=True):
        stderr = (max(exact * (1 - exact), 1 / NUM) / NUM) ** 0.5
        assert abs(float(share.double().mean()) - exact) <= 4.5 * stderr


def test_knowing_the_truth_is_the_worst_and_the_limit_is_that_of_the_formula():
    """1 - 1/(2p) = 1/6 at p = 0.6, by the exact law for 2001 voters; blind flippers need one half."""
    for share, survives in ((0.15, True), (0.19, False)):
        for knows_truth in (True, False):
            good, bad = law(round(share * 2001), knows_truth=knows_truth, voters=2001)
            assert (good > bad) == survives
    for num_liars in (1, 3, 5, 7):
        worst, milder = (law(num_liars, knows_truth=k) for k in (True, False))
        assert worst[0] - worst[1] < milder[0] - milder[1]
    flips = simulate_workers(
        [lambda theta, t, j=j: right(theta, j, t) for j in range(VOTERS)],
        torch.zeros(NUM, dtype=torch.float64),
        method="majority-vote",
        lr=1.0,
        num_steps=1,
        flipped=range(8),  # 38%, more than twice the share of liars that is too much
    )
    assert float(-flips.final.mean()) > 4.5 / NUM**0.5


def test_those_who_do_just_enough_agree_with_the_outcome_more_than_honest_workers():
    """The same outcomes as open contradiction, so that agreement with the majority does not tell who lies."""
    heard = []

    def spied(scene: Scene):
        wanted = just_enough(scene)
        heard.append((wanted.sign(), torch.stack(scene.honest)))
        return wanted

    outcome = vote(4, spied).sign()
    lied, honest = heard[0]
    lied, honest = lied[: len(outcome)], honest[:, : len(outcome)]
    decided = outcome != 0
    assert (lied == outcome)[decided].double().mean() > (honest == outcome)[:, decided].double().mean() + 0.1
    assert torch.equal(outcome, vote(4, against_majority).sign())


@pytest.mark.slow
def test_liars_keep_a_descent_away_from_the_optimum():
    """Twenty workers. Where honest workers are coins, those who know the truth decide, however few they are.

    Those who overturn whatever the others say are right as often as wrong there. With m honest workers their margin
    is about N(0, m), so that they push away only beyond sqrt(2 log 2) sqrt(m): 2 of 20 do not, 6 of 20 do.
    """
    blind = {bad: rest(None, bad) for bad in (2, 6)}
    knows = {bad: rest(lambda scene: -far(scene), bad) for bad in (2, 6)}
    overturns = {bad: rest(against_majority, bad) for bad in (2, 6)}
    assert blind[2] < blind[6] < 0.15
    assert overturns[2] < 1.2 * blind[2]
    assert overturns[6] > 3 * blind[6]
    assert knows[2] > 2 * blind[2]
    assert knows[6] > overturns[6]


def rest(strategy, bad):
    """Mean distance from the optimum at last; without a strategy the bad workers flip their signs."""
    noise = torch.randn(100, 20, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    run = simulate_workers(
        [lambda theta, t, j=j: theta + noise[t, j] for j in range(20)],
        torch.full((32,), 0.4, dtype=torch.float64),
        method="majority-vote",
        lr=0.02,
        num_steps=100,
        tie="random",
        **({"flipped": range(bad)} if strategy is None else {"adversaries": dict.fromkeys(range(bad), strategy)}),
    )
    return float(run.path[50:].abs().mean())


def far(scene):
    """Signs of the parameters, padded: the true gradient's."""
    signs = torch.zeros_like(scene.own)
    signs[: len(scene.theta)] = scene.theta.sign()
    return signs


@pytest.mark.parametrize("max_scale", [0.1, 0.3])
def test_a_clipped_scale_moves_dvr_by_no_more_than_the_bound(max_scale):
    """n = 4, beta = 0.5, one liar at full volume: z carries rho_max / (n beta), where 3/4 of g balances it."""
    run = dvr(loud(-1.0, scale=1e9), max_scale=max_scale)
    injected = max_scale / (4 * 0.5)
    assert float(run.path[100:].mean()) == pytest.approx(injected * 4 / 3, abs=0.02)
    assert float(dvr(None, max_scale=max_scale).path[100:].mean()) == pytest.approx(0, abs=0.02)


def test_without_a_limit_one_liar_decides_alone_and_nonsense_counts_for_nothing():
    assert float(dvr(loud(-1.0, scale=1e9), max_scale=None).final.min()) > 2
    for nonsense in (float("nan"), float("inf")):
        quiet = dvr(loud(1.0, scale=nonsense), max_scale=None)
        assert float(quiet.path[100:].abs().mean()) < 0.05


def dvr(strategy, *, max_scale):
    return simulate_workers(
        [lambda theta, _: theta] * 4,
        torch.full((8,), 0.5, dtype=torch.float64),
        method="dvr-sign",
        beta=0.5,
        lr=0.01,
        num_steps=200,
        block_size=8,
        max_scale=max_scale,
        adversaries={} if strategy is None else {0: strategy},
    )


def test_a_lie_has_the_form_of_a_message():
    for method in ("majority-vote", "dvr-sign"):
        setting = Setting(method, 2, (64,), 0.1, 0.0, 1.0, None, "sign", 8, "parity", 0, (0.25, 0.75), 2.0)
        crowd = Crowd(setting, setting.places, [{}, {}])
        wanted = torch.linspace(-3, 3, len(crowd.valid), dtype=torch.float64)
        message = legal(crowd, 1, wanted, torch.ones_like(wanted))
        if method == "majority-vote":
            assert set(message.tolist()) == {-1.0, 1.0}
        else:
            sizes = message.view(-1, 8).abs()
            assert torch.equal(sizes.amin(1), sizes.amax(1))
            assert float(sizes.max()) == 2.0 * 0.75
        assert bool(((message > 0) == (wanted >= 0)).all())


def test_liars_must_be_workers():
    with pytest.raises(InvalidInput, match="name workers from 0 to 1"):
        simulate_workers([right] * 2, torch.zeros(1), method="ssdm", lr=0.1, num_steps=1, adversaries={2: just_enough})
