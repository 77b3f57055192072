"""What the runs on networks show: curves, numbers and claims."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from signscope.comparison import gap
from signscope.curves import Curve
from signscope.reproduce.claims import Claim, Rows, at_least, at_most, near, shown
from signscope.reproduce.compagnoni2024.networks_plan import ADDED, HIGH_DECAYS, OWN, Plan, rescaled
from signscope.reproduce.compagnoni2024.networks_runs import DIAGONAL, OPTIMIZER, ROWS, WRONG, Run, Store

METHOD_NAMES = {"signsgd": "SignSGD", "rmspropw": "RMSpropW", "adamw": "AdamW"}
FAMILY_NAMES = {
    "mlp": "MLP", "cnn": "CNN", "resnet": "ResNet", "transformer": "transformer",
    "transformer-160m": "transformer, 160M",
}  # fmt: skip
CLOSE = 0.10  # mean relative distance of two curves from which a reader sees two
TINY = 1e-12
LATE = 0.75  # of a run: from here on is the long run


def curve_of(runs: Sequence[Run], store: Store, name: str = "loss") -> Curve:
    """Mean over runs with standard error and the band from the smallest to the largest, against steps."""
    values = torch.tensor([[row[name] for row in store.rows(run)] for run in runs], dtype=torch.float64)
    many = len(runs) > 1
    return Curve(
        time=torch.tensor(runs[0].recorded, dtype=torch.float64), value=values.mean(0), quantity=name,
        time_unit="steps", stderr=values.std(0) / len(runs) ** 0.5 if many else None,
        band=(values.amin(0), values.amax(0)), band_level=1.0, runs=values, num_runs=len(runs),
        status="diverged" if any(store.rows(run)[0]["status"] != "ok" for run in runs) else "ok",
        optimizer=runs[0].method, lr=runs[0].lr, step_size=runs[0].lr,
    )  # fmt: skip


def summary(plan: Plan, store: Store) -> tuple[list[Claim], Rows]:
    """Claims and the numbers behind them, part by part."""
    claims: list[Claim] = []
    numbers: Rows = []
    for part in (_tracking, _decay, _scaling):
        found, rows = part(plan, store)
        claims += found
        numbers += rows
    return claims, numbers


def tracked(model: Curve, real: Curve) -> dict[str, float]:
    """How a mean curve of an SDE lies to that of the optimizer.

    Returns:
        ``gap`` (mean relative distance), ``late`` (relative distance at the end), ``max_z`` (largest distance in
        combined standard errors), ``in_band`` (share of points within the optimizer's band) and ``spread`` (standard
        deviation over paths relative to that over runs, root mean square over the points).
    """
    own, other, low, high = model.value[1:], real.value[1:], *(edge[1:] for edge in real.band or ())
    far = gap(model, real)
    found = {"gap": far.mean, "late": float(own[-1] / other[-1] - 1), "max_z": math.nan, "spread": math.nan}
    found["in_band"] = float(((own >= low) & (own <= high)).double().mean())
    if model.stderr is not None and real.stderr is not None and model.runs is not None and real.runs is not None:
        error = (model.stderr.square() + real.stderr.square()).sqrt()[1:]
        found["max_z"] = float(((own - other).abs() / error).max())
        variances = [runs[:, 1:].var(0).mean() for runs in (model.runs, real.runs)]
        found["spread"] = float((variances[0] / variances[1]).sqrt())
    return found


def _tracking(plan: Plan, store: Store) -> tuple[list[Claim], Rows]:
    claims: list[Claim] = []
    numbers: Rows = []
    seen: dict[str, list[dict[str, float]]] = {DIAGONAL: [], ROWS: []}
    pairs: list[float] = []
    for (family, method), kinds in plan.tracking.items():
        head, real = f"{FAMILY_NAMES[family]}, {METHOD_NAMES[method]}", curve_of(kinds[OPTIMIZER], store)
        found = {kind: tracked(curve_of(runs, store), real) for kind, runs in kinds.items() if kind != OPTIMIZER}
        for kind, row in found.items():
            numbers.append({"part": "tracking", "network": family, "setting": f"{method}, {kind}", **row})
        for kind, text in ((DIAGONAL, "noise per coordinate"), (ROWS, "covariance of the rows")):
            claims.append(at_most(f"{head}, {text}: mean relative gap of the loss", found[kind]["gap"], CLOSE))
            claims.append(shown(f"{head}, {text}: gap at the end", found[kind]["late"]))
            claims.append(shown(f"{head}, {text}: largest gap in standard errors", found[kind]["max_z"]))
            seen[kind].append(found[kind])
        pairs.append(_over(found, ROWS))
        if WRONG in found:
            text = "without noise" if method == "signsgd" else "older form"
            claims.append(at_least(f"{head}, {text}: gap / that of the right model", _over(found, WRONG), 2.0))
        if "fine" in found:
            move = gap(curve_of(kinds["fine"], store), curve_of(kinds[DIAGONAL], store)).mean
            claims.append(
                at_most(f"{head}: gap between dt = lr/{kinds['fine'][0].substeps} and the dt used", move, 0.02)
            )
    if pairs:
        text = "gap with the covariance of the rows / per coordinate, geometric mean"
        claims.append(at_most(f"all networks: {text}", _geometric(pairs), 1.0))
        wide = "all networks: spread of the paths / of the runs, geometric mean"
        claims.append(
            near(f"{wide}, covariance of the rows", _geometric([f["spread"] for f in seen[ROWS]]), 1, atol=0.4)
        )
        claims.append(at_most(f"{wide}, noise per coordinate", _geometric([f["spread"] for f in seen[DIAGONAL]]), 0.6))
    return claims, numbers


def _over(found: dict[str, dict[str, float]], kind: str) -> float:
    return found[kind]["gap"] / max(found[DIAGONAL]["gap"], TINY)


def _geometric(values: Sequence[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values))


def late_mean(runs: Sequence[Run], store: Store, name: str) -> float:
    """Mean over the runs and the last quarter of their points."""
    values = curve_of(runs, store, name).value
    return float(values[round(LATE * (len(values) - 1)) :].mean())


def _decay(plan: Plan, store: Store) -> tuple[list[Claim], Rows]:
    if not plan.decay:
        return [], []
    table = {
        key: {name: late_mean(runs, store, name) for name in ("loss", "accuracy", "norm")}
        for key, runs in plan.decay.items()
    }
    numbers: Rows = [
        {"part": "decay", "network": "mlp", "setting": f"decay {theta:g}, added noise {noise:g}", **row}
        for (theta, noise), row in table.items()
    ]
    high, chance = max(noise for _, noise in table), math.log(plan.num_classes)
    head, strong = f"MLP, added noise {high:g}", max(HIGH_DECAYS)
    plain, decayed = table[0.0, high], table[strong, high]
    return [
        at_least(f"{head}, Adam: long-run loss / that of equal scores", plain["loss"] / chance, 1.1),
        at_most(
            f"{head}, AdamW, decay {strong:g}: long-run loss / that of equal scores", decayed["loss"] / chance, 1.05
        ),
        at_most(f"{head}: length of the weights, AdamW / Adam", decayed["norm"] / plain["norm"], 0.5),
        shown(f"{head}, AdamW, decay {strong:g}: accuracy", decayed["accuracy"]),
        shown(f"{head}, Adam: accuracy", plain["accuracy"]),
    ], numbers


def _scaling(plan: Plan, store: Store) -> tuple[list[Claim], Rows]:
    claims: list[Claim] = []
    numbers: Rows = []
    for (family, regime), rules in plan.scaling.items():
        old = curve_of(rules["old batch"], store)
        ratio = float(np.nanmean([row["ratio"] for run in rules["old batch"] for row in store.rows(run)]))
        moved = rescaled(ratio)
        head, far = f"{FAMILY_NAMES[family]}, batch x 4, {regime}", {}
        for name, runs in rules.items():
            value = curve_of(runs, store).value
            fall = max(float(old.value[0] - old.value.min()), TINY)
            away = (value - old.value)[1:]
            far[name] = float(away.square().mean().sqrt()) / fall
            row = {"distance": far[name], "late": float(away[-1]) / fall, "ratio": ratio, "speed": moved.speed}
            numbers.append(
                {"part": "scaling", "network": family, "setting": f"{regime}: {name}, lr {runs[0].lr:g}", **row}
            )
        text = f"{head}, rule: distance of the curves / fall of the loss"
        claims.append(at_most(text, far["rule"], 0.1) if regime == ADDED else shown(text, far["rule"]))
        for name in ("unscaled", "lr times 4"):
            more, text = far[name] / max(far["rule"], TINY), f"{head}, {name}: distance / that of the rule"
            claims.append(at_least(text, more, 1.0) if regime == ADDED else shown(text, more))
        claims.append(shown(f"{head}: measured |z| of the old batch ({moved.regime.status})", ratio))
        if regime == OWN:
            claims.append(shown(f"{head}, rule: predicted speed per sample", moved.speed))
    return claims, numbers
