"""Results on disk: schema, curves that read back, and no file lost or overwritten."""

import json
import math
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
import torch

from signscope._core.errors import InvalidInput
from signscope.comparison import check_output, compare, storage
from signscope.comparison.halves import half
from signscope.limits import predict
from signscope.problems import LeastSquares, gaussian_problem

TOP = {
    "schema", "signscope", "command", "options", "seeds", "versions", "problem", "optimizers", "verdict",
    "assumptions", "files",
}  # fmt: skip
OPTIMIZER = {
    "lr", "step_size", "final_predicted", "final_simulated", "final_stderr", "limit", "rate", "gap_mean", "gap_worst",
    "gap_max_z", "status", "message", "method",
}  # fmt: skip


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 10))
    problem = LeastSquares.from_data(X, X.sum(1) + rng.standard_normal(120))
    rates = {"sgd": 0.3, "signsgd": 0.3, "adam": 0.2}
    return compare(problem, lr=rates, horizon=1, num_runs=3)


@pytest.fixture(scope="module")
def undefined():
    return compare(gaussian_problem(10, noise="cauchy:0,1"), optimizers=["sgd"], horizon=1, num_runs=2)


def test_summary_has_the_keys_of_the_contract(result, tmp_path):
    folder = result.save(tmp_path / "a" / "b")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert set(summary) == TOP
    assert set(summary["problem"]) == {"dim", "num_rows", "dropped_columns", "condition_number", "noise"}
    assert set(summary["optimizers"]) == {"sgd", "signsgd", "adam"}
    assert all(set(o) == OPTIMIZER for o in summary["optimizers"].values())
    assert set(summary["verdict"]) == {"winner", "factor", "text"}
    assert {tuple(a) for a in summary["assumptions"]} == {("name", "value", "ok", "text")}
    assert summary["files"] == ["risk.png", "curves.csv", "summary.json"]
    assert sorted(p.name for p in folder.iterdir()) == sorted(summary["files"])
    assert summary["versions"]["numpy"] == version("numpy")
    assert summary["optimizers"]["sgd"]["method"] == "rows"  # the data's own rows count
    assert summary["options"]["problem"] == "python"
    assert summary == result.summary()


def test_summary_says_null_where_there_is_no_number(undefined):
    text = json.dumps(undefined.summary(), allow_nan=False)
    entry = json.loads(text)["optimizers"]["sgd"]
    assert entry["lr"] is None
    assert entry["final_simulated"] is None
    assert entry["status"] == "undefined"


def test_curves_read_back_bit_for_bit(result, tmp_path):
    frame = pd.read_csv(result.save(tmp_path) / "curves.csv")
    assert list(frame.columns) == ["optimizer", "kind", "rows", "time", "value", "stderr", "low", "high"]
    for (name, rows), curve in result.simulations.items():
        part = frame[(frame.optimizer == name) & (frame.kind == "simulation") & (frame.rows == rows)]
        assert np.array_equal(part["value"], curve.value.numpy())
        assert np.array_equal(part["low"], curve.band[0].numpy())
    assert set(frame["kind"]) == {"prediction", "simulation"}
    assert frame[frame.kind == "prediction"]["stderr"].isna().all()


def test_an_earlier_result_is_kept_unless_forced(result, undefined, tmp_path):
    folder = result.save(tmp_path / "out")
    before = (folder / "summary.json").read_bytes()
    with pytest.raises(InvalidInput, match="already holds a result"):
        undefined.save(folder)
    assert (folder / "summary.json").read_bytes() == before
    undefined.save(folder, force=True)
    assert (folder / "summary.json").read_bytes() != before


def test_other_files_in_the_folder_are_left_alone(result, tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    result.save(tmp_path)
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert len(list(tmp_path.iterdir())) == 4


def test_a_failure_half_way_leaves_the_earlier_result_whole(result, tmp_path, monkeypatch):
    folder = result.save(tmp_path / "out")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.output, "as_json", full)  # the picture and the curves are staged by then
    with pytest.raises(InvalidInput, match="No space left"):
        result.save(folder, force=True)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_place_that_cannot_be_written_is_found_out_beforehand(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("x", encoding="utf-8")
    for place in (blocked, blocked / "below"):
        with pytest.raises(InvalidInput, match="file"):
            check_output(place, force=True, who="--out")


def test_the_check_leaves_nothing_behind(tmp_path):
    check_output(tmp_path / "a" / "b", force=False, who="--out")
    assert not list(tmp_path.iterdir())


def test_a_single_curve_is_saved_in_the_same_form(tmp_path):
    problem = gaussian_problem(20, noise="gaussian:0.3")
    curve = predict(problem, "signsgd", lr=0.3, horizon=1)
    one = half(problem, curve, options={"batch_size": 1, "betas": [0.9, 0.999]})
    summary = json.loads((one.save(tmp_path) / "summary.json").read_text(encoding="utf-8"))
    assert set(summary) == TOP
    assert summary["command"] == "predict"
    assert summary["optimizers"]["signsgd"]["final_simulated"] is None
    assert summary["optimizers"]["signsgd"]["final_predicted"] == curve.final
    assert "predicted" in one.verdict.text


def test_the_picture_shows_every_curve(result):
    figure = result.figure()
    assert len(figure.axes) == 2
    gaussian, data = figure.axes
    drawn = {tuple(np.round(line.get_ydata(), 12)) for line in data.lines if len(line.get_ydata()) > 100}
    for name in ("sgd", "signsgd", "adam"):
        for curve in (result.predictions[name], result.predictions[name, "gaussian"], result.simulations[name]):
            assert tuple(np.round(torch.as_tensor(curve.value).numpy(), 12)) in drawn
    assert gaussian.get_ylim() == data.get_ylim()
    assert math.isclose(figure.get_size_inches()[1], 4.9)
