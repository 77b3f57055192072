"""GPT, texts, options of the training loop, noise along the runs, and the experiments made of them."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from signscope._core.errors import InvalidInput, Unsupported
from signscope.measure import gradient_noise
from signscope.reproduce import sweep_runs
from signscope.reproduce.job import Job
from signscope.reproduce.machine import Machine
from signscope.reproduce.store import Store
from signscope.reproduce.sweep_runs import widened
from signscope.reproduce.tao2026 import density_gpt2, density_resnet, gpt2_signsgd_vs_sgd
from signscope.reproduce.tao2026.conducting import network
from signscope.reproduce.tao2026.gpt import GPT, SHAPES, VOCABULARY, Shape
from signscope.reproduce.tao2026.probing import MEASURED, Probing
from signscope.reproduce.tao2026.texts import load_text
from signscope.reproduce.training_run import Loop, train
from signscope.reproduce.transformers import AttentionBlock

JOB = Job("shakespeare", 64, "gpt-tiny", "adamw", 3e-3, None, 8, 1.0, 2, 0, decay=1e-3, clip=0.5)
OPTIONS = {"make_net": network, "measure": Probing(8)}


@pytest.fixture(scope="module")
def text():
    return load_text("shakespeare", context=64).head(64)


def path(job, data, **more):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in train(job, data, **{**OPTIONS, **more})]


def test_gpt2_has_the_published_number_of_weights_without_being_allocated():
    with torch.device("meta"):
        net = GPT(VOCABULARY, SHAPES["gpt2"])
    assert sum(param.numel() for param in net.parameters()) == 124_439_808
    assert all(param.is_meta for param in net.parameters())
    assert net(torch.empty(2, 1024, dtype=torch.int64, device="meta")).shape == (2, 1024, VOCABULARY)


def test_gpt_sees_no_later_token_and_the_fused_attention_is_the_written_one():
    net = network(JOB, load_text("shakespeare", context=64), 3)
    codes = torch.randint(0, 61, (2, 20), generator=torch.Generator().manual_seed(0))
    changed = codes.clone()
    changed[:, 12:] = 0
    assert torch.equal(net(codes)[:, :12], net(changed)[:, :12])
    assert not torch.allclose(net(codes)[:, 12:], net(changed)[:, 12:])
    block, x = net.blocks[0], torch.randn(2, 9, 64, generator=torch.Generator().manual_seed(1))
    written = AttentionBlock(64, heads=4, is_causal=True)
    written.load_state_dict(block.state_dict())
    assert torch.allclose(block(x), written(x), atol=1e-5)


def test_gpt_starts_as_published():
    torch.manual_seed(0)
    net = GPT(300, Shape(64, 8, 4, 32))
    assert float(net.embedding.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert float(net.blocks[3].out.weight.detach().std()) == pytest.approx(0.02 / 4, rel=0.1)
    assert float(net.blocks[3].mix.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert net.head.weight is net.embedding.weight


def test_one_step_of_the_published_recipe_reduced(tmp_path):
    """The 124M vocabulary, bfloat16, micro-batches, clipping and decay, on a narrow GPT."""
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, 9 * 64 + 200).astype("<u2")
    tokens.tofile(tmp_path / "train.bin")
    data = load_text(f"tokens:{tmp_path / 'train.bin'}", context=64)
    assert data.num_classes == VOCABULARY
    job = replace(JOB, data=data.name, rows=len(data.train_x), batch_size=8, points=1, precision="bfloat16")
    rows = path(job, data, machine=Machine(micro_batch=4))
    assert [row["steps"] for row in rows] == [0, 1]
    assert rows[-1]["status"] == "ok"
    assert rows[0]["train_loss"] == pytest.approx(math.log(VOCABULARY), rel=0.02)
    assert rows[1]["train_loss"] < rows[0]["train_loss"]


@pytest.mark.parametrize("method", ["muon", "sgd_coupled", "signsgd_decayed"])
def test_a_begun_run_continues_bit_for_bit(method, text, tmp_path, monkeypatch):
    job, file = replace(JOB, method=method, probes=8 if method == "muon" else 0, rows=32), tmp_path / "begun.pt"
    whole, real, steps = path(job, text), Loop.step, []

    def limited(loop):
        if len(steps) == whole[1]["steps"] + 1:
            raise KeyboardInterrupt
        steps.append(1)
        return real(loop)

    monkeypatch.setattr(Loop, "step", limited)
    with pytest.raises(KeyboardInterrupt):
        path(job, text, unfinished=file, interval=0.0)
    monkeypatch.setattr(Loop, "step", real)
    assert json.dumps(path(job, text, unfinished=file, interval=0.0)) == json.dumps(whole)  # NaN equals NaN here


def test_every_option_moves_the_path_and_measuring_noise_does_not(text):
    base = path(JOB, text)[-1]["test_loss"]
    plain = path(replace(JOB, method="sgd"), text)[-1]["test_loss"]
    for change, other in (
        ({"decay": 0.1}, base),
        ({"clip": 1e-4, "method": "sgd"}, plain),
        ({"precision": "bfloat16"}, base),
    ):
        assert path(replace(JOB, **change), text)[-1]["test_loss"] != other
    probed = path(replace(JOB, probes=8), text)[-1]
    assert probed["test_loss"] == base
    params = dict(network(JOB, text, 0).named_parameters())
    sigmas = probed["sigma1"] ** 2 / (probed["sigma2"] ** 2 * sum(param.numel() for param in params.values()))
    assert probed["density"] == pytest.approx(sigmas, rel=1e-6)
    assert probed["density_low"] < 0.999 * probed["density"]  # eight batches leave it open
    assert set(json.loads(probed["layers"])) == set(params)


def test_decay_takes_its_share_and_clipping_bounds_the_step(text):
    job = replace(JOB, method="sgd_plain", lr=1.0, clip=0.01, decay=0.0)
    loop = Loop(job, text, network(job, text, 0))
    before = nn.utils.parameters_to_vector(loop.params).detach().clone()
    loop.step()
    moved = nn.utils.parameters_to_vector(loop.params).detach() - before
    assert float(moved.norm()) == pytest.approx(0.01, rel=1e-3)
    loop = Loop(replace(job, lr=0.0, decay=0.25), text, network(job, text, 0))
    kept = [param.detach().clone() for param in loop.params]
    loop.step()
    for param, old in zip(loop.params, kept, strict=True):
        assert torch.equal(param, old * 0.75 if param.ndim > 1 else old)


def test_parts_of_a_batch_add_up(text):
    whole, parts = (Loop(JOB, text, network(JOB, text, 0), Machine(micro_batch=m)) for m in (None, 3))
    batch = text.train_x[:8], text.train_y[:8]
    assert whole.gradient(batch) == pytest.approx(parts.gradient(batch), rel=1e-5)
    for a, b in zip(whole.params, parts.params, strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-6)


@pytest.mark.slow
def test_compiled_networks_train_the_same(text, monkeypatch):
    real, seen = torch.compile, []
    monkeypatch.setattr(torch, "compile", lambda net: seen.append(net) or real(net, backend="eager"))
    job = replace(JOB, batch_size=32)
    found = path(job, text, machine=Machine(compiled=True))
    assert len(seen) == 1
    assert found[-1]["test_loss"] == pytest.approx(path(job, text)[-1]["test_loss"], rel=1e-4)


def test_methods_of_several_gradients_refuse_what_would_break_them(text):
    for job in (replace(JOB, method="ssvr"), replace(JOB, method="ssvr", decay=0.0, clip=None, precision="bfloat16")):
        with pytest.raises(Unsupported, match="several gradients"):
            Loop(job, text, network(job, text, 0))


@pytest.mark.slow
def test_the_density_along_a_run_is_that_of_gradient_noise(text):
    """The last measurement against a measurement of the trained network on other batches, twice as many."""
    job = replace(JOB, probes=32, points=1)
    nets = []

    def kept(*args):
        nets.append(network(*args))
        return nets[-1]

    row = path(job, text, make_net=kept)[-1]
    rng = np.random.default_rng(9)
    batches = [(text.train_x[k], text.train_y[k]) for k in (torch.from_numpy(rng.choice(64, 8)) for _ in range(64))]

    def loss(net, batch):
        return nn.functional.cross_entropy(net(batch[0]).flatten(0, -2), batch[1].flatten())

    assert row["density"] == pytest.approx(gradient_noise(nets[0], loss, batches, num_batches=64).density, rel=0.1)


@pytest.mark.parametrize(("spec", "classes"), [("shakespeare", 61), ("words", 3_300), ("text:{}", 4), ("words:{}", 4)])
def test_texts_give_every_token_its_successor(spec, classes, tmp_path):
    file = tmp_path / "small.txt"
    file.write_text("ab ba\n" * 200)  # letters a, b, blank, newline
    data = load_text(spec.format(file), context=8)
    assert torch.equal(data.train_x[0, 1:], data.train_y[0, :-1])
    assert int(data.train_x.max()) < data.num_classes
    assert data.num_classes == classes  # of the words of the file: two, newline, unknown


@pytest.mark.parametrize(
    ("spec", "message"),
    [("letters", "must be"), ("text", "must be"), ("shakespeare:x", "must be"), ("text:/none", "no file")],
)
def test_wrong_texts_are_refused(spec, message):
    with pytest.raises(InvalidInput, match=message):
        load_text(spec, context=8)


def test_short_texts_and_foreign_tokens_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("ab")
    np.array([60_000] * 99, dtype="<u2").tofile(tmp_path / "b.bin")
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe\x00" * 50)
    for spec, message in (
        ("text:a.txt", "too short"),
        ("tokens:b.bin", "token 60000"),
        ("text:c.txt", "cannot be read"),
    ):
        kind, _, name = spec.partition(":")
        with pytest.raises(InvalidInput, match=message):
            load_text(f"{kind}:{tmp_path / name}", context=8)


def test_a_grid_grows_at_its_edge():
    assert widened([0.01, 0.03, 0.1], 0.1) == pytest.approx(0.333)
    assert widened([0.01, 0.03, 0.1], 0.01) == pytest.approx(0.00333)
    assert widened([0.01, 0.03, 0.1], 0.03) is None
    assert widened([0.01], 0.01) is None


def test_the_store_keeps_text_and_numbers(tmp_path, text):
    job = replace(JOB, probes=8, points=1)
    rows = train(job, text, **OPTIONS)
    Store(tmp_path / "runs.csv", MEASURED).add(job, rows)
    again = Store(tmp_path / "runs.csv", MEASURED).rows(job)
    assert again == [{key: row[key] for key in again[0]} for row in rows]


def test_a_small_run_writes_judges_and_computes_nothing_twice(tmp_path, monkeypatch, request):
    report = density_gpt2.run(tmp_path, size="small")
    assert [path.name for path in report.files] == ["tao2026-density-gpt2.png", "numbers.csv", "report.json"]
    assert "Published: 0.3 at the start" in report.text
    before = (tmp_path / "runs.csv").read_bytes()
    monkeypatch.setattr(sweep_runs, "train", lambda *a, **k: pytest.fail("computed again"))
    request.getfixturevalue("unrendered")
    again = density_gpt2.run(tmp_path, size="small")
    assert again.table.equals(report.table)
    assert (tmp_path / "runs.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "published"}, "needs `data`"),
        ({"data": "nothing"}, "must be"),
        ({"precision": "float8"}, "precision"),
        ({"batch_size": 10**6}, "batch_size"),
        ({"micro_batch": 0}, "micro_batch"),
        ({"device": "abacus"}, "`device` 'abacus'"),
        ({"size": "medium"}, "size"),
    ],
)
def test_bad_options_are_refused_before_anything_runs(options, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        density_gpt2.run(tmp_path / "new", **{"size": "small", **options})
    assert not (tmp_path / "new" / "runs.csv").exists()


SHARED = """
import sys, json, torch
torch.set_num_threads(1)
from signscope.reproduce.tao2026 import density_gpt2
report = density_gpt2.run(sys.argv[1], size="small")
print("CLAIMS", json.dumps(report.table["measured"].tolist()))
"""


@pytest.mark.slow
def test_two_processes_under_torchrun_share_the_batches(tmp_path):
    """Losses of two processes are those of one up to rounding; the first one writes."""
    script = tmp_path / "job.py"
    script.write_text(SHARED)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(script), str(tmp_path / "two")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    density_gpt2.run(tmp_path / "one", size="small")
    lines = [(tmp_path / name / "numbers.csv").read_text().splitlines() for name in ("one", "two")]
    assert len(lines[0]) == len(lines[1])
    column = lines[0][0].split(",").index("test_loss")
    for one, two in zip(lines[0][1:], lines[1][1:], strict=True):
        first, second = (float(line.split(",")[column]) for line in (one, two))
        assert first == pytest.approx(second, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [density_gpt2.run, density_resnet.run, gpt2_signsgd_vs_sgd.run])
def test_full_sizes_finish_with_a_verdict(experiment, tmp_path):
    report = experiment(tmp_path)
    assert report.verdict in ("matched", "differs")
    assert "edge" in report.text
    assert report.seconds < 600


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [density_resnet.run, gpt2_signsgd_vs_sgd.run])
def test_small_sizes_of_the_others_finish(experiment, tmp_path):
    assert experiment(tmp_path, size="small").verdict in ("matched", "differs")
