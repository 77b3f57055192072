"""Small problems run on one thread: there, waiting for one another costs threads more than they gain."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from signscope.problems import LeastSquares

SMALL_DIM = 1000  # products of a vector or a stack of modes
SMALL_PRODUCT = 3e7  # n d^2 of one average over the rows


@contextmanager
def fitting_threads(problem: LeastSquares) -> Iterator[None]:
    """One torch thread inside if ``problem`` is small; the number of before is restored.

    Results of a small problem then do not depend on the number of cores either.
    """
    before = torch.get_num_threads()
    size = 0 if problem.rows is None else problem.rows.num_rows * problem.dim**2
    small = problem.dim <= SMALL_DIM and size <= SMALL_PRODUCT
    if small and before > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if small and before > 1:
            torch.set_num_threads(before)
