"""Which runs the experiment on networks consists of."""

from dataclasses import dataclass, replace
from typing import Any

from signscope._core.errors import InvalidInput
from signscope.comparison.translation import Rescaled, rescale
from signscope.reproduce.compagnoni2024.networks_runs import DIAGONAL, OPTIMIZER, ROWS, WRONG, Run
from signscope.reproduce.datasets import Dataset

METHODS = ("signsgd", "rmspropw", "adamw")
LR, BETAS, DECAY, BATCH = 0.002, (0.9, 0.99), 0.1, 32
HIGH_LR, HIGH_DECAYS = 0.02, (0.0, 0.1, 1.0)
SCALED_LR, SCALED_BETAS, SCALED_BATCH, DELTA = 0.004, (0.98, 0.998), 8, 4
OWN, ADDED = "noise of the batches alone", "noise added"
EXTRA = 0.15  # std of the noise added to a gradient of SCALED_BATCH rows: several times its own
FAMILIES: dict[str, dict[str, str]] = {
    "mlp": {"images": "image_mlp", "features": "mlp", "characters": "characters"},
    "cnn": {"images": "cnn"},
    "resnet": {"images": "small_resnet"},
    "transformer": {"images": "patch_transformer", "characters": "transformer"},
    "transformer-160m": {"characters": "transformer_160m"},
}
"""Name on the command line -> kind of data -> key of `networks.NETWORKS`."""
SCALED = ("mlp", "cnn", "transformer", "transformer-160m")


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        rows: Training rows at most.
        num_steps: Steps of the comparison with SDEs.
        num_runs: Runs of the optimizer there.
        num_paths: Paths of an SDE.
        substeps: Steps of Euler-Maruyama per step of the optimizer.
        fine: The same in the check of that scheme on the MLP.
        points: Measurements of a run.
        noises: Standard deviations of the noise added to every coordinate in the comparison of decays.
        decay_steps: Steps there.
        decay_runs: Runs of every setting there.
        scaling_steps: Steps with the old batch in the part on scaling rules.
        scaling_runs: Runs of every setting there.
    """

    rows: int = 400
    num_steps: int = 100
    num_runs: int = 10
    num_paths: int = 3
    substeps: int = 3
    fine: int = 12
    points: int = 20
    noises: tuple[float, ...] = (0.1, 1.0, 10.0)
    decay_steps: int = 1_000
    decay_runs: int = 3
    scaling_steps: int = 600
    scaling_runs: int = 3


SIZES = {
    "full": Size(),
    "small": Size(
        rows=64, num_steps=6, num_runs=2, num_paths=2, substeps=2, fine=4, points=3, noises=(1.0, 10.0),
        decay_steps=20, decay_runs=1, scaling_steps=12, scaling_runs=1,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """Runs by part, each under what it shows.

    Attributes:
        tracking: (family, method) -> kind of run (see `Run`; "fine" for the finer scheme) -> its runs.
        decay: (decay, added noise) -> runs of Adam(W) on the MLP.
        scaling: (family, regime) -> rule -> runs of AdamW.
        num_classes: Of the data.
    """

    tracking: dict[tuple[str, str], dict[str, list[Run]]]
    decay: dict[tuple[float, float], list[Run]]
    scaling: dict[tuple[str, str], dict[str, list[Run]]]
    num_classes: int

    @property
    def runs(self) -> list[Run]:
        """All of them, in order."""
        groups = [*self.tracking.values(), {"": [run for runs in self.decay.values() for run in runs]}]
        return [run for group in [*groups, *self.scaling.values()] for runs in group.values() for run in runs]


def families_for(who: str, data: Dataset, wanted: str | None) -> list[str]:
    """The networks asked for, separated by commas; all small ones that fit the data for None.

    Raises:
        InvalidInput: An unknown one, or one that does not fit.
    """
    fitting = [name for name, kinds in FAMILIES.items() if data.kind in kinds]
    if wanted is None:
        return [name for name in fitting if name != "transformer-160m"]
    names = [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in fitting:
            raise InvalidInput(
                f"{who}: `model` {name!r} does not fit {data.name} ({data.kind}); use {', '.join(fitting)}, separated "
                "by commas."
            )
    return names


def plan_for(data: Dataset, families: list[str], size: Size, *, batch_size: int = BATCH, seed: int = 0) -> Plan:
    """All runs on some rows."""
    common: dict[str, Any] = {
        "data": data.name, "rows": len(data.train_x), "points": size.points, "substeps": 0, "kind": OPTIMIZER,
        "extra_noise": 0.0, "start": seed, "number": seed,
    }  # fmt: skip
    models = {family: FAMILIES[family][data.kind] for family in families}
    tracking = {
        (family, method): _tracking(common, model, method, size, batch_size, is_cheap=family == "mlp")
        for family, model in models.items()
        for method in METHODS
    }
    decay = {
        (theta, noise): _several(
            Run(
                **{**common, "extra_noise": noise}, model=models["mlp"], method="adamw", lr=HIGH_LR, beta1=BETAS[0],
                beta2=BETAS[1], weight_decay=theta, batch_size=batch_size, num_steps=size.decay_steps,
            ),
            size.decay_runs,
        )
        for theta in HIGH_DECAYS
        for noise in size.noises
        if "mlp" in models
    }  # fmt: skip
    scaling = {
        (family, regime): {
            name: _several(run, size.scaling_runs) for name, run in _rules(common, models[family], regime, size).items()
        }
        for family in families
        if family in SCALED
        for regime in (ADDED, OWN)
    }
    return Plan(tracking, decay, scaling, data.num_classes)


def rescaled(ratio: float | None = None) -> Rescaled:
    """The rule for AdamW at four times the batch; ``ratio`` is a measured |z| at the old one."""
    return rescale(
        "adamw", lr=SCALED_LR, betas=SCALED_BETAS, weight_decay=DECAY, batch_size=SCALED_BATCH,
        to_batch_size=DELTA * SCALED_BATCH, signal_to_noise=ratio,
    )  # fmt: skip


def _tracking(
    common: dict[str, Any], model: str, method: str, size: Size, batch_size: int, *, is_cheap: bool
) -> dict[str, list[Run]]:
    decay = 0.0 if method == "signsgd" else DECAY
    base = Run(
        **common, model=model, method=method, lr=LR, beta1=BETAS[0] if method == "adamw" else 0.0,
        beta2=0.0 if method == "signsgd" else BETAS[1], weight_decay=decay, batch_size=batch_size,
        num_steps=size.num_steps,
    )  # fmt: skip
    path = replace(base, kind=DIAGONAL, substeps=size.substeps)
    found = {
        OPTIMIZER: _several(base, size.num_runs),
        DIAGONAL: _several(path, size.num_paths),
        ROWS: _several(replace(path, kind=ROWS), size.num_paths),
    }
    if is_cheap:
        found[WRONG] = _several(replace(path, kind=WRONG), 1 if method == "signsgd" else size.num_paths)
        found["fine"] = _several(replace(path, substeps=size.fine), size.num_paths)
    return found


def _rules(common: dict[str, Any], model: str, regime: str, size: Size) -> dict[str, Run]:
    noise = EXTRA if regime == ADDED else 0.0
    old = Run(
        **{**common, "extra_noise": noise}, model=model, method="adamw", lr=SCALED_LR, beta1=SCALED_BETAS[0],
        beta2=SCALED_BETAS[1], weight_decay=DECAY, batch_size=SCALED_BATCH, num_steps=size.scaling_steps,
    )  # fmt: skip
    plain = replace(
        old, batch_size=DELTA * SCALED_BATCH, num_steps=size.scaling_steps // DELTA, extra_noise=noise / DELTA**0.5
    )
    new = rescaled().new
    rule = replace(plain, lr=new.lr, beta1=new.betas[0], beta2=new.betas[1], weight_decay=new.weight_decay)
    return {"old batch": old, "rule": rule, "unscaled": plain, "lr times 4": replace(plain, lr=DELTA * SCALED_LR)}


def _several(run: Run, count: int) -> list[Run]:
    return [replace(run, number=run.number + k) for k in range(count)]
