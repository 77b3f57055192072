"""`TrainingExperiment`: an experiment made of swept training runs, with its options, machine, store and report."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.progress import Meter, as_meter
from signscope.reproduce.datasets import Dataset, load
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.job import Job
from signscope.reproduce.machine import Machine, machine_for
from signscope.reproduce.methods import METHODS
from signscope.reproduce.networks import build
from signscope.reproduce.report import Report, prepare
from signscope.reproduce.store import Store
from signscope.reproduce.sweep_runs import run_missing, store_in, widened
from signscope.reproduce.tao2026.gpt import GPT, SHAPES
from signscope.reproduce.tao2026.probing import MEASURED, Probing
from signscope.reproduce.tao2026.texts import load_text
from signscope.reproduce.training_summary import best_rate

PRECISIONS = ("float32", "bfloat16")
JUDGED = "test_loss"


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        model: A key of `SHAPES` or of the networks.
        data: Default data; empty where a file must be named.
        batch_size: Rows per mini-batch.
        epochs: Passes over the training rows.
        points: Measurements along a run.
        probes: Batches for the noise at each of them.
        num_seeds: Seeds at the best rates; the sweep takes the first.
        num_rates: First rates of a sweep; None for all of the method.
        widenings: How often a grid whose best rate lies at its edge is widened.
        decay: Share of every matrix taken away per step.
        clip: Largest l2 norm of a gradient.
        micro_batch: Rows at once; None for all.
        precision: "float32" or "bfloat16".
        rows: Rows on which losses are evaluated.
    """

    model: str
    data: str
    batch_size: int
    epochs: float
    points: int = 6
    probes: int = 16
    num_seeds: int = 3
    num_rates: int | None = None
    widenings: int = 3
    decay: float = 1e-4
    clip: float | None = 1.0
    micro_batch: int | None = None
    precision: str = "float32"
    rows: int = 128


@dataclass(frozen=True, eq=False)
class Setup:
    """Everything a measurement needs.

    Attributes:
        size: As chosen.
        data: On the device.
        base: A job without method, rate and seed.
        seeds: Of the runs at the best rates.
        machine: Where it is computed.
        store: Finished runs.
        folder: For the state of the run under way.
        meter: For progress.
    """

    size: Size
    data: Dataset
    base: Job
    seeds: Sequence[int]
    machine: Machine
    store: Store
    folder: Path | None
    meter: Meter

    def run(self, jobs: Sequence[Job], span: tuple[float, float]) -> None:
        """Computes what is missing."""
        run_missing(
            jobs,
            self.data,
            self.store,
            machine=self.machine,
            meter=self.meter,
            span=span,
            folder=self.folder,
            make_net=network,
            measure=Probing(self.size.rows),
        )

    def swept(self, method: str, span: tuple[float, float], *, widen: bool = True) -> list[Job]:
        """Runs of the first seed over a method's rates; the grid grows while its best rate lies at an edge."""
        base = replace(self.base, method=method, seed=self.seeds[0])
        jobs = [replace(base, lr=lr) for lr in METHODS[method].rates[: self.size.num_rates]]
        self.run(jobs, span)
        for _ in range(self.size.widenings if widen else 0):
            new = widened([job.lr for job in jobs], best_rate(jobs, self.store, name=JUDGED).lr)
            if new is None:
                break
            jobs.append(replace(base, lr=new))
            self.run(jobs[-1:], span)
        return jobs

    def repeated(self, jobs: Sequence[Job], span: tuple[float, float], *, probes: int = 0) -> list[Job]:
        """The best rate of a sweep with every seed, and the noise measured with the first."""
        best = best_rate(jobs, self.store, name=JUDGED)
        first = replace(best, probes=probes)
        found = [first, *(replace(best, seed=seed) for seed in self.seeds[1:])]
        self.run(found, span)
        return found


def network(job: Job, data: Dataset, seed: int) -> torch.nn.Module:
    """The network of a job; the global random state is left alone."""
    if job.model not in SHAPES:
        return build(job.model, data, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(seed)
        return GPT(data.num_classes, SHAPES[job.model])


@dataclass(frozen=True, eq=False)
class TrainingExperiment:
    """An experiment of training runs; call it to run it.

    Attributes:
        name: Key on the command line.
        sizes: "full", "small" and "published".
        conduct: Setup -> findings.
        chosen: What the published text leaves open and is chosen here.
    """

    name: str
    sizes: Mapping[str, Size]
    conduct: Callable[[Setup], Findings]
    chosen: str

    def __call__(
        self,
        out: str | Path | None = None,
        *,
        size: str = "full",
        data: str | None = None,
        model: str | None = None,
        device: str = "cpu",
        epochs: float | None = None,
        batch_size: int | None = None,
        micro_batch: int | None = None,
        num_seeds: int | None = None,
        precision: str | None = None,
        compiled: bool = False,
        seed: int = 0,
        force: bool = False,
        progress: bool | Meter = False,
    ) -> Report:
        """Run the experiment; called again with the same folder it computes only what is missing.

        Started by ``torchrun``, every mini-batch and every noise measurement is shared between the processes; the
        first one writes.

        Args:
            out: Folder for runs.csv, picture, numbers and report; None keeps nothing.
            size: "full" (minutes on two cores, a small stand-in), "small" (seconds: a test of the machinery), or
                "published": the published configuration (hours on a GPU; name its ``data``).
            data: Texts: "shakespeare", "words", "text:FILE", "words:FILE", "tokens:FILE". Images: "digits",
                "cifar10:PATH", ...
            model: Texts: "gpt-tiny", "gpt-small", "gpt2". Images: "resnet20", "resnet18", ...
            device: Such as "cpu" or "cuda".
            epochs: Budget in passes over the training rows.
            batch_size: Rows per mini-batch, over all processes.
            micro_batch: Rows evaluated at once.
            num_seeds: Seeds at the best rates.
            precision: "float32" or "bfloat16" (autocast).
            compiled: Pass the network through ``torch.compile``.
            seed: The first seed.
            force: Forget earlier runs.
            progress: Show a meter.

        Returns:
            The report.

        Raises:
            InvalidInput: An option out of range, or data that cannot be used.
        """
        chosen = self.sizes[checks.one_of(self.name, "size", size, self.sizes)]
        given = {"data": data, "model": model, "epochs": epochs, "batch_size": batch_size, "micro_batch": micro_batch}
        given |= {"num_seeds": num_seeds, "precision": precision}
        chosen = self._checked(replace(chosen, **{key: value for key, value in given.items() if value is not None}))
        first = checks.integer(self.name, "seed", seed, minimum=0)
        folder = prepare(out, names=(), force=True, who=self.name)
        started, meter = time.monotonic(), as_meter(progress, self.name)
        with machine_for(self.name, device, compiled=compiled, micro_batch=chosen.micro_batch) as machine:
            setup = self._setup(chosen, first, machine, folder, meter, force=force)
            try:
                found = self.conduct(setup)
            finally:
                meter.close()
        settings = {"size": size, "seed": first, **asdict(chosen), "device": device, "processes": machine.size}
        inner = Experiment(self.name, {}, lambda *_: found, self.chosen)
        return inner.report(found, folder if machine.writes else None, settings=settings, started=started)

    def _checked(self, size: Size) -> Size:
        for option in ("batch_size", "num_seeds"):
            checks.integer(self.name, option, getattr(size, option), minimum=1)
        if size.micro_batch is not None:
            checks.integer(self.name, "micro_batch", size.micro_batch, minimum=1)
        checks.positive(self.name, "epochs", size.epochs)
        checks.one_of(self.name, "precision", size.precision, PRECISIONS)
        if not size.data:
            raise InvalidInput(f"{self.name}: this size needs `data` (--data): {self._wanted(size)}.")
        return size

    def _wanted(self, size: Size) -> str:
        return "tokens:FILE or text:FILE" if size.model in SHAPES else "cifar10:PATH"

    def _setup(
        self, size: Size, seed: int, machine: Machine, folder: Path | None, meter: Meter, *, force: bool
    ) -> Setup:
        is_text = size.model in SHAPES
        data = load_text(size.data, context=SHAPES[size.model].context) if is_text else load(size.data)
        if not is_text:
            build(size.model, data, seed=0)  # refuses a network that does not fit before anything runs
        rows = len(data.train_x)
        if size.batch_size > rows or size.batch_size % machine.size:
            raise InvalidInput(
                f"{self.name}: `batch_size` must be at most the {rows} training rows and a multiple of the "
                f"{machine.size} processes, got {size.batch_size}."
            )
        base = Job(
            data=data.name,
            rows=rows,
            model=size.model,
            method="",
            lr=0.0,
            beta=None,
            batch_size=size.batch_size,
            epochs=float(size.epochs),
            points=size.points,
            seed=0,
            decay=size.decay,
            clip=size.clip,
            precision=size.precision,
        )
        store = store_in(folder, machine=machine, force=force, measured=MEASURED)
        seeds = [seed + k for k in range(size.num_seeds)]
        return Setup(size, data.to(machine.device), base, seeds, machine, store, folder, meter)
