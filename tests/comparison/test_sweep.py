"""A sweep: every value moves its cell, nothing is computed twice, nothing that is done is lost."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from signscope._core.errors import InvalidInput
from signscope.comparison import run_sweep, sweep_cell, sweep_workers
from signscope.comparison.sweep_cell import KEY, VALUES, key_of, seed_of
from signscope.comparison.sweep_grid import make_grid
from signscope.limits import predict
from signscope.problems import LeastSquares, bundled, gaussian_problem
from signscope.simulation import simulate

SMALL = {"dim": [8, 12], "noise": ["gaussian:0.3", "cauchy:0,1"], "lr": [0.1, 0.3], "horizon": 0.5, "num_runs": 2}
SMALL |= {"optimizers": ["sgd", "signsgd"]}
COUNT = 16


def same(a, b):
    pd.testing.assert_frame_equal(a.drop(columns="seconds"), b.drop(columns="seconds"))


def lines(folder):
    return list(csv.reader((folder / "sweep.csv").read_text(encoding="utf-8").splitlines()))


class Watch:
    """A meter that does something once a share is done."""

    def __init__(self, share, action):
        self.share, self.action = share, action

    def update(self, done, message=""):
        if self.action is not None and done >= self.share:
            action, self.action = self.action, None
            action()

    def close(self):
        pass


def stop():
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole():
    return run_sweep(**SMALL)


def test_cells_are_what_predict_and_simulate_say(whole):
    assert len(whole) == COUNT
    assert list(whole.columns) == [*KEY, *VALUES]
    grid = make_grid(
        **{**dict.fromkeys(("data", "target", "spectrum", "rotated")), "scale": "global", "batch_size": 1},
        **{"betas": (0.9, 0.999), "seed": 0, **SMALL},
    )
    for cell, row in zip(grid.cells(), whole.to_dict("records"), strict=True):
        problem = gaussian_problem(cell.dim, noise=cell.noise)
        curve = predict(problem, cell.optimizer, lr=cell.lr, horizon=0.5)
        runs = simulate(problem, cell.optimizer, lr=cell.lr, horizon=0.5, num_runs=2, seed=seed_of(cell))
        assert row["status"] == curve.status
        np.testing.assert_equal(row["final_predicted"], curve.final)
        assert row["final_simulated"] == runs.final
        assert row["step_size"] == cell.lr / cell.dim


def test_seeds_of_simulations_differ_between_cells_and_problems_do_not():
    cells = make_grid(
        **dict.fromkeys(("data", "target", "spectrum", "noise")),
        dim=5,
        rotated=True,
        scale="global",
        batch_size=[1, 2],
        seed=[0, 1],
        lr=[0.1, 0.2],
        optimizers=["sgd", "adam"],
        betas=(0.9, 0.99),
        horizon=1.0,
        num_runs=1,
    ).cells()
    assert len({seed_of(c) for c in cells}) == len({key_of(c) for c in cells}) == len(cells) == 16
    targets = {tuple(sweep_cell.problem_of(c).target.tolist()) for c in cells}
    assert len(targets) == 2  # one per seed


@pytest.mark.parametrize(
    "option",
    [
        {"dim": 9},
        {"spectrum": "log:0.1,1"},
        {"noise": "laplace:0.3"},
        {"rotated": True},
        {"batch_size": 3},
        {"seed": 4},
        {"horizon": 0.6},
        {"optimizers": "adam", "betas": (0.0, 0.9)},
        {"lr": 0.2},
        {"lr": "auto"},
    ],
    ids=str,
)
def test_every_option_moves_the_cell(option):
    plain = {"dim": 8, "noise": "gaussian:0.3", "lr": 0.1, "horizon": 0.5, "optimizers": "signsgd"}
    before, after = run_sweep(**plain), run_sweep(**{**plain, **option})
    assert after["status"][0] in ("ok", "inaccurate")
    assert before["final_predicted"][0] != after["final_predicted"][0]


def test_rates_may_differ_between_optimizers():
    found = run_sweep(
        dim=8, horizon=0.5, noise=0.3, lr={"sgd": [0.1, 0.2], "signsgd": 0.3}, optimizers=["sgd", "signsgd"]
    )
    assert list(zip(found["optimizer"], found["lr"], strict=True)) == [("sgd", 0.1), ("sgd", 0.2), ("signsgd", 0.3)]
    assert set(found["noise"]) == {"gaussian:0.3"}
    assert found["final_simulated"].isna().all()


def test_a_data_set_is_swept_on_its_own_rows():
    found = run_sweep(data="diabetes", lr=[0.1, 0.2], horizon=1.0, optimizers="signsgd", num_runs=2)
    problem = LeastSquares.from_data(*bundled("diabetes"))
    assert list(found["method"]) == ["rows", "rows"]
    assert found["final_predicted"][1] == predict(problem, "signsgd", lr=0.2, horizon=1.0).final


def test_results_are_kept_and_nothing_is_computed_twice(tmp_path, monkeypatch, whole):
    same(run_sweep(**SMALL, out=tmp_path), whole)
    assert len(lines(tmp_path)) == 1 + COUNT
    before = (tmp_path / "sweep.csv").read_bytes()
    monkeypatch.setattr(sweep_workers, "compute", lambda cell: pytest.fail("computed again"))
    same(run_sweep(**SMALL, out=tmp_path), whole)
    assert (tmp_path / "sweep.csv").read_bytes() == before


def test_ctrl_c_keeps_what_is_done_and_a_torn_line_is_computed_again(tmp_path, whole):
    begun = run_sweep(**SMALL, out=tmp_path, progress=Watch(5 / COUNT, stop))
    assert list(begun["status"]).count("interrupted") == COUNT - 5
    table = tmp_path / "sweep.csv"
    assert len(lines(tmp_path)) == 1 + 5
    table.write_bytes(table.read_bytes()[:-30])  # as if the process had been killed while writing
    same(run_sweep(**SMALL, out=tmp_path), whole)
    assert sorted(tuple(line[: len(KEY)]) for line in lines(tmp_path)[1:]) == sorted(
        {tuple(line[: len(KEY)]) for line in lines(tmp_path)[1:]}
    )
    assert len(lines(tmp_path)) == 1 + COUNT


def test_a_cell_that_fails_is_told_not_kept_and_tried_again(tmp_path, monkeypatch, whole):
    real = sweep_cell.compute

    def sometimes(cell):
        if cell.optimizer == "sgd" and cell.lr == 0.3:
            raise MemoryError("no\nroom")
        return real(cell)

    monkeypatch.setattr(sweep_workers, "compute", sometimes)
    found = run_sweep(**SMALL, out=tmp_path)
    failed = found[found["status"] == "failed"]
    assert len(failed) == 4
    assert set(failed["message"]) == {"MemoryError: no room"}
    assert len(lines(tmp_path)) == 1 + COUNT - 4
    monkeypatch.undo()
    same(run_sweep(**SMALL, out=tmp_path), whole)


def test_another_sweep_in_the_folder_is_refused_unless_forced(tmp_path):
    run_sweep(dim=8, horizon=0.5, lr=0.1, optimizers="sgd", out=tmp_path)
    with pytest.raises(InvalidInput, match=r"another sweep \(dim is \[8\] there, \[9\] here\)"):
        run_sweep(dim=9, horizon=0.5, lr=0.1, optimizers="sgd", out=tmp_path)
    run_sweep(dim=9, horizon=0.5, lr=0.1, optimizers="sgd", out=tmp_path, force=True)
    assert len(lines(tmp_path)) == 2
    assert json.loads((tmp_path / "sweep.json").read_text())["options"]["dim"] == [9]


def test_a_data_file_with_another_content_is_another_sweep(tmp_path):
    rng = np.random.default_rng(0)
    options = {"data": tmp_path / "d.npz", "lr": 0.1, "optimizers": "sgd", "horizon": 0.5, "out": tmp_path / "o"}
    for last in (False, True):
        np.savez(tmp_path / "d.npz", X=rng.standard_normal((30, 3)), y=rng.standard_normal(30))
        if last:
            with pytest.raises(InvalidInput, match="digest"):
                run_sweep(**options)
        else:
            run_sweep(**options)


def test_the_file_of_the_target_is_part_of_the_sweep_wherever_it_is_called(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "X.npy", rng.normal(size=(40, 3)))
    np.save(tmp_path / "y.npy", rng.normal(size=40))
    monkeypatch.chdir(tmp_path)
    options = {"lr": 0.1, "horizon": 0.5, "optimizers": "sgd", "out": tmp_path / "out"}
    table = run_sweep(data="X.npy", target="y.npy", **options)
    assert table["target"][0] == str(tmp_path / "y.npy")
    np.save(tmp_path / "y.npy", rng.normal(size=40))
    with pytest.raises(InvalidInput, match="digest"):
        run_sweep(data="X.npy", target="y.npy", **options)


def test_a_sweep_into_a_folder_with_the_name_of_its_data_is_continued(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"data": "diabetes", "lr": 0.1, "horizon": 0.5, "optimizers": "sgd", "out": "diabetes"}
    same(run_sweep(**options), run_sweep(**options))


@pytest.mark.parametrize("lr", [["auto", None], ["0.1", 0.1]])
def test_one_rate_in_two_spellings_is_one_rate_twice(lr):
    with pytest.raises(InvalidInput, match="twice"):
        run_sweep(dim=5, optimizers="sgd", lr=lr, horizon=0.5)


def test_two_writers_in_one_folder_are_one_too_many(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(InvalidInput, match="another process"):
        run_sweep(dim=8, horizon=0.5, lr=0.1, optimizers="sgd", out=tmp_path)
    os.close(handle)
    run_sweep(dim=8, horizon=0.5, lr=0.1, optimizers="sgd", out=tmp_path)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"optimizers": "lion"}, "lion"),
        ({"optimizers": ["sgd", "sgd"]}, "twice"),
        ({"lr": [0.1, -1.0]}, "above 0"),
        ({"lr": "fast"}, "number"),
        ({"lr": {"adam": 0.1}, "optimizers": ["sgd"]}, "adam"),
        ({"lr": []}, "at least one"),
        ({"dim": [10, 0]}, "dim"),
        ({"dim": 2.5}, "dim"),
        ({"spectrum": ["log:0.1,1", "logg:1"]}, "logg"),
        ({"noise": ["gaussian:0.3", "cauhcy:1"]}, "cauhcy"),
        ({"noise": ["gaussian:0.3", 0.3]}, "twice"),
        ({"noise": [np.ones(4)]}, "empirical"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"horizon": 0}, "horizon"),
        ({"num_runs": -1}, "num_runs"),
        ({"betas": (0.9, 1)}, "betas"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"scheduler": "localhost"}, "tcp"),
        ({"scheduler": "tcp://127.0.0.1:1", "n_jobs": 2}, "n_jobs"),
        ({"data": "nothing"}, "digits"),
        ({"data": "digits", "dim": 4}, "dim"),
        ({"data": "digits", "noise": "cauchy:1"}, "noise"),
        ({"data": "digits", "scale": "rows"}, "scale"),
        ({"data": "digits", "target": "y"}, "target"),
        ({"target": "y"}, "target"),
    ],
    ids=str,
)
def test_bad_values_are_told_before_any_work(options, word, monkeypatch):
    monkeypatch.setattr(sweep_workers, "compute", lambda cell: pytest.fail("the work had begun"))
    with pytest.raises(InvalidInput, match=word):
        run_sweep(**options)


def test_a_folder_that_cannot_be_used_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "sweep.csv").write_text("a,b\n")
    for place, word in ((tmp_path / "file", "cannot write"), (tmp_path, "unknown origin")):
        with pytest.raises(InvalidInput, match=word):
            run_sweep(dim=8, lr=0.1, horizon=0.5, optimizers="sgd", out=place)


@pytest.mark.slow
@pytest.mark.multiproc
def test_processes_give_the_digits_of_one_and_replace_a_killed_one(tmp_path, whole):
    psutil = pytest.importorskip("psutil")
    same(run_sweep(**SMALL, n_jobs=2), whole)

    def kill():
        children = psutil.Process().children(recursive=True)
        os.kill(next(c.pid for c in children if "LokyProcess" in " ".join(c.cmdline())), signal.SIGKILL)

    same(run_sweep(**SMALL, n_jobs=2, out=tmp_path, progress=Watch(2 / COUNT, kill)), whole)
    assert len(lines(tmp_path)) == 1 + COUNT


PROGRAM = """
from signscope.comparison import run_sweep
run_sweep(dim=[40, 50], noise=["gaussian:0.3", "laplace:0.3"], lr=[0.1, 0.2, 0.3], optimizers=["sgd", "signsgd"],
          horizon=4, num_runs=32, out="{out}")
"""


@pytest.mark.slow
@pytest.mark.multiproc
def test_a_killed_process_is_continued(tmp_path):
    code = PROGRAM.format(out=tmp_path / "cut")
    process = subprocess.Popen([sys.executable, "-c", code])
    table, deadline = tmp_path / "cut" / "sweep.csv", time.monotonic() + 120
    while not (table.exists() and table.read_bytes().count(b"\n") >= 4) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=30) == -signal.SIGKILL
    done = table.read_bytes()
    assert 4 <= done.count(b"\n") < 25
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
    subprocess.run([sys.executable, "-c", PROGRAM.format(out=tmp_path / "uncut")], check=True, timeout=300)
    whole = done[: done.rfind(b"\n") + 1]
    assert table.read_bytes().startswith(whole)
    cut, uncut = (sorted(drop_seconds(lines(tmp_path / name))) for name in ("cut", "uncut"))
    assert cut == uncut
    assert len(cut) == 25


def drop_seconds(rows):
    place = len(KEY) + VALUES.index("seconds")
    return [row[:place] + row[place + 1 :] for row in rows]
