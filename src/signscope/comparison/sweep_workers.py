"""Who computes the cells of a sweep: this process, processes beside it, or a cluster; answers come when found."""

import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from signscope._core.errors import InvalidInput
from signscope.comparison.sweep_cell import Cell, compute
from signscope.comparison.sweep_grid import WHO

LOSSES = 3  # times that a pool of processes may break without any answer in between
PATIENCE = 30  # seconds in which a scheduler answers, and has a worker

Answer = tuple[Cell, dict[str, Any] | None, str]
"""A cell with its result, or with None and the reason."""
Source = Callable[[Sequence[Cell]], Iterator[Answer]]


def attempt(cell: Cell) -> Answer:
    """The answer for one cell; what it raises becomes the reason."""
    try:
        return cell, compute(cell), ""
    except Exception as error:
        return cell, None, " ".join(f"{type(error).__name__}: {error}".split())


def attempt_apart(cell: Cell) -> Answer:
    """The same in a process of its own: on one thread, and deaf to a Ctrl-C that is meant for the parent."""
    use_one_thread()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return attempt(cell)


def use_one_thread() -> None:
    """One thread per process for torch and the linear algebra of numpy, from now on."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)


def here(cells: Sequence[Cell]) -> Iterator[Answer]:
    """One after the other in this process, on one thread; the number of before is restored."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    for cell in cells:
        torch.set_num_threads(1)
        try:
            with threadpool_limits(1):
                answer = attempt(cell)
        finally:
            torch.set_num_threads(before)
        yield answer


def beside(cells: Sequence[Cell], *, n_jobs: int) -> Iterator[Answer]:
    """In ``n_jobs`` processes by joblib (-1: one per core); cells lost with a killed process are computed again."""
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    left, losses = dict.fromkeys(cells), 0
    while left:
        try:
            with parallel_config("loky", inner_max_num_threads=1):
                pool: Any = Parallel(n_jobs=n_jobs, batch_size=1, return_as="generator_unordered")  # pyright: ignore[reportArgumentType]
                for answer in pool(delayed(attempt_apart)(cell) for cell in list(left)):
                    del left[answer[0]]
                    losses = 0
                    yield answer
        except TerminatedWorkerError:
            losses += 1
            if losses > LOSSES:
                for cell in left:
                    yield cell, None, "the processes were killed again and again (out of memory?)"
                return


def afar(cells: Sequence[Cell], *, scheduler: str) -> Iterator[Answer]:
    """On the workers of a Dask cluster; the scheduler gives the cells of a lost worker to another one.

    Raises:
        InvalidInput: dask is not installed, nobody answers at ``scheduler``, or it has no workers.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise InvalidInput(
            f"{WHO}: `scheduler` needs dask and distributed: install signscope with its extra `cluster`, as the "
            "README's section on installation says."
        ) from None
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InvalidInput(f"{WHO}: no Dask scheduler answers at {scheduler!r} ({reason[:120]}).") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise InvalidInput(f"{WHO}: the scheduler at {scheduler} has no workers; start some.") from None
        tag = uuid.uuid4().hex[:12]  # the same cell of an earlier sweep must not answer
        futures = {
            client.submit(attempt_apart, cell, key=f"signscope-{tag}-{i}", pure=False): cell
            for i, cell in enumerate(cells)
        }
        for future in as_completed(futures, loop=client.loop):
            cell, status = futures.pop(future), future.status
            answer = future.result() if status == "finished" else (cell, None, f"{status}: {_reason(future)}")
            future.release()  # a worker lost from now on does not bring it back
            yield answer


def _reason(future: Any) -> str:
    error = future.exception(timeout=PATIENCE) if future.status == "error" else None
    return "the scheduler is gone" if error is None else " ".join(f"{type(error).__name__}: {error}".split())
