"""Real processes walk, bit for bit, the path of all workers in one process; the bytes are those of the formula."""

import pytest
import torch

from helpers import distributed_jobs as jobs
from helpers.processes import launch
from signscope.optim.distributed import METHODS, bytes_per_step
from signscope.simulation.workers import simulate_workers

STEPS = 9  # first batches, two full gradients, and the first batch again
COMMON = {"lr": 0.013, "block_size": 24, "radius": 10.0, "weight_decay": 0.1, "init_batches": 2, "seed": 3}
CASES = [
    *({"method": name} for name in METHODS),
    *({"method": name, "bucket_size": 50, "tie": "random"} for name in METHODS),
    {"method": "majority-vote", "momentum": 0.9, "tie": "ternary"},
    {"method": "sto-sign", "tie": "ternary"},
    {"method": "dvr-sign", "tie": "ternary"},
    {"method": "ssvr-mv", "server": "random", "ball": 5.0},
    {"method": "ssvr-mv", "server": "random", "tie": "ternary"},
    {"method": "ef-sign", "tie": "random", "momentum": 0.0},
    {"method": "dvr-q", "max_scale": 0.7},
    {"method": "ef-sign", "max_scale": 0.004},
]
CHOSEN = {
    1: [*({"method": name} for name in METHODS), {"method": "majority-vote", "tie": "ternary"}],
    2: [*({"method": name} for name in METHODS), *(case for case in CASES if case.get("tie") == "ternary")],
    3: CASES,
    4: [*({"method": name} for name in METHODS), {"method": "dvr-q", "bucket_size": 50, "tie": "random"}],
}


def reference(num_workers, case, dims, steps=STEPS):
    hills = jobs.Hills(num_workers)
    options = {k: v for k, v in {**COMMON, **case}.items() if k != "bucket_size"}
    return simulate_workers(
        [hills.gradient(j) for j in range(num_workers)],
        hills.start,
        num_steps=steps,
        full_gradients=[hills.full(j) for j in range(num_workers)],
        period=4,
        buckets=dims,
        **options,
    )


def expected_bytes(case, size, padded, moves):
    method, blocks = case["method"], padded // COMMON["block_size"]
    ternary = case.get("tie") == "ternary" and case.get("server") != "random" and METHODS[method].one_bit_down
    down_bits = 8 if method == "ssdm" else 2 if ternary else 1
    scaled = method.startswith(("dvr", "ef"))
    answers_scaled = blocks if method.startswith(("dvr-q", "ef")) else 0
    up_scales = blocks if scaled else size if method == "ssdm" else 0
    full = bytes_per_step(padded, size, down_bits=down_bits, up_scales=up_scales, down_scales=answers_scaled)
    only_down = bytes_per_step(padded, size, up_bits=0, down_bits=down_bits, down_scales=answers_scaled)
    begins = 0 if not method.startswith("dvr") else -(-moves // 4) if method.endswith("fs") else 1
    return (moves - begins) * full + begins * only_down, begins * 4 * padded * (size - 1) / size


@pytest.mark.multiproc
@pytest.mark.parametrize("size", CHOSEN)
def test_processes_walk_the_path_of_the_reference(size):
    chosen = CHOSEN[size]
    results = launch(jobs.paths, size, [{**COMMON, **case} for case in chosen], STEPS)
    for index, case in enumerate(chosen):
        path, sent, layout = results[0][index]
        run = reference(size, case, [dim for dim, _ in layout])
        assert torch.equal(torch.from_numpy(path), run.path), case
        assert all((other[index][0] == path).all() for other in results), f"ranks differ: {case}"
        wanted = [expected_bytes(case, size, padded, run.moves) for _, padded in layout]
        assert sent[:2] == (sum(w[0] for w in wanted), sum(w[1] for w in wanted)), case
    if size == 3:  # teeth: another seed, or another order of workers, is another path
        other = reference(size, {"method": "dvr-sign", "seed": 4}, [390])
        assert not torch.equal(other.path, torch.from_numpy(results[0][list(METHODS).index("dvr-sign")][0]))


@pytest.mark.multiproc
def test_unequal_batches_are_weights():
    """Rows 1, 3 and 5: the reference with the weights 1/9, 3/9 and 5/9."""
    chosen = [name for name, kind in METHODS.items() if kind.weighted]
    results = launch(jobs.weighted_paths, 3, [{**COMMON, "method": name} for name in chosen], STEPS)
    for index, name in enumerate(chosen):
        run = reference(3, {"method": name, "weights": (1 / 9, 3 / 9, 5 / 9)}, [sum(jobs.SIZES)])
        assert all((other[index] == run.path.numpy()).all() for other in results), name
        equal = reference(3, {"method": name}, [sum(jobs.SIZES)])
        assert not torch.equal(equal.path, run.path)


def test_one_bit_per_coordinate_is_a_32nd_of_an_fp32_all_reduce():
    dim = 124_000_000
    for size in (2, 4, 8):
        assert bytes_per_step(dim, size) == 8 * dim * (size - 1) / size / 32
    assert bytes_per_step(dim, 8) / 1e6 == pytest.approx(27.1, abs=0.03)
    assert bytes_per_step(dim, 8, down_bits=2) / 1e6 == pytest.approx(40.7, abs=0.03)
    assert bytes_per_step(dim, 8, up_scales=dim // 256) / 1e6 == pytest.approx(28.8, abs=0.03)
    assert [round(bytes_per_step(dim, n) / 1e6, 1) for n in (2, 16, 64)] == pytest.approx([15.5, 29.1, 30.5], abs=0.05)
    assert bytes_per_step(6144, 3, up_scales=96) == 1280
