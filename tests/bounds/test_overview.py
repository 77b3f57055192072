"""All bounds side by side: budgets are kept, targets are met, and what does not apply says why."""

import json
import subprocess
import sys

import pytest

from signscope._core.errors import InvalidInput
from signscope.bounds import Constants, compare_bounds

FULL = Constants.separable(1.0, [0.5, 0.3, 0.2], noise=[1.0, 0.5, 0.2])
NAMES = [
    "signsgd",
    "signsgd, batch 1",
    "signum",
    "ssvr",
    "ssvr_fs",
    "spider_sign",
    "signsvrg",
    "sgd",
    "sgd, separable",
    "muon",
]


@pytest.mark.parametrize("calls", [70, 5000, 10**7])
def test_every_method_spends_what_it_may(calls):
    found = compare_bounds(FULL, num_calls=calls, num_components=64)
    assert [row.name for row in found.rows if row.kind == "upper"] == NAMES
    for row in found.rows:
        assert row.bound is not None, row
        assert row.calls <= calls
        assert row.calls > 0.9 * calls - 64, row.name  # no shorter run than needed


def test_every_method_reaches_its_target_and_not_with_one_percent_less():
    found = compare_bounds(FULL, target=0.05, num_components=64)
    for row in found.rows:
        assert row.bound is not None
        if row.kind == "upper":
            assert 0.049 < row.bound.value <= 0.05
        else:
            assert row.bound.value > 0.05
    before = {row.name: row.bound.value for row in compare_bounds(FULL, num_calls=10**4, num_components=64).rows[:4]}
    after = {row.name: row.bound.value for row in compare_bounds(FULL, num_calls=10**6, num_components=64).rows[:4]}
    assert all(after[name] < before[name] for name in before)


def test_methods_that_lack_a_constant_are_rows_with_the_reason():
    rows = {(r.name, r.kind): r for r in compare_bounds(Constants(1.0, 1.0), num_calls=100).rows}
    assert "dim" in rows["sgd", "upper"].reason
    assert "components" in rows["ssvr_fs", "upper"].reason
    assert "noise_l1" in rows["ssvr", "upper"].reason
    assert rows["signsgd", "lower"].bound is not None
    tight = compare_bounds(Constants(1.0, 1.0), num_calls=10, num_components=64).rows
    assert "first step" in next(r.reason for r in tight if r.name == "spider_sign")


def test_the_overview_is_json_and_a_table():
    found = compare_bounds(FULL, num_calls=100)
    text = json.loads(json.dumps(found.summary(), allow_nan=False))
    assert text["constants"]["noise_density"] == pytest.approx(1.7**2 / (3 * 1.29))
    assert text["bounds"][0]["equation"] == "Delta/(lr T) + lr L/2 + sigma_1/sqrt(B)"
    table = found.to_frame()
    assert list(table["name"]) == [row.name for row in found.rows]
    assert table.loc[4, "status"] == "not applicable"


def test_one_question_at_a_time():
    for wrong in ({}, {"num_calls": 3, "target": 0.1}):
        with pytest.raises(InvalidInput, match="either"):
            compare_bounds(FULL, **wrong)
    with pytest.raises(InvalidInput, match="`num_components`"):
        compare_bounds(FULL, num_calls=100, num_components=0)  # not a row that says so


def test_bounds_without_instances_load_neither_torch_nor_scipy():
    code = "import sys, signscope.bounds as b; b.signsgd(b.Constants(1, 1, 1), num_calls=9); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "scipy", "pandas"} & set(done.stdout.split())
