"""Packing on GPUs: Triton's kernels interpreted on the CPU, compiled for real GPUs, and run where there is one.

Triton comes with the builds of torch that use GPUs, and with the extra `references`.
"""

import importlib.util
import os
import re
import subprocess
import sys
import types

import pytest
import torch

from helpers import distributed_jobs as jobs
from helpers.processes import launch
from signscope.optim.distributed import METHODS, packing

CPU = torch.device("cpu")
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="needs triton: install the extra `references`"
)

INTERPRETED = """
import torch
from signscope.optim.distributed import packing, triton_kernels
assert packing._agrees(triton_kernels, torch.device("cpu"))
values = torch.randn(8 * 1500, generator=torch.Generator().manual_seed(0))
values[::5] = 0
for length in (8, 4096, 4104, 12000):
    packed = packing.pack_signs(values[:length], zero=packing.ODD)
    assert torch.equal(triton_kernels.pack_signs(values[:length], packing.ODD), packed)
    out = torch.full((length + 8,), 7.0)
    triton_kernels.unpack_signs(packed, out[:length], 0.3)
    assert torch.equal(out[:length], packing.unpack_signs(packed, torch.empty(length), length=0.3))
    assert (out[length:] == 7).all()
"""

COMPILED = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from signscope.optim.distributed import triton_kernels as kernels
even = [["tt.divisibility", 16]]
for function, types in (
    (kernels._pack, {"values": "*fp32", "zeros": "*u8", "out": "*u8", "length": "i32", "STRIDE": 0}),
    (kernels._unpack, {"packed": "*u8", "step": "*fp32", "out": "*fp32", "length": "i32"}),
):
    types["BLOCK"] = kernels.BLOCK
    signature = {name: kind if isinstance(kind, str) else "constexpr" for name, kind in types.items()}
    fixed = {name: kind for name, kind in types.items() if not isinstance(kind, str)}
    source = ASTSource(fn=function, signature=signature, constexprs=fixed, attrs={(0,): even, (2,): even})
    for architecture in (80, 90):
        code = compile(source, target=GPUTarget("cuda", architecture, 32)).asm
        assert len(code["cubin"]) > 1000
        print(function.__name__, code["ptx"].replace("\\n", " "))
"""


def run(program, **environment):
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment, "TRITON_DEFAULT_FP_FUSION": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_triton
def test_the_kernels_give_the_bits_of_the_cpu():
    run(INTERPRETED, TRITON_INTERPRET="1")


@needs_triton
@pytest.mark.slow
def test_the_compiled_kernels_touch_every_number_once_sixteen_bytes_at_a_time(tmp_path):
    lines = run(COMPILED, TRITON_CACHE_DIR=str(tmp_path)).splitlines()
    assert len(lines) == 4
    for line in lines:
        moves = re.findall(r"\b(?:ld|st)\.global\S*", line)
        wide = [move for move in moves if ".v4.b32" in move]
        assert len(wide) == 8  # 32 numbers per thread, four at a time
        assert {move.split(".")[0] for move in wide} == ({"ld"} if line.startswith("_pack") else {"st"})
        assert not re.search(r"local\.", line)  # nothing spills


@pytest.mark.parametrize("fault", ["other bits", "no compiler"])
def test_kernels_that_fail_are_not_used(fault):
    def pack_signs(values, zero):
        if fault == "no compiler":
            raise RuntimeError("Failed to find C compiler")
        return packing._pack_signs(values, zero) ^ 1

    right = types.SimpleNamespace(pack_signs=packing._pack_signs, unpack_signs=packing._unpack_signs)
    assert packing._agrees(right, CPU)
    wrong = types.SimpleNamespace(pack_signs=pack_signs, unpack_signs=packing._unpack_signs)
    with pytest.warns(RuntimeWarning, match="cannot be used on cpu .*" + fault.rsplit(" ", 1)[-1]):
        assert not packing._agrees(wrong, CPU)


# --- where there is a GPU ---------------------------------------------------------------------------------------------

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
CASES = [{"method": name, "lr": 0.013, "block_size": 24, "radius": 10.0, "beta": 0.3} for name in METHODS]


@needs_gpu
@pytest.mark.gpu
def test_a_gpu_packs_by_triton_and_votes_as_the_cpu():
    device = torch.device("cuda", 0)
    assert packing._on_gpu(device) is not None
    values = torch.randn(2**20, generator=torch.Generator().manual_seed(0))
    values[::5] = 0
    for zero in (packing.EVEN, packing.ODD):
        assert torch.equal(
            packing.pack_signs(values.to(device), zero=zero).cpu(), packing.pack_signs(values, zero=zero)
        )
    ballots = torch.randint(256, (5, 4096), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(packing.vote(ballots.to(device), tie=0).cpu(), packing.vote(ballots, tie=0))


@needs_gpu
@pytest.mark.gpu
@pytest.mark.multiproc
def test_nccl_follows_the_path_of_gloo():
    ranks = torch.cuda.device_count()
    there = launch(jobs.paths, ranks, [{**case, "device": "cuda"} for case in CASES], 6, backend="nccl")
    here = launch(jobs.paths, ranks, CASES, 6)
    for on_gpu, on_cpu in zip(there, here, strict=True):
        for case, (path, sent, _), (expected, others, _) in zip(CASES, on_gpu, on_cpu, strict=True):
            assert path == pytest.approx(expected, abs=1e-5), case
            assert sent == others
