"""Nodes that train: rows dealt out, gradients, bytes, equal bits on processes, continuing after a kill, claims."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope._core.errors import InvalidInput
from signscope.reproduce.datasets import load
from signscope.reproduce.distributed import contenders, node_run, training
from signscope.reproduce.distributed.contenders import CONTENDERS, padded, sent
from signscope.reproduce.distributed.node_job import NodeJob, NodeStore
from signscope.reproduce.distributed.node_run import train
from signscope.reproduce.distributed.nodes import Nodes, flat
from signscope.reproduce.distributed.processes import check_processes
from signscope.reproduce.distributed.splits import deal, skew
from signscope.reproduce.distributed.training import jiang2024_distributed
from signscope.reproduce.distributed.training_summary import Cell, best_lr, claims, verdict

JOB = NodeJob("digits", "image_mlp", 2, "label skew", 0.1, 64, 16, "dvr", 3e-3, 6, 1, 3, 0)
TINY = {"size": "small", "epochs": 1, "num_seeds": 2}


@pytest.fixture(scope="module")
def digits():
    return load("digits").head(160)


def path(job, data):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in train(job, data)]


# --- rows -------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(
    nodes=st.integers(1, 9),
    each=st.integers(1, 20),
    alpha=st.floats(0.01, 100),
    seed=st.integers(0, 9),
    split=st.sampled_from(["homogeneous", "label skew"]),
)
def test_no_row_is_dealt_twice(nodes, each, alpha, seed, split):
    labels = np.arange(200) % 7
    dealt = deal(labels, nodes=nodes, each=each, split=split, alpha=alpha, seed=seed)
    assert dealt.shape == (nodes, each)
    assert len(np.unique(dealt)) == nodes * each
    assert dealt.min() >= 0
    assert dealt.max() < 200


def test_a_small_alpha_sets_nodes_apart():
    labels = np.arange(2000) % 10
    options = {"nodes": 4, "each": 400, "seed": 0}
    apart = [skew(labels, deal(labels, split="label skew", alpha=a, **options)) for a in (0.05, 0.5, 100.0)]
    assert apart[0] > 0.5 > apart[1] > apart[2]
    assert skew(labels, deal(labels, split="homogeneous", alpha=0.05, **options)) < 0.1


def test_every_row_of_a_node_is_used_once_per_pass(digits):
    nodes = Nodes(replace(JOB, steps=12), digits)
    for order in nodes.order:
        assert torch.equal(order[:4].reshape(-1).sort().values, torch.arange(64))
        assert not torch.equal(order[:4], order[4:8])
    parts = Nodes(replace(JOB, steps=12), digits, finite_sum=True).order[0]
    assert len({tuple(row.tolist()) for row in parts}) == JOB.period  # the same components in every pass


# --- gradients --------------------------------------------------------------------------------------------------------


def test_gradients_of_nodes_are_those_of_their_rows(digits):
    nodes = Nodes(JOB, digits)
    theta = nodes.start
    x, y = digits.train_x[nodes.dealt[1]], digits.train_y[nodes.dealt[1]]
    loss = torch.nn.functional.cross_entropy(nodes.net(x), y)
    full = flat(torch.autograd.grad(loss, nodes.params))
    torch.testing.assert_close(nodes.full_gradient(theta, 1), full)
    parts = Nodes(JOB, digits, finite_sum=True)
    mean = torch.stack([parts.gradient(theta, 1, k) for k in range(JOB.period)]).mean(0)
    torch.testing.assert_close(mean, full, rtol=1e-4, atol=1e-6)


def test_averaged_gradients_are_those_of_all_rows_together(digits):
    """SGD on two nodes walks the path of SGD on the union of their batches; two batches make one gradient."""
    job = replace(JOB, method="sgd", lr=0.1, steps=3, accumulate=2)
    nodes = Nodes(job, digits)
    net, start = nodes.net, nodes.start
    ends = node_run.averaged(job, nodes)[-1]
    nodes.put(start)
    opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for step in range(3):
        opt.param_groups[0]["lr"] = 0.1 * (1 - step / 3)
        batches = [nodes.batch(j, step) for j in range(2)]
        assert len(batches[0][1]) == 32
        opt.zero_grad()
        x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
        torch.nn.functional.cross_entropy(net(x), y).backward()
        opt.step()
    torch.testing.assert_close(flat(nodes.params), ends, rtol=1e-4, atol=1e-6)


# --- bytes ------------------------------------------------------------------------------------------------------------


def test_bytes_are_those_of_the_table_of_protocols():
    dim, n = 64 * 8 * 100, 8
    step = {name: sent(CONTENDERS[name], dim, n, 2, period=1) - sent(CONTENDERS[name], dim, n, 1, period=1)
            for name in ("sgd", "signum", "ssvr2", "dvr", "dvrq", "ef", "ssdm")}  # fmt: skip
    assert padded(dim, n) == dim
    assert step["sgd"] == 32 * step["signum"] == 8 * dim * 7 / 8
    assert step["ssvr2"] == step["signum"]
    assert step["dvr"] == 7 / 8 * (dim / 4 + 4 * dim / 64)
    assert step["dvrq"] == step["ef"] == 7 / 8 * (dim / 4 + 8 * dim / 64)
    assert step["ssdm"] == 7 / 8 * (9 * dim / 8 + 4 * n)
    assert sent(CONTENDERS["dvrfs"], dim, n, 9, period=4) > 3 * 4 * dim * 7 / 8  # three full gradients


@pytest.mark.parametrize("method", CONTENDERS)
def test_measurements_of_a_run(method, digits):
    rows = train(replace(JOB, method=method, lr=CONTENDERS[method].rates[1]), digits)
    assert [row["moves"] for row in rows] == [0, 2, 4, 6]
    assert {row["status"] for row in rows} == {"ok"}
    assert rows[0]["bytes"] == rows[0]["gradients"] == 0
    assert rows[-1]["bytes"] == sent(CONTENDERS[method], 2410, 2, 6, period=4)
    wanted = {1: 6, 2: 11}[CONTENDERS[method].calls] if method != "dvrfs" else 2 * 4 + 4 * 2
    assert rows[-1]["gradients"] == wanted
    assert rows[-1]["train_loss"] != rows[0]["train_loss"]


def test_equal_jobs_give_equal_results_and_every_field_moves_the_path(digits):
    first = path(JOB, digits)
    assert path(JOB, digits) == first
    changes = ({"lr": 1e-3}, {"seed": 1}, {"split": "homogeneous"}, {"alpha": 5.0}, {"method": "signum"}, {"nodes": 1})
    for change in (*changes, {"batch_size": 8}, {"accumulate": 2}, {"steps": 7}):
        assert path(replace(JOB, **change), digits)[-1] != first[-1], change


def test_a_diverging_run_is_recorded_and_never_chosen(digits):
    rows = train(replace(JOB, method="sgd", lr=1e30), digits)
    assert rows[-1]["status"] == "diverged"
    store, jobs = NodeStore(None), [replace(JOB, lr=lr) for lr in (0.1, 0.2, 0.3)]
    for job, loss in zip(jobs, (2.0, 1.0, math.nan), strict=True):
        store.add(job, [{"train_loss": loss}])
    assert best_lr(jobs, store).lr == 0.2


@pytest.mark.slow
@pytest.mark.multiproc
def test_processes_give_the_same_bits_and_bytes():
    jobs = [replace(JOB, method=name, lr=CONTENDERS[name].rates[1]) for name in ("signum", "ssvr2", "dvrq", "dvrfs")]
    found = check_processes(jobs, "digits", rows=160)
    assert [check.job for check in found] == jobs
    assert all(check.is_equal and check.has_bytes for check in found)


# --- the experiment ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_small_experiment_writes_its_files_and_computes_nothing_twice(tmp_path, monkeypatch):
    report = jiang2024_distributed(tmp_path, **TINY)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["nodes2.png", "report.json", "runs.csv", "table.csv"]
    assert {p.name for p in report.files} == {p.name for p in tmp_path.iterdir()}
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["verdict"] == report.verdict
    assert set(report.details["method"]) == {c.label for c in CONTENDERS.values()}
    assert set(report.details["budget"]) == {"steps", "bytes", "bytes, large batches"}
    before = (tmp_path / "runs.csv").read_bytes()
    monkeypatch.setattr(training, "train", lambda *a: pytest.fail("computed again"))
    again = jiang2024_distributed(tmp_path, **TINY)
    assert (tmp_path / "runs.csv").read_bytes() == before
    assert again.table.equals(report.table)

    lines = before.decode().splitlines(keepends=True)
    (tmp_path / "runs.csv").write_text("".join(lines[:-1]) + lines[-1][:-9])  # as if killed while writing
    computed = []
    monkeypatch.setattr(training, "train", lambda job, data: computed.append(job) or train(job, data))
    resumed = jiang2024_distributed(tmp_path, **TINY)
    assert len(computed) == 1
    assert resumed.table.equals(report.table)


def test_claims_follow_the_numbers():
    """Built data: DVR-Sign far below all others, SSVR-MV far above."""
    level = {"dvr": 0.1, "ssvr1": 10.0}
    plans = {(m, "steps"): [replace(JOB, method=m)] for m in CONTENDERS}
    plans |= {(m, b): [replace(JOB, method=m, steps=1, accumulate=k)] for m in ("sgd", "adamw")
              for b, k in (("bytes", 1), ("bytes, large batches", 4))}  # fmt: skip
    store, cell = NodeStore(None), Cell(JOB, plans, (0, 1, 2), 2410)
    for jobs in plans.values():
        for seed in cell.seeds:
            value = level.get(jobs[0].method, 1.0) * (1 + 0.01 * math.sin(seed + len(jobs[0].method)))
            store.add(replace(jobs[0], seed=seed), [{"train_loss": value}])
    found = claims([cell], store, [])
    outcome = {row["claim"]: row["outcome"] for row in found}
    start = "2 nodes, label skew:"
    assert outcome[f"{start} DVR-Sign ends below majority vote (Signum) at equal steps"] == "holds"
    assert outcome[f"{start} DVR-Sign ends below DDP, AdamW at equal bytes"] == "holds"
    assert outcome[f"{start} SSVR-MV option 1 ends below SSDM at equal steps"] == "fails"
    assert outcome[f"{start} DVR-Sign ends below DDP, AdamW at equal steps"] == "shown"
    assert verdict(found)[0] == "differs"
    assert verdict([row for row in found if "SSVR" not in row["claim"] and row["outcome"] != "fails"])[0] == "matched"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "nothing"}, "unknown kind"),
        ({"model": "mlp"}, "does not fit digits"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 63}, "multiple of every number of nodes"),
        ({"batch_size": 2000}, "exceeds the 256"),
        ({"num_nodes": (1,)}, "num_nodes"),
        ({"num_seeds": 0}, "num_seeds"),
        ({"alpha": -1.0}, "alpha"),
        ({"size": "medium"}, "size"),
    ],
)
def test_bad_options_are_refused_before_anything_runs(options, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        jiang2024_distributed(tmp_path / "new", **{"size": "small", **options})
    assert not (tmp_path / "new" / "runs.csv").exists()


def test_too_few_rows_are_refused():
    with pytest.raises(InvalidInput, match="more than the 10 rows"):
        deal(range(10), nodes=3, each=4, split="homogeneous", alpha=1.0, seed=0)


def test_rates_lie_in_order():
    for contender in CONTENDERS.values():
        assert list(contender.rates) == sorted(contender.rates)
    assert set(contenders.FEW_STEPS) == {name for name, c in CONTENDERS.items() if c.method is None}


@pytest.mark.slow
@pytest.mark.multiproc
def test_full_comparison_finishes_with_a_verdict(tmp_path):
    report = jiang2024_distributed(tmp_path, processes=True)
    assert report.verdict in ("matched", "differs")
    bits = report.table[report.table["claim"].str.contains("processes")]
    assert len(bits) == 8
    assert (bits["outcome"] == "holds").all()
    assert (report.details["num_seeds"] == 3).all()
    assert not report.details["diverged"].any()
