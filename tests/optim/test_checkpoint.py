"""Saved and continued is the same as uninterrupted, bit for bit, in every phase and in another process."""

import copy
import io
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers.optim_catalogue import BY_NAME, ROWS, Sum
from signscope import optim
from signscope._core.errors import InvalidInput

TOTAL = 10
PHASES = [(row, at, {}) for row in ROWS for at in (0, 1, 4, 6)]
PHASES += [(BY_NAME["ssvr"], at, {"init_batches": 3}) for at in (1, 2, 3)]
PHASES += [(BY_NAME["ssvr_fs"], at, {"reset_at_checkpoint": True}) for at in (4, 5)]
PHASES += [(BY_NAME["ssvr"], 5, {"loss_scale": 8.0, "check_every": 2})]


def same(points, others):
    return all(torch.equal(a, b) for a, b in zip(points, others, strict=True))


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(("row", "at", "options"), PHASES, ids=lambda x: getattr(x, "name", str(x)))
def test_resumed_is_uninterrupted(row, at, options):
    problem = Sum()
    params = problem.parameters()
    opt = row.make(problem, params, **options)
    whole = row.advance(opt, problem, params, TOTAL)
    params = problem.parameters()
    opt = row.make(problem, params, **options)
    row.advance(opt, problem, params, at)
    saved = through_a_file([opt.state_dict(), [p.detach() for p in params]])
    fresh = [torch.nn.Parameter(p.clone()) for p in saved[1]]
    resumed = row.make(problem, fresh)  # the options come from the checkpoint
    resumed.load_state_dict(saved[0])
    resumed.loss_scale, resumed.check_every = getattr(opt, "loss_scale", None), getattr(opt, "check_every", None)
    path = row.advance(resumed, problem, fresh, TOTAL - at, first=at)
    assert same(path[-1], whole[-1])
    assert resumed.counters == {**opt.counters, **resumed.counters}
    assert resumed.counters["steps"] == TOTAL - max(0, options.get("init_batches", 1) - 1)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_saving_is_not_touched_by_further_steps(row):
    problem = Sum()
    params = problem.parameters()
    opt = row.make(problem, params)
    row.advance(opt, problem, params, 3)
    saved = opt.state_dict()
    row.advance(opt, problem, params, 2, first=3)
    assert saved["param_groups"][0]["counters"]["steps"] == 3


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_copies_and_pickles_continue_alike(row):
    if row.kind == "sum":
        pytest.skip("a closure cannot be pickled")
    problem = Sum()
    params = problem.parameters()
    opt = row.make(problem, params)
    row.advance(opt, problem, params, 3)
    twin_opt, twin_params = pickle.loads(pickle.dumps((opt, params)))
    twin_params = [p for g in twin_opt.param_groups for p in g["params"]]
    deep_opt = copy.deepcopy(opt)
    deep_params = [p for g in deep_opt.param_groups for p in g["params"]]
    ends = [
        row.advance(o, problem, ps, 4, first=3)[-1]
        for o, ps in ((opt, params), (twin_opt, twin_params), (deep_opt, deep_params))
    ]
    assert same(ends[0], ends[1])
    assert same(ends[0], ends[2])


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from helpers.optim_catalogue import BY_NAME, Sum
ends = []
for name, at, state, points in torch.load(sys.argv[2], weights_only=False):
    row, problem = BY_NAME[name], Sum()
    params = [torch.nn.Parameter(p) for p in points]
    opt = row.make(problem, params)
    opt.load_state_dict(state)
    ends.append(row.advance(opt, problem, params, 10 - at, first=at)[-1])
torch.save(ends, sys.argv[3])
"""


def test_resumed_in_another_process_in_every_phase(tmp_path):
    phases = [(row, at, options) for row, at, options in PHASES if "loss_scale" not in options]
    saved, whole = [], []
    for row, at, options in phases:
        problem = Sum()
        params = problem.parameters()
        opt = row.make(problem, params, **options)
        row.advance(opt, problem, params, at)
        saved.append(copy.deepcopy((row.name, at, opt.state_dict(), [p.detach() for p in params])))
        whole.append(row.advance(opt, problem, params, TOTAL - at, first=at)[-1])
    torch.save(saved, tmp_path / "saved.pt")
    tests = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", SCRIPT, str(tests), str(tmp_path / "saved.pt"), str(tmp_path / "ends.pt")]
    subprocess.run(command, check=True, timeout=120)
    ends = torch.load(tmp_path / "ends.pt")
    for (row, at, options), end, expected in zip(phases, ends, whole, strict=True):
        assert same(end, expected), (row.name, at, options)


@pytest.mark.parametrize("row", [r for r in ROWS if r.cls.buffers], ids=lambda row: row.name)
def test_a_missing_buffer_is_named(row):
    problem = Sum()
    params = problem.parameters()
    opt = row.make(problem, params)
    row.advance(opt, problem, params, 2)
    for name in row.cls.buffers:
        saved = copy.deepcopy(opt.state_dict())
        del saved["state"][1][name]
        with pytest.raises(InvalidInput, match=rf"no `{name}` for parameter 1, shape \(5, 2\)"):
            row.make(problem, params).load_state_dict(saved)
        saved["state"][1][name] = torch.zeros(7)
        with pytest.raises(InvalidInput, match=rf"`{name}` of parameter 1 has shape \(7,\)"):
            row.make(problem, params).load_state_dict(saved)
    saved = copy.deepcopy(opt.state_dict())
    del saved["param_groups"][0]["counters"]
    with pytest.raises(InvalidInput, match="no `counters`"):
        row.make(problem, params).load_state_dict(saved)


def test_state_of_another_optimizer_or_of_a_missing_parameter_is_refused():
    problem = Sum()
    params = problem.parameters()
    signum, ssvr = (BY_NAME[n].make(problem, params) for n in ("signum", "ssvr"))
    with pytest.raises(InvalidInput, match="SSVR: the checkpoint was saved by Signum"):
        ssvr.load_state_dict(signum.state_dict())
    BY_NAME["ssvr"].advance(ssvr, problem, params, 2)
    saved = copy.deepcopy(ssvr.state_dict())
    del saved["state"][2]
    with pytest.raises(InvalidInput, match="no state for parameter 2"):
        ssvr.load_state_dict(saved)


def test_float32_state_of_half_precision_weights_survives():
    param = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    opt = optim.Signum([param], lr=0.1, master_weights=True)
    param.grad = torch.full((4,), 0.3, dtype=torch.bfloat16)
    opt.step()
    saved = through_a_file(opt.state_dict())
    other = optim.Signum([torch.nn.Parameter(param.detach().clone())], lr=0.1)
    other.load_state_dict(saved)
    state = next(iter(other.state.values()))
    assert {name: t.dtype for name, t in state.items()} == {"momentum_buffer": torch.float32, "master": torch.float32}
    assert torch.equal(state["master"], torch.full((4,), 0.9))
    del saved["state"][0]["master"]
    with pytest.raises(InvalidInput, match="no `master`"):
        other.load_state_dict(saved)
