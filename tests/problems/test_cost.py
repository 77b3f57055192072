"""What takes long or does not fit is said before it is begun, and Ctrl-C is heard while it runs."""

import _thread
import signal
import threading
import time

import numpy as np
import pytest
import torch

from signscope import LeastSquares, Unsupported, predict
from signscope.problems import Dense, MatrixFree, covariance, gaussian_problem, rotated
from signscope.problems import cost as cost_file
from signscope.problems.cost import LongComputation, interruptible, memory_bytes


def test_matrices_larger_than_the_memory_are_refused_at_once(monkeypatch):
    monkeypatch.setattr(cost_file, "memory_bytes", lambda: 16e9)
    with pytest.raises(Unsupported, match=r"30000 coordinates needs about 36 GB of memory, and this machine has 16 GB"):
        gaussian_problem(30_000, rotated=True)
    monkeypatch.setattr(cost_file, "memory_bytes", lambda: 1e8)
    matrix = torch.eye(1, dtype=torch.float64).expand(4000, 4000)
    with pytest.raises(Unsupported, match=r"eigendecomposition of 4000 x 4000 numbers needs about 0\.512 GB"):
        covariance.decomposed(matrix)
    monkeypatch.setattr(cost_file, "memory_bytes", lambda: None)
    assert rotated(np.ones(3)).dim == 3


def test_memory_is_that_of_the_machine_or_of_its_container(tmp_path, monkeypatch):
    whole, limit = memory_bytes(), tmp_path / "memory.max"
    assert whole is None or 1e8 < whole < 1e15
    monkeypatch.setattr(cost_file, "_GROUP", limit)
    for text, wanted in (("1000000\n", 1e6), ("max\n", whole)):
        limit.write_text(text)
        assert memory_bytes() == (wanted if whole else None)


def test_what_takes_long_is_announced_with_its_time(monkeypatch):
    problem = LeastSquares(np.linspace(0.1, 1, 8), noise=0.1)
    slow = LeastSquares(MatrixFree(lambda v: v * torch.arange(1, 31), np.arange(1.0, 31)))
    monkeypatch.setattr(cost_file, "_SLOWEST", 0.0)
    monkeypatch.setattr(cost_file, "_FIRST_LOOK", 0.0)
    monkeypatch.setattr(cost_file, "speed", lambda: 1.0)
    monkeypatch.setattr(cost_file, "LONG", 300.0)
    with pytest.warns(LongComputation, match="rotated: a random basis of 6 coordinates will take about 22 minutes"):
        matrix = rotated(np.arange(1.0, 7.0)).dense()
    monkeypatch.setattr(cost_file, "LONG", 1e-9)
    monkeypatch.setattr(cost_file, "_SLOWEST", 1e30)
    with pytest.warns(LongComputation, match=r"'exact' \(401 steps\) will take about .* Method 'gaussian'"):
        curve = predict(problem, "sgd", lr=0.5, horizon=50, method="exact")
    with pytest.warns(LongComputation, match="200 or more products with a covariance of 30 coordinates"):
        predict(slow, "sgd", lr=0.1, horizon=1, method="quadrature")
    monkeypatch.undo()
    torch.testing.assert_close(matrix, rotated(np.arange(1.0, 7.0)).dense(), rtol=0, atol=0)
    again = LeastSquares(np.linspace(0.1, 1, 8), noise=0.1)
    assert torch.equal(curve.value, predict(again, "sgd", lr=0.5, horizon=50, method="exact").value)


def test_ctrl_c_is_heard_while_a_matrix_routine_runs():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background may ignore it
    try:
        _is_heard()
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 / 0)


def _is_heard():
    started = time.monotonic()
    threading.Timer(0.1, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        interruptible(lambda: time.sleep(3))
    assert time.monotonic() - started < 2


def test_a_report_on_a_large_matrix_needs_no_eigenvalues(monkeypatch):
    eigvals = np.linspace(1.0, 2.0, 40)
    cov = rotated(eigvals)
    monkeypatch.setattr(covariance, "DENSE_REACH", 10)
    assert cov.condition_number == pytest.approx(2.0, rel=1e-3)
    assert cov.rank == 40
    assert "rank 40, condition number 2" in LeastSquares(cov).report
    assert "_eigh" not in cov.__dict__
    singular = Dense(np.ones((12, 12)))  # its eigenvalues are known from its construction
    assert singular.rank == 1
    assert LeastSquares(np.logspace(0, 6, 12)).cov.condition_number == pytest.approx(1e6)
