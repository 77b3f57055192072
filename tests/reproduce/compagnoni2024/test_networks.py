"""SDEs on networks: measured noise, paths, runs that continue, claims that can fail, and the experiment itself."""

import json
import math
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from signscope._core.errors import InvalidInput
from signscope.reproduce import FIGURES, run_figure
from signscope.reproduce.compagnoni2024 import networks, networks_figure
from signscope.reproduce.compagnoni2024.networks_model import FlatNetwork, RowNoise
from signscope.reproduce.compagnoni2024.networks_path import noise_steps, sde_path
from signscope.reproduce.compagnoni2024.networks_plan import SIZES, families_for, plan_for, rescaled
from signscope.reproduce.compagnoni2024.networks_runs import DIAGONAL, OPTIMIZER, ROWS, Run, Store, optimize, perform
from signscope.reproduce.compagnoni2024.networks_summary import summary, tracked
from signscope.reproduce.datasets import load
from signscope.reproduce.networks import build

NAME = "compagnoni2024-networks"
RUN = Run(
    "digits", 24, "image_mlp", "adamw", OPTIMIZER, 0.002, 0.9, 0.99, 0.1, 8, num_steps=4, points=2, substeps=0,
    extra_noise=0.0, start=0, number=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    return load("digits").head(24)


def network(data, model="image_mlp"):
    return FlatNetwork(build(model, data, seed=0), data.train_x, data.train_y)


def row_gradients(net):
    """Brute force: one backward pass per row."""
    rows = [torch.cat([g.flatten() for g in net.batch_gradients(torch.tensor([n]))]) for n in range(len(net.x))]
    return torch.stack(rows).double()


@pytest.mark.parametrize("model", ["image_mlp", "cnn", "small_resnet", "patch_transformer"])
def test_gradient_and_noise_are_those_of_the_rows(model, digits):
    net = network(digits, model)
    each = row_gradients(net)
    grad, std = net.noise_std(net.weights)
    scale = float(each.abs().max())
    assert torch.allclose(grad.double(), each.mean(0), atol=1e-5 * scale)
    assert torch.allclose(std.double(), each.std(0, correction=0), atol=1e-5 * scale)


def test_row_noise_has_the_covariance_of_a_batch_drawn_with_replacement(digits):
    """Exactly: the noise is linear in its normals, so unit vectors give its matrix."""
    net = network(digits)
    each, std = row_gradients(net), net.noise_std(net.weights)[1].double()
    noise = RowNoise(net, std, batch_size=8).placed(torch.float32, torch.device("cpu"))
    normals = torch.eye(24, net.dim)
    root = torch.stack([noise.coloured(row[None], net.weights[None], 0.0)[0] for row in normals], 1).double()
    away = each - each.mean(0)
    wanted = away.T @ away / 24 / 8
    assert torch.allclose(root @ root.T, wanted, atol=1e-5 * float(wanted.abs().max()))
    assert torch.allclose(noise.variance(net.weights[None], 0.0).double(), wanted.diagonal(), rtol=1e-4)


def test_signal_to_noise_counts_what_is_added(digits):
    net = network(digits)
    alone, more = (net.signal_to_noise(net.weights, 8, extra_noise=s) for s in (0.0, 1.0))
    assert 0.05 < alone < 5
    assert more == pytest.approx(float(net.grad(net.weights[None]).abs().quantile(0.9)), rel=0.02)


def test_noise_is_measured_densely_at_first():
    steps = list(noise_steps(200, every=10))
    assert steps[:17] == list(range(17))
    assert max(b - a for a, b in pairwise(steps)) == 10
    assert steps[-1] >= 189


def test_without_noise_the_path_is_descent_by_signs(digits):
    net, seen = network(digits), []
    x = net.weights.clone()
    options = {"batch_size": 8, "num_steps": 5, "substeps": 1, "every": 2, "seed": 0, "noise_factor": 0.0}
    sde_path(net, "signsgd", {"lr": 1e-3}, **options, record=lambda step, point: seen.append(point.clone()))
    other = network(digits)
    assert len(seen) == 5
    for point in seen:
        x = x - 1e-3 * torch.sign(other.grad(x[None])[0])
        assert torch.allclose(point, x, atol=1e-6)


def test_a_silent_unit_stays_where_it_is(digits):
    net = network(digits, "cnn")
    net.params[0].data[0] = 0.0
    net.params[1].data[0] = -10.0  # the first map of the first layer is never active
    quiet = (net.noise_std(net.weights)[1] == 0).nonzero()[:, 0]
    before, after = net.weights.clone(), []
    assert len(quiet) >= 10
    options = {"batch_size": 8, "num_steps": 2, "substeps": 2, "every": 1, "seed": 0}
    sde_path(net, "signsgd", {"lr": 1e-3}, **options, record=lambda step, point: after.append(point.clone()))
    assert torch.equal(after[-1][quiet], before[quiet])
    assert float((after[-1] - before).abs().max()) > 1e-4


def test_one_step_of_the_path_has_the_moments_of_one_step_of_signs(digits, monkeypatch):
    """Mean and variance over 150 paths of one Euler step with dt = lr: erf and 1 - erf^2 by (gradient / noise)."""
    net, ends = network(digits), []
    start = net.weights.clone()
    found = net.noise_std(start)
    grad, std = (t.double() for t in found)
    monkeypatch.setattr(net, "noise_std", lambda point: found)
    for seed in range(150):
        net.weights.copy_(start)
        options = {"batch_size": 8, "num_steps": 1, "substeps": 1, "every": 1, "seed": seed}
        sde_path(net, "signsgd", {"lr": 1.0}, **options, record=lambda step, point: ends.append(point.clone()))
    moved = (torch.stack(ends) - start).double()
    mean = -torch.erf(grad / std * math.sqrt(8 / 2))
    z = (moved.mean(0) - mean) / ((1 - mean**2).clamp(min=1e-6) / 150).sqrt()
    assert 0.9 < float(z.square().mean()) < 1.1  # 2,410 coordinates, independent here
    assert float(moved.var(0).mean() / (1 - mean**2).mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("method", ["signsgd", "rmspropw", "adamw"])
def test_runs_of_the_optimizer_follow_the_rule(method, digits):
    """Reference loop on the flat vector, with the batches' own stream."""
    from signscope._core.random import stream

    run = replace(RUN, method=method, weight_decay=0.5, num_steps=3, points=3)
    net, other, seen = network(digits), network(digits), []
    optimize(net, run, lambda step, point: seen.append(point.clone()))
    x, m = other.weights.clone(), 0.0
    grad, std = other.noise_std(x)
    v = grad**2 + std**2 / 8 if method == "rmspropw" else torch.zeros_like(x)
    rng = stream(0, "batches", 8)
    assert len(seen) == 3
    for k, point in enumerate(seen, 1):
        rows = torch.from_numpy(rng.integers(24, size=8))
        other.weights.copy_(x)
        g = torch.cat([p.flatten() for p in other.batch_gradients(rows)])
        first = 0.9 if method == "adamw" else 0.0
        m, v = first * m + (1 - first) * g, 0.99 * v + 0.01 * g**2
        share = 1 - 0.99**k if method == "adamw" else 1.0
        step = torch.sign(g) if method == "signsgd" else m / (1 - first**k) / ((v / share).sqrt() + 1e-8)
        x = x - 0.002 * step - 0.002 * 0.5 * x
        assert torch.allclose(point, x, atol=2e-6)


def test_equal_runs_give_equal_results_and_every_field_moves_them(digits):
    def rows(run):
        return [{k: v for k, v in row.items() if k not in ("seconds", "ratio")} for row in perform(run, digits)]

    whole = rows(replace(RUN, kind=ROWS, substeps=2))
    assert whole != rows(replace(RUN, kind=ROWS, substeps=2, number=1))
    for base in (RUN, replace(RUN, kind=DIAGONAL, substeps=2)):
        assert rows(base) == rows(base)
        for change in (
            {"lr": 1e-3},
            {"beta1": 0.5},
            {"weight_decay": 9.0},
            {"batch_size": 4},
            {"number": 1},
            {"start": 1},
        ):
            assert rows(replace(base, **change)) != rows(base), change
    assert rows(replace(RUN, extra_noise=1.0)) != rows(RUN)
    assert rows(RUN)[0] == whole[0]  # one start for all that are compared


def test_a_diverging_run_is_recorded(digits):
    rows = perform(replace(RUN, method="signsgd", lr=1e30), digits)
    assert {row["status"] for row in rows} == {"diverged"}
    assert len(rows) == 3


def built(factor):
    """Every run with the same made-up loss, those of SDEs ``factor`` times as large; the rules as they should be."""
    data = load("digits").head(8)
    plan, store = plan_for(data, families_for("x", data, "mlp"), SIZES["small"]), Store(None)
    for run in plan.runs:
        off = 1.0 if run.kind == OPTIMIZER else 1.3 if run.kind == "wrong" else factor
        off *= 1 + 1e-3 * (run.number % 2) * (1 if run.kind != DIAGONAL else 0.1)
        off *= 1.2 if run.lr == 0.016 or (run.batch_size == 32 and run.lr == 0.004) else 1.0
        off *= 2.0 if run.lr == 0.02 and run.weight_decay == 0 else 1.0
        rows = [
            {"point": k, "step": k, "loss": off * (2.3 - 0.1 * k * (run.lr != 0.02)), "accuracy": 0.5,
             "norm": 1 + 3 * (run.weight_decay == 0), "ratio": 0.1, "status": "ok", "seconds": 0.0}
            for k in range(run.points + 1)
        ]  # fmt: skip
        store.add(run, rows)
    return plan, store


def test_claims_follow_the_numbers():
    held = {c.text: c.outcome for c in summary(*built(1.001))[0]}
    assert {o for t, o in held.items() if "gap with the covariance" not in t} == {"holds", "shown"}
    seen = {c.text: c.outcome for c in summary(*built(1.2))[0]}
    failed = {text for text, outcome in seen.items() if outcome == "fails"}
    assert "MLP, SignSGD, noise per coordinate: mean relative gap of the loss" in failed
    assert "MLP, SignSGD, without noise: gap / that of the right model" in failed
    assert not any("batch x 4" in text for text in failed)


def test_distances_of_a_curve():
    plan, store = built(1.1)
    from signscope.reproduce.compagnoni2024.networks_summary import curve_of

    kinds = plan.tracking["mlp", "adamw"]
    found = tracked(curve_of(kinds[ROWS], store), curve_of(kinds[OPTIMIZER], store))
    assert found["gap"] == pytest.approx(0.1, rel=1e-6)
    assert found["late"] == pytest.approx(0.1, rel=1e-6)
    assert found["in_band"] == 0
    assert found["spread"] == pytest.approx(1.1, rel=1e-6)


def test_the_rule_moves_what_section_8_says():
    new = rescaled(0.01).new
    assert (new.lr, *new.betas, new.weight_decay) == pytest.approx((0.008, 0.92, 0.992, 0.2))


@pytest.mark.slow
def test_small_experiment_is_resumed_and_writes_its_files(tmp_path, monkeypatch):
    count, real = [], perform

    def counted(run, data, **kept):
        if len(count) == 7:
            raise KeyboardInterrupt
        count.append(run)
        return real(run, data, **kept)

    monkeypatch.setattr(networks, "perform", counted)
    options = {"size": "small", "model": "mlp", "out": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        run_figure(NAME, **options)
    place = tmp_path / "runs.csv"
    text = place.read_text()
    place.write_text(text[:-20])  # as if killed while the seventh was being written
    again = []
    monkeypatch.setattr(networks, "perform", lambda run, data, **kept: again.append(run) or real(run, data, **kept))
    report = run_figure(NAME, **options)
    data = load("digits").head(64)
    total = len(plan_for(data, ["mlp"], SIZES["small"]).runs)
    assert len(again) == total - 6
    assert again[0] == count[6]
    assert [p.name for p in report.files] == [f"{NAME}.png", "numbers.csv", "report.json"]
    assert json.loads(report.files[-1].read_text())["settings"]["model"] == ["mlp"]
    again.clear()
    monkeypatch.setattr(networks_figure, "draw", lambda *given: Figure())
    assert run_figure(NAME, **options).table.equals(report.table)
    assert again == []


def test_other_data_take_the_networks_that_fit(fashion_idx, reviews):
    fashion, text, imdb = (load(s) for s in (f"fashion_mnist:{fashion_idx}", "shakespeare", f"imdb:{reviews}"))
    assert families_for("x", fashion, None) == ["mlp", "cnn", "resnet", "transformer"]
    assert families_for("x", text, None) == ["mlp", "transformer"]
    assert families_for("x", imdb, None) == ["mlp"]
    assert families_for("x", text, "transformer-160m, mlp") == ["transformer-160m", "mlp"]
    with pytest.raises(InvalidInput, match="transformer-160m"):
        run_figure(NAME, model="cnn", data="shakespeare", size="small")
    with pytest.raises(InvalidInput, match="'vit-huge' does not fit digits"):
        run_figure(NAME, model="vit-huge", size="small")


def test_160_million_weights_are_a_flag_away(tmp_path):
    report = run_figure(NAME, out=tmp_path, model="transformer-160m", data="shakespeare", device="meta")
    assert report.verdict == "not attempted"
    assert report.table["measured"].tolist() == [163_895_808.0]
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "nothing"}, "unknown kind"),
        ({"device": "abacus"}, "`device` 'abacus'"),
        ({"batch_size": 0}, "batch_size"),
        ({"num_seeds": 1}, "num_seeds"),
        ({"size": "medium"}, "size"),
    ],
)
def test_bad_options_are_refused(options, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        run_figure(NAME, out=tmp_path, **{"size": "small", **options})
    assert not (tmp_path / "runs.csv").exists()


def test_it_is_on_the_list():
    assert FIGURES[NAME].paper == "compagnoni2024"


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["digits", "shakespeare"])
def test_small_size_on_bundled_data(spec, tmp_path):
    report = run_figure(NAME, out=tmp_path, size="small", data=spec)
    assert len(report.files) == 3
    assert all(path.stat().st_size > 300 for path in report.files)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fashion_mnist", "cifar10"])
def test_small_size_on_public_images(kind, tmp_path):
    root = os.environ.get("SIGNSCOPE_DATA")
    if not root:
        pytest.skip("real data: set SIGNSCOPE_DATA to the folder that holds them")
    place = Path(root) / ("fashion_mnist.npz" if kind == "fashion_mnist" else ".")
    report = run_figure(NAME, out=tmp_path, size="small", data=f"{kind}:{place}")
    assert set(report.settings["model"]) == {"mlp", "cnn", "resnet", "transformer"}


@pytest.mark.slow
def test_full_size(tmp_path):
    """The default run and what it must show; see docs/reproduce/networks.md for the claims that differ."""
    report = run_figure(NAME, out=tmp_path)
    held = dict(zip(report.table["claim"], report.table["outcome"], strict=True))
    assert sum(outcome == "holds" for outcome in held.values()) >= 30
    first = [outcome for text, outcome in held.items() if text.startswith("MLP")]
    assert len(first) > 3
    assert "fails" not in first
