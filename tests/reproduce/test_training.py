"""The training experiment: budgets, measurements, continuing after a kill, claims, files."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from signscope._core.errors import InvalidInput
from signscope._core.random import stream
from signscope.reproduce import run_figure, sweep_runs
from signscope.reproduce.augment import crop_and_flip
from signscope.reproduce.datasets import load
from signscope.reproduce.job import Job
from signscope.reproduce.methods import METHODS, VARIANCE_REDUCTION
from signscope.reproduce.networks import build
from signscope.reproduce.store import Store
from signscope.reproduce.training_run import Loop, shuffled, train
from signscope.reproduce.training_summary import Experiment, best_rate, claims, verdict

JOB = Job("digits", 96, "cnn", "ssvr", 1e-3, None, 16, 3.0, 3, 0)


@pytest.fixture(scope="module")
def digits():
    return load("digits").head(96)


def path(job, data):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in train(job, data)]


@pytest.mark.parametrize("method", METHODS)
def test_costs_are_what_the_optimizers_count(method, digits):
    job = replace(JOB, method=method)
    loop = Loop(job, digits, build("cnn", digits, seed=0))
    spent = 0
    for step in range(2 * job.period + 2):
        assert loop.step()
        spent += METHODS[method].cost(step, job.period)
        counters = getattr(loop.optimizer, "counters", {"gradient_calls": spent})
        assert counters["gradient_calls"] + counters.get("full_gradients", 0) * job.period == spent


@pytest.mark.parametrize("method", METHODS)
def test_no_run_exceeds_its_budget_and_all_come_near(method, digits):
    job = replace(JOB, method=method)
    rows = train(job, digits)
    assert [row["point"] for row in rows] == [0, 1, 2, 3]
    assert job.budget - job.period - 2 < rows[-1]["calls"] <= job.budget == 18
    assert rows[-1]["calls"] == sum(METHODS[method].cost(t, job.period) for t in range(rows[-1]["steps"]))
    assert {row["status"] for row in rows} == {"ok"}
    assert all(math.isfinite(row["grad_l1"]) for row in rows)


def test_measurements_are_those_of_the_network(digits):
    row = train(JOB, digits)[0]
    seed = stream(0, "init").integers(2**31)
    net = build("cnn", digits, seed=int(seed))
    loss = torch.nn.functional.cross_entropy(net(digits.train_x), digits.train_y)
    loss.backward()
    assert row["train_loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
    norm = sum(float(p.grad.abs().sum()) for p in net.parameters())
    assert row["grad_l1"] == pytest.approx(norm, rel=1e-4)
    right = (net(digits.test_x).argmax(1) == digits.test_y).double().mean()
    assert row["test_accuracy"] == pytest.approx(float(right))


def test_equal_jobs_give_equal_results_and_every_field_moves_the_path(digits):
    base = path(JOB, digits)
    assert path(JOB, digits) == base
    for change in (
        {"lr": 2e-3},
        {"beta": 0.5},
        {"batch_size": 8},
        {"seed": 1},
        {"method": "signum"},
        {"augment": True},
    ):
        assert path(replace(JOB, **change), digits)[-1] != base[-1]


def test_methods_with_one_seed_share_start_and_batches(digits):
    first, other = (train(replace(JOB, method=m), digits)[0]["train_loss"] for m in ("sgd", "ssvr_fs"))
    assert first == other
    batches = shuffled(digits, JOB)
    seen = torch.cat([next(batches)[0] for _ in range(JOB.period)])
    assert len(torch.unique(seen, dim=0)) == len(torch.unique(digits.train_x, dim=0))  # every row once per pass


def test_a_diverging_run_is_recorded(digits):
    rows = train(replace(JOB, method="sgd", lr=1e30), digits)
    assert {row["status"] for row in rows} == {"diverged"}
    assert len(rows) == 4
    assert math.isnan(rows[-1]["train_loss"])


def test_the_best_rate_is_never_one_that_diverged():
    store = Store(None)
    jobs = [replace(JOB, lr=lr, seed=s) for lr in (0.1, 0.2, 0.3) for s in (0, 1)]
    for job in jobs:
        loss = math.nan if job.lr == 0.3 and job.seed == 1 else {0.1: 2.0, 0.2: 1.0, 0.3: 0.0}[job.lr]
        store.add(job, [{"train_loss": loss}])
    assert best_rate(jobs, store).lr == 0.2


def test_claims_follow_the_numbers():
    """Built data in which SSVR is best and SSVR-FS worst by a wide margin."""
    store, jobs = Store(None), []
    level = {"ssvr": 0.1, "ssvr_fs": 10.0}
    for method in VARIANCE_REDUCTION:
        for seed in range(3):
            job = replace(JOB, method=method, seed=seed)
            value = level.get(method, 1.0) * (1 + 0.01 * np.sin(seed + len(method)))
            rows = [{"steps": t, "train_loss": v, "grad_l1": v} for t, v in ((0, 5.0), (10, value))]
            store.add(job, rows)
            jobs.append(job)
    found = claims([Experiment("comparison", "x", jobs)], store)
    outcome = {row["claim"]: row["outcome"] for row in found}
    assert outcome["digits: SSVR ends below Signum in training loss"] == "holds"
    assert outcome["digits: SSVR-FS ends below Signum in training loss"] == "fails"
    assert outcome["digits: SSVR ends below Adam in training loss"] == "shown"
    assert verdict(found)[0] == "differs"
    assert verdict([row for row in found if "SSVR-FS" not in row["claim"]])[0] == "matched"


def test_small_experiment_writes_its_files_and_computes_nothing_twice(tmp_path, monkeypatch, request):
    options = {"size": "small", "num_seeds": 1}
    report = run_figure("jiang2024-training", out=tmp_path, **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in report.files)
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["verdict"] == report.verdict
    table = report.details
    assert set(table["method"]) == set(VARIANCE_REDUCTION)
    assert set(table["data"]) == {"digits", "shakespeare"}
    assert len(table[table["experiment"] == "ablation"]) == 4
    assert (table["calls"] <= table["budget_calls"]).all()
    before = (tmp_path / "runs.csv").read_bytes()
    monkeypatch.setattr(sweep_runs, "train", lambda *a, **k: pytest.fail("computed again"))
    request.getfixturevalue("unrendered")
    again = run_figure("jiang2024-training", out=tmp_path, **options)
    assert (tmp_path / "runs.csv").read_bytes() == before
    assert again.table.equals(report.table)


@pytest.mark.usefixtures("unrendered")
def test_a_killed_experiment_continues_bit_for_bit(tmp_path, monkeypatch):
    options = {"size": "small", "data": "digits", "num_seeds": 1}
    whole = run_figure("jiang2024-training", out=tmp_path / "whole", **options)
    real, count = sweep_runs.train, {"runs": 0}

    def limited(*args, **kept):
        if count["runs"] == 5:
            raise KeyboardInterrupt
        count["runs"] += 1
        return real(*args, **kept)

    monkeypatch.setattr(sweep_runs, "train", limited)
    with pytest.raises(KeyboardInterrupt):
        run_figure("jiang2024-training", out=tmp_path / "cut", **options)
    place = tmp_path / "cut" / "runs.csv"
    text = place.read_text()
    place.write_text(text[: len(text) - 25])  # as if killed while the fifth run was being written
    count["runs"] = -100
    resumed = run_figure("jiang2024-training", out=tmp_path / "cut", **options)
    total = len({tuple(line[:10]) for line in lines_of(tmp_path / "whole")[1:]})
    assert count["runs"] + 100 == total - 4  # four were whole; the torn one is computed again
    assert resumed.table.equals(whole.table)

    cut, uncut = (sorted(line[:-1] for line in lines_of(tmp_path / name)) for name in ("cut", "whole"))
    assert cut == uncut  # the last column is the time it took


def lines_of(folder):
    return list(csv.reader((folder / "runs.csv").read_text().splitlines()))


@pytest.mark.parametrize("method", METHODS)
def test_a_begun_run_continues_bit_for_bit(method, digits, tmp_path, monkeypatch):
    """Stopped in its third interval, after two savings: no step before the second saving is taken again."""
    job, file, steps = replace(JOB, method=method, epochs=6.0), tmp_path / "unfinished.pt", []
    whole = path(job, digits)
    real = Loop.step

    def counted(loop):
        if len(steps) == whole[2]["steps"] + 1:
            raise KeyboardInterrupt
        steps.append(1)
        return real(loop)

    monkeypatch.setattr(Loop, "step", counted)
    with pytest.raises(KeyboardInterrupt):
        train(job, digits, unfinished=file, interval=0.0)
    steps.clear()
    monkeypatch.setattr(Loop, "step", lambda loop: steps.append(1) or real(loop))
    rows = train(job, digits, unfinished=file, interval=0.0)
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in rows] == whole
    assert len(steps) == whole[3]["steps"] - whole[2]["steps"]


def test_the_state_of_another_run_or_a_damaged_one_is_left_alone(digits, tmp_path):
    file = tmp_path / "unfinished.pt"
    train(JOB, digits, unfinished=file, interval=0.0)
    other = replace(JOB, seed=5)
    assert path(other, digits) == [
        {k: v for k, v in row.items() if k != "seconds"} for row in train(other, digits, unfinished=file)
    ]
    file.write_bytes(file.read_bytes()[:500])
    assert len(train(JOB, digits, unfinished=file)) == 4


@pytest.mark.usefixtures("unrendered")
def test_force_starts_anew_and_a_foreign_file_is_refused(tmp_path):
    (tmp_path / "runs.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidInput, match="not a results file"):
        run_figure("jiang2024-training", out=tmp_path, size="small", data="digits")
    run_figure("jiang2024-training", out=tmp_path, size="small", data="digits", num_seeds=1, force=True)
    assert (tmp_path / "runs.csv").read_text().startswith("data,rows,model")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "nothing"}, "unknown kind"),
        ({"model": "mlp"}, "does not fit digits"),
        ({"augment": True}, "shakespeare holds characters"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 200}, "exceeds the 256"),
        ({"num_seeds": 0}, "num_seeds"),
        ({"device": "abacus"}, "`device` 'abacus'"),
        ({"size": "medium"}, "size"),
    ],
)
def test_bad_options_are_refused_before_anything_runs(options, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        run_figure("jiang2024-training", out=tmp_path / "new", **{"size": "small", **options})
    assert not (tmp_path / "new" / "runs.csv").exists()


def test_resnets_are_those_of_the_literature(cifar_binary):
    data = load(f"cifar10:{cifar_binary}")
    nets = {name: build(name, data, seed=0) for name in ("resnet20", "resnet18")}
    count = {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}
    assert count == {"resnet20": 269_722, "resnet18": 11_173_962}
    blocks = [m for net in nets.values() for m in net if type(m).__name__ == "Block"]
    assert len(blocks) == 9 + 8
    assert not any(True for net in nets.values() for _ in net.buffers())  # nothing couples or remembers batches


@pytest.mark.slow
def test_resnet18_takes_a_step_with_augmentation(cifar_binary):
    data = load(f"cifar10:{cifar_binary}").head(4)
    rows = train(Job(data.name, 4, "resnet18", "ssvr", 1e-4, None, 2, 1.5, 1, 0, augment=True), data)
    assert rows[-1]["steps"] == 2
    assert rows[-1]["status"] == "ok"
    assert rows[-1]["train_loss"] != rows[0]["train_loss"]


def test_crops_and_flips_are_windows_of_the_padded_image_and_belong_to_the_batch():
    x = torch.arange(1.0, 1 + 40 * 2 * 8 * 8).reshape(40, 2, 8, 8)
    y = crop_and_flip(x, seed=3, batch=5)
    assert torch.equal(y, crop_and_flip(x, seed=3, batch=5))
    assert not torch.equal(y, crop_and_flip(x, seed=3, batch=6))
    assert not torch.equal(y, crop_and_flip(x, seed=4, batch=5))
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    seen = set()
    for row in range(40):
        windows = {
            (i, j, m): padded[row, :, i : i + 8, j : j + 8].flip(2) if m else padded[row, :, i : i + 8, j : j + 8]
            for i in range(3)
            for j in range(3)
            for m in (False, True)
        }
        matches = [where for where, window in windows.items() if torch.equal(window, y[row])]
        assert len(matches) == 1
        seen.update(matches)
    assert len(seen) > 12  # of 18


def test_both_gradients_see_the_same_augmented_batch(digits, monkeypatch):
    seen = []
    real = Loop.loss
    monkeypatch.setattr(Loop, "loss", lambda loop, batch: (seen.append(batch[0]), real(loop, batch))[1])
    loop = Loop(replace(JOB, augment=True), digits, build("cnn", digits, seed=0))
    loop.optimizer.check_every = None
    for _ in range(3):
        assert loop.step()
    assert len(seen) == 5
    assert torch.equal(seen[1], seen[2])
    assert torch.equal(seen[3], seen[4])
    plain = next(shuffled(digits, JOB))[0]
    assert not torch.equal(seen[0], plain)


@pytest.mark.parametrize("first", [0, 4, 13])
def test_augmented_batches_are_the_same_after_an_interruption(digits, first):
    job = replace(JOB, augment=True)
    whole, later = shuffled(digits, job), shuffled(digits, job, first=first)
    for _ in range(first):
        next(whole)
    for _ in range(3):
        assert torch.equal(next(whole)[0], next(later)[0])


CONVOLVED = ("sgd", "muon", "ssvr_fs")  # one of each kind of step; all methods take steps on digits


@pytest.mark.parametrize("method", [pytest.param(m, marks=() if m in CONVOLVED else pytest.mark.slow) for m in METHODS])
def test_resnet20_on_cifar10_takes_a_step(method, cifar_binary):
    data = load(f"cifar10:{cifar_binary}").head(16)
    job = Job(data.name, 16, "resnet20", method, 1e-3, None, 8, 1.0, 1, 0)
    rows = train(job, data)
    assert rows[-1]["steps"] >= 1
    assert rows[-1]["status"] == "ok"
    assert rows[-1]["train_loss"] != rows[0]["train_loss"]


def test_reviews_train_too(reviews):
    report = run_figure("jiang2024-training", size="small", data=f"imdb:{reviews}", batch_size=10, num_seeds=1)
    assert set(report.details["model"]) == {"mlp"}


@pytest.mark.slow
def test_full_comparison_finishes_with_a_verdict(tmp_path):
    report = run_figure("jiang2024-training", out=tmp_path)
    assert report.verdict in ("matched", "differs")
    assert report.seconds < 600
    assert (report.details["num_seeds"] >= 3).all()
    assert not report.details["at_edge"].eq(True).any()  # the best rates lie inside the grid
