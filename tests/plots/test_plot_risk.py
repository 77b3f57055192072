"""What is drawn is what the curves hold; nothing global is touched."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from signscope._core.errors import InvalidInput
from signscope.curves import Curve
from signscope.plots import Panel, plot_panels, plot_risk
from signscope.plots.styles import FIXED, SPARE, styles_for

TIME = torch.linspace(0, 4, 41, dtype=torch.float64)


def prediction(optimizer="sgd", lr=0.5, **more):
    return Curve(time=TIME, value=torch.exp(-TIME), optimizer=optimizer, lr=lr, **more)


def simulation(optimizer="sgd", lr=0.5, **more):
    value = 1.1 * torch.exp(-TIME)
    return Curve(
        time=TIME,
        value=value,
        stderr=0.01 * value,
        band=(0.9 * value, 1.2 * value),
        num_runs=16,
        optimizer=optimizer,
        lr=lr,
        **more,
    )


@pytest.fixture
def ax():
    return Figure().add_subplot()


def lines_with(ax, values):
    return [line for line in ax.lines if np.array_equal(line.get_ydata(), values)]


def test_prediction_is_a_line_and_simulation_is_markers_in_a_band(ax):
    curves = [prediction(), simulation()]
    assert plot_risk(curves, ax=ax) is ax
    (line,) = lines_with(ax, curves[0].value.numpy())
    (dots,) = lines_with(ax, curves[1].value.numpy())
    assert line.get_marker() in ("None", "", None)
    assert dots.get_linestyle() == "None"
    assert line.get_color() == dots.get_color()
    (band,) = ax.collections
    outline = band.get_paths()[0].vertices
    assert outline[:, 1].max() == pytest.approx(1.1 * 1.2)
    assert outline[:, 1].min() == pytest.approx(1.1 * 0.9 * np.exp(-4))


def test_axes_carry_names_units_and_a_logarithmic_risk(ax):
    plot_risk([prediction()], ax=ax)
    assert ax.get_xlabel() == "time (steps / dim)"
    assert ax.get_ylabel() == "excess risk R"
    assert ax.get_yscale() == "log"


def test_legend_names_each_optimizer_with_its_rate_and_what_is_what(ax):
    plot_risk([prediction(), simulation(), prediction("adam", 0.25)], ax=ax)
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts == ["SGD, lr 0.5", "Adam, lr 0.25", "prediction", "simulation, 80% band"]


def test_two_rates_of_one_optimizer_are_told_apart():
    styles = styles_for([prediction(lr=0.5), prediction(lr=0.1), simulation(lr=0.1)])
    assert len(styles) == 2
    assert len({s.color for s in styles.values()}) == len({s.marker for s in styles.values()}) == 2


def test_optimizers_differ_in_colour_dash_and_marker():
    looks = list(FIXED.values())
    for part in ("color", "dash", "marker"):
        assert len({getattr(s, part) for s in looks}) == 4
    assert len({s.color for s in (*looks, *SPARE)}) == 8


def test_what_a_logarithmic_axis_cannot_show_is_left_out(ax):
    value = torch.exp(-TIME)
    value[-1], value[-2] = torch.inf, 0.0
    plot_risk([Curve(time=TIME, value=value, optimizer="sgd", lr=1.0)], ax=ax)
    shown = ax.lines[0].get_ydata()
    assert np.isnan(shown[-2:]).all()
    assert np.array_equal(shown[:-2], value[:-2].numpy())


def test_a_single_curve_and_a_new_figure(monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: pytest.fail("plots are never shown"))
    ax = plot_risk(prediction())
    assert len(ax.lines) == 1
    plt.close(ax.figure)


@pytest.mark.parametrize(
    "curves",
    [[], [prediction(), prediction(time_unit="steps")], [prediction(), prediction(quantity="distance")]],
)
def test_curves_that_share_no_axes_are_refused(curves, ax):
    with pytest.raises(InvalidInput, match="curves"):
        plot_risk(curves, ax=ax)


def test_global_style_is_untouched(ax):
    before = dict(mpl.rcParams)
    plot_risk([prediction(), simulation()], ax=ax)
    plot_panels([Panel("a", [prediction()])])
    assert dict(mpl.rcParams) == before


def test_panels_share_the_risk_axis_and_say_what_the_band_is(tmp_path):
    panels = [
        Panel("Gaussian rows", [prediction(), simulation()]),
        Panel("The data's own rows", [prediction(), simulation()], aside=[prediction()], notes=["adam: undefined"]),
    ]
    figure = plot_panels(panels, title="digits")
    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim()
    assert [ax.get_title() for ax in figure.axes] == ["Gaussian rows", "The data's own rows"]
    assert "16 runs" in figure.get_supxlabel()
    assert "80%" in figure.get_supxlabel()
    assert figure.get_suptitle() == "digits"
    assert [t.get_text() for t in right.texts] == ["adam: undefined"]
    dotted = [line for line in right.lines if line.get_linestyle() == ":"]
    assert np.array_equal(dotted[0].get_ydata(), panels[1].aside[0].value.numpy())
    figure.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_a_panel_without_curves_shows_its_notes():
    figure = plot_panels([Panel("", [], notes=["sgd: undefined"])])
    assert figure.axes[0].texts[0].get_text() == "sgd: undefined"


def test_no_panel_is_refused():
    with pytest.raises(InvalidInput, match="empty"):
        plot_panels([])
