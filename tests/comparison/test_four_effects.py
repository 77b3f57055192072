"""`five_effects`: its curves, crossing times, verdict, table, files and picture."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import brentq

from signscope import InvalidInput, LeastSquares, predict
from signscope.comparison.four_effects import five_effects
from signscope.plots.effects import NAMES, plot_effects
from signscope.rules.effects import EFFECTS

SHARP = "mixture:0.9,0,0.1;0.1,0,2"  # psi passes pi/2 as the risk falls
HOLLOW = "mixture:0.425,-0.6,0.1;0.425,0.6,0.1;0.15,0,2"  # psi passes 1, downwards


def problem(noise=SHARP, dim=40) -> LeastSquares:
    scales = np.logspace(-0.2, 0.2, dim)
    cov = np.diag(scales**2) + 0.2 * np.outer(scales, scales)
    return LeastSquares(cov * dim / np.trace(cov), noise=noise, seed=1)


@pytest.fixture(scope="module")
def sharp():
    return five_effects(problem(), lr=0.2, horizon=8, rtol=1e-4)


def test_five_curves_in_order_and_the_last_is_signsgd(sharp):
    assert tuple(curve.optimizer for curve in sharp.curves) == EFFECTS
    signs = predict(problem(), "signsgd", lr=0.2, horizon=8)
    torch.testing.assert_close(sharp["reshaping"].value, signs.value, rtol=1e-3, atol=0)
    assert sharp["compression"] is sharp.curves[2]
    starts = {float(curve.value[0]) for curve in sharp.curves}
    assert max(starts) - min(starts) < 1e-12


@pytest.mark.parametrize(
    ("noise", "name", "level"),
    [pytest.param(SHARP, "half_pi", math.pi / 2, marks=pytest.mark.slow), (HOLLOW, "one", 1.0)],
)
def test_crossing_times_are_those_of_the_risk(noise, name, level):
    """The risk at which psi passes the level, found from psi alone, is met at the reported time."""
    law = problem(noise)
    lr = 0.2 if noise == SHARP else 0.1
    found = five_effects(law, lr=lr, horizon=30, times=[0.0, 30.0])
    (time,) = found.crossings[name]
    wanted = brentq(lambda r: float(law.noise.psi(torch.tensor(r))) - level, 0.02, 0.5)
    at = predict(law, "signsgd", lr=lr, horizon=30, times=[time]).final
    assert at == pytest.approx(wanted, rel=1e-4)
    other = "one" if name == "half_pi" else "half_pi"
    assert found.crossings[other] == ()
    assert f"t = {time:.3g}" in found.verdict


def test_batches_enter_psi_and_the_rates():
    law = problem("gaussian:0.4")
    one, four = (five_effects(law, lr=0.2, horizon=2, batch_size=b, rtol=1e-4) for b in (1, 4))
    risk = law.excess_risk(law.start)
    assert float(four.psi.value[0]) == pytest.approx(float(law.noise.psi(risk, batch_size=4)), rel=1e-9)
    assert all(b.final < a.final for a, b in zip(one.curves, four.curves, strict=True))
    assert four.summary()["options"]["batch_size"] == 4


def test_verdicts():
    gaussian = five_effects(problem("gaussian:0.3"), lr=0.2, horizon=2, rtol=1e-4)
    assert "psi is 1 throughout" in gaussian.verdict
    assert gaussian.crossings == {"one": (), "half_pi": ()}
    laplace = five_effects(problem("laplace:0.4"), lr=0.2, horizon=2, rtol=1e-4)
    assert "descend faster throughout" in laplace.verdict
    assert "SGD throughout (psi stays below pi/2)" in laplace.verdict
    hollow = five_effects(problem(HOLLOW), lr=0.1, horizon=30, rtol=1e-4)
    assert "faster until t =" in hollow.verdict
    assert "slower from t =" in hollow.verdict
    cauchy = five_effects(problem("cauchy:2,1"), lr=0.2, horizon=2, rtol=1e-4)
    assert "infinite variance" in cauchy.verdict
    assert [c.status for c in cauchy.curves] == ["undefined"] * 4 + ["ok"]


def test_own_best_rates_meet_at_psi_of_half_pi():
    """Isotropic K: the steepest descents of greedy signSGD and greedy SGD are equal where psi is pi/2."""
    law = LeastSquares(np.ones(10), noise=SHARP)
    risk = brentq(lambda r: float(law.noise.psi(torch.tensor(r))) - math.pi / 2, 0.02, 0.5)
    slope = float(law.noise.phi(torch.tensor(risk)))
    power = risk + 0.5 * law.noise.second_moment
    signs = max(2 * lr * slope * risk - lr**2 / 2 for lr in np.linspace(0, 2, 20_001))
    plain = max(2 * lr * risk - lr**2 * power for lr in np.linspace(0, 2, 20_001))
    assert signs == pytest.approx(plain, rel=1e-6)


def test_table_frame_and_factors(sharp):
    assert list(sharp.table["effect"]) == list(EFFECTS)
    finals = sharp.table["final"].to_numpy()
    np.testing.assert_allclose(sharp.table["factor"][1:], finals[1:] / finals[:-1])
    frame = sharp.to_frame()
    assert list(frame.columns) == ["effect", "time", "value"]
    assert set(frame["effect"]) == {*EFFECTS, "psi"}
    assert len(frame) == 6 * 201


def test_files(sharp, tmp_path):
    folder = sharp.save(tmp_path / "out")
    assert sorted(p.name for p in folder.iterdir()) == ["curves.csv", "risk.png", "summary.json"]
    pd.testing.assert_frame_equal(pd.read_csv(folder / "curves.csv"), sharp.to_frame())
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary == json.loads(json.dumps(sharp.summary()))
    assert summary["command"] == "effects"
    assert summary["effects"]["reshaping"]["final"] == sharp.curves[-1].final
    assert summary["psi"]["crosses_half_pi"] == list(sharp.crossings["half_pi"])
    with pytest.raises(InvalidInput, match="already holds a result"):
        sharp.save(tmp_path / "out")
    sharp.save(tmp_path / "out", force=True)


def test_picture(sharp):
    figure = sharp.figure()
    left, right = figure.axes
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == [NAMES[name] for name in EFFECTS]
    drawn = [line for line in left.lines if not line.get_label().startswith("_")]
    np.testing.assert_array_equal(drawn[0].get_ydata(), sharp.curves[0].value)
    np.testing.assert_array_equal(right.lines[0].get_ydata(), sharp.psi.value)
    assert {line.get_ydata()[0] for line in right.lines[1:]} == {1.0, math.pi / 2}
    looks = {(line.get_color(), line.get_linestyle()) for line in drawn}
    assert len(looks) == 5
    cauchy = five_effects(problem("cauchy:2,1"), lr=0.2, horizon=1)
    labels = [text.get_text() for text in cauchy.figure().axes[0].get_legend().get_texts()]
    assert labels[0].endswith("(undefined)")
    with pytest.raises(InvalidInput, match="not one of the effects"):
        plot_effects([predict(problem(), "sgd", lr=0.1, horizon=1)], sharp.psi)
