"""`plot_schedules`: a line per schedule in both panels, and what is refused."""

import matplotlib.pyplot as plt
import pytest

from signscope import InvalidInput, predict
from signscope.plots.schedules import plot_schedules
from signscope.problems import gaussian_problem
from signscope.schedules import Constant, Cosine, Linear


@pytest.fixture(scope="module")
def drawn():
    law = gaussian_problem(10, noise=0.2)
    schedules = {"constant": Constant(0.3), "linear": Linear(0.5, 2.0), "optimal": Cosine(0.4, 2.0, final=0.1)}
    curves = {name: predict(law, "signsgd", lr=lr, horizon=2, rtol=1e-3) for name, lr in schedules.items()}
    return schedules, curves


def test_every_schedule_has_its_line(drawn, tmp_path):
    schedules, curves = drawn
    figure = plot_schedules(schedules, curves, title="ten coordinates")
    rates, risks = figure.axes
    assert [line.get_label() for line in rates.lines] == list(schedules)
    assert len({(line.get_color(), line.get_linestyle()) for line in rates.lines}) == 3
    assert [line.get_color() for line in rates.lines] == [line.get_color() for line in risks.lines]
    labels = [text.get_text() for text in risks.get_legend().get_texts()]
    assert labels == [f"{name}: {curve.final:.4g}" for name, curve in curves.items()]
    assert rates.get_xlabel() == risks.get_xlabel() == "time (steps / dim)"
    widths = {line.get_label(): line.get_linewidth() for line in rates.lines}
    assert widths["optimal"] > widths["constant"]
    figure.savefig(tmp_path / "picture.png")
    assert not plt.get_fignums()  # a figure of its own


def test_the_rates_axis_follows_the_best_schedule(drawn):
    schedules, curves = drawn
    rates = plot_schedules(schedules, curves).axes[0]
    assert rates.get_ylim()[0] == pytest.approx(0.03, rel=0.01)  # not where the linear decay ends
    without = {name: schedules[name] for name in ("constant", "linear")}
    assert plot_schedules(without, curves).axes[0].get_ylim()[0] < 0.01


def test_what_is_refused(drawn):
    schedules, curves = drawn
    with pytest.raises(InvalidInput, match="`schedules` is empty"):
        plot_schedules({}, curves)
    with pytest.raises(InvalidInput, match="`curves` has none for 'linear'"):
        plot_schedules(schedules, {"constant": curves["constant"]})
