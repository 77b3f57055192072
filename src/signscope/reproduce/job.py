"""What determines a training run."""

from dataclasses import asdict, dataclass

Key = tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """What determines a run; equal jobs give equal results.

    Attributes:
        data: Name of the data set.
        rows: Training rows used.
        model: Network.
        method: Key of `METHODS`.
        lr: Learning rate.
        beta: Weight of the new sample; None for the method's own (or none).
        batch_size: Rows per mini-batch, over all processes.
        epochs: Budget: passes over the training rows, counted in gradient calls.
        points: Measurements after the first.
        seed: Of initialisation and batches; runs of different methods with one seed share both.
        augment: Whether the mini-batches are randomly cropped and mirrored.
        decay: Share of every matrix (and kernel) taken away before each step, whatever the rate; 0 for none.
        clip: Largest l2 norm of the gradient; None for no clipping.
        precision: "float32", or "bfloat16": autocast of losses and gradients.
        probes: Batches on which the noise is measured at every point; 0 leaves it out.
    """

    data: str
    rows: int
    model: str
    method: str
    lr: float
    beta: float | None
    batch_size: int
    epochs: float
    points: int
    seed: int
    augment: bool = False
    decay: float = 0.0
    clip: float | None = None
    precision: str = "float32"
    probes: int = 0

    @property
    def period(self) -> int:
        """Mini-batches per pass, the m of the finite sum and the distance of checkpoints."""
        return max(1, self.rows // self.batch_size)

    @property
    def budget(self) -> int:
        """Gradient calls (mini-batch gradients) of the run; no step begins that would exceed it."""
        return max(1, round(self.epochs * self.period))


def key_of(job: Job) -> Key:
    """The run as text, as written in files."""
    return tuple("" if value is None else str(value) for value in asdict(job).values())
