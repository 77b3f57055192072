"""The loop over groups of runs, blocks of rows and recorded times."""

import bisect
from collections.abc import Callable, Generator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from signscope._core.errors import InvalidInput
from signscope._core.progress import Meter
from signscope.problems import LeastSquares
from signscope.simulation.colouring import colouring
from signscope.simulation.feed import Block, blocks, empty_block, one_thread_per_operation
from signscope.simulation.lanes import DataLane, GaussianLane, Lane
from signscope.simulation.recording import Recorder
from signscope.simulation.settings import Settings, layout
from signscope.simulation.stepping import Stepper, stepper


@dataclass(frozen=True)
class Outcome:
    """Risks, shape (num_runs, num_times): fewer runs or fewer times where a key stopped the simulation."""

    runs: Tensor
    interrupted: bool = False


class Engine:
    """One simulation: its problem, its settings, and the way it is cut.

    Args:
        problem: The problem; its ``rows`` are read unless ``settings.rows`` is ``"gaussian"``.
        settings: Checked arguments.
        meter: Told the fraction that is done after every block.
        make: Gives the stepper that moves some displacements; that of ``settings.optimizer`` by default.
    """

    def __init__(
        self,
        problem: LeastSquares,
        settings: Settings,
        meter: Meter,
        *,
        make: Callable[[Tensor], Stepper] | None = None,
    ) -> None:
        self.problem, self.settings, self.meter = problem, settings, meter
        self._make = make or partial(stepper, settings)
        gaussian = settings.rows == "gaussian"
        self.cut = layout(
            settings,
            dim=problem.dim,
            num_factors=problem.cov.num_factors if gaussian else 0,
            num_rows=problem.rows.num_rows if problem.rows is not None and settings.rows == "once" else 0,
            workers=torch.get_num_threads(),
        )
        where = {"dtype": settings.dtype, "device": settings.device}
        self._start = problem.displacement.to(**where)
        self._colour = colouring(problem.cov, **where) if gaussian else None
        if problem.rows is not None and not gaussian:
            self._features = problem.rows.features.to(**where)
            self._residuals = problem.rows.residuals.to(**where)

    def run(self) -> Outcome:
        """Simulate group after group. Ctrl-C keeps the groups that are done, or the start of the first one."""
        finished: list[Tensor] = []
        num_runs, size = self.settings.num_runs, self.cut.group_runs
        with one_thread_per_operation() if self.cut.workers else nullcontext():
            for start in range(0, num_runs, size):
                runs = range(start, min(start + size, num_runs))
                displacement = self._start.repeat(len(runs), 1)
                recorder = Recorder(self.problem.cov, displacement, num_times=len(self.settings.record_steps))
                try:
                    self._run_group(runs, displacement, recorder)
                except KeyboardInterrupt:
                    done = torch.cat(finished) if finished else recorder.risks[:, : recorder.done]
                    return Outcome(done, interrupted=True)
                finished.append(recorder.risks)
        return Outcome(torch.cat(finished))

    def _run_group(self, runs: range, displacement: Tensor, recorder: Recorder) -> None:
        """Advance the runs from block to block and record on the way; stop early when all have diverged."""
        settings, per_block = self.settings, self.cut.block_steps
        mover = self._make(displacement)
        step = 0
        pieces = settings.batch_pieces(self.problem.dim)
        starts = [start for start, _ in pieces]
        self._record_due(recorder, step, displacement)
        with closing(self._feed(runs)) as feed:
            for block in feed:
                first, last = step, min(step + per_block, settings.num_steps)
                sizes = self._step_sizes(first, last)
                while step < last:
                    piece = bisect.bisect_right(starts, step) - 1
                    change = starts[piece + 1] if piece + 1 < len(starts) else last
                    until = min(last, change, settings.record_steps[recorder.done])
                    mover.advance(block.taking(pieces[piece][1]), step - first, sizes[step - first : until - first])
                    step = until
                    self._record_due(recorder, step, displacement)
                if recorder.all_diverged:
                    return
                done = runs.start + len(runs) * step / settings.num_steps
                self.meter.update(done / settings.num_runs)

    def _feed(self, runs: range) -> Generator[Block, None, None]:
        width = self.cut.lane_runs
        lanes = [
            self._lane(range(start, min(start + width, runs.stop))) for start in range(runs.start, runs.stop, width)
        ]
        buffers: list[Block] = [
            empty_block(self.settings, num_runs=len(runs), steps=self.cut.block_steps, dim=self.problem.dim)
            for _ in range(self.cut.num_buffers)
        ]
        count = -(-self.settings.num_steps // self.cut.block_steps)
        return blocks(lanes, buffers, count=count, workers=self.cut.workers)

    def _lane(self, runs: range) -> Lane:
        if self._colour is None:
            return DataLane(self._features, self._residuals, self.settings, runs)
        return GaussianLane(self.problem, self.settings, runs, granule=self.cut.granule, colour=self._colour)

    def _step_sizes(self, first: int, last: int) -> list[float]:
        """``lr(k / dim) / dim`` for the updates k = first ... last - 1."""
        time = torch.arange(first, last, dtype=torch.float64) / self.problem.dim
        rates = self.settings.schedule(time)
        bad = ~((rates >= 0) & rates.isfinite())
        if bool(bad.any()):
            worst = int(bad.int().argmax())
            raise InvalidInput(
                f"simulate: `lr` must be 0 or more and finite at all times, but it is {float(rates[worst]):g} "
                f"at time {float(time[worst]):g} steps/dim."
            )
        return (rates / self.problem.dim).tolist()

    def _record_due(self, recorder: Recorder, step: int, displacement: Tensor) -> None:
        due = self.settings.record_steps
        while recorder.done < len(due) and due[recorder.done] == step:
            recorder.record(displacement)
