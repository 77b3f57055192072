"""``tao2026-gpt2-signsgd-vs-sgd``: a GPT with six optimizers, everything but the rule matched, every rate swept."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from signscope.reproduce.claims import Claim, shown
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Findings
from signscope.reproduce.job import Job
from signscope.reproduce.methods import METHODS
from signscope.reproduce.tao2026.conducting import JUDGED, Setup, Size, TrainingExperiment
from signscope.reproduce.tao2026.density import edges_told, traces
from signscope.reproduce.training_summary import at_edge, best_rate, final

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

MATCHED = ("sgd_plain", "signsgd", "sgd", "signum", "adamw", "muon")
PUBLISHED = ("sgd_coupled", "signsgd_decayed")
PAIRS = (("signsgd", "sgd_plain", "no momentum"), ("signum", "sgd", "momentum 0.9"))
SIZES = {
    "full": Size("gpt-tiny", "shakespeare", 8, 1.5, points=5, probes=16),
    "small": Size(
        "gpt-tiny", "shakespeare", 8, 0.035, points=1, probes=8, num_seeds=2, num_rates=2, widenings=0, rows=8
    ),
    "published": Size("gpt2", "", 480, 1.0, points=20, probes=64, micro_batch=16, precision="bfloat16", rows=480),
}


def conduct(setup: Setup) -> Findings:
    """Matched comparison with wide grids; the published one, not matched, on its grid of decades."""
    count = len(MATCHED) + len(PUBLISHED)
    sweeps, finals = {}, {}
    for index, method in enumerate((*MATCHED, *PUBLISHED)):
        is_matched = method in MATCHED
        before = setup if is_matched else unmatched(setup)
        sweeps[method] = before.swept(method, (index / count, 0.6 / count), widen=is_matched)
        probes = setup.size.probes if is_matched else 0
        finals[method] = before.repeated(sweeps[method], ((index + 0.6) / count, 0.4 / count), probes=probes)
    numbers = [_row(setup, job, "sweep", finals) for jobs in sweeps.values() for job in jobs]
    numbers += [_row(setup, job, "best", finals) for jobs in finals.values() for job in jobs]
    numbers += [{"part": "trace", **row} for row in traces(setup, [finals[method][0] for method in MATCHED])]
    edges = [f"{METHODS[m].label} (lr {jobs[0].lr:g})" for m, jobs in finals.items() if at_edge(jobs[0], sweeps[m])]
    notes = [
        f"This run: {setup.base.model} on {setup.data.source}, {finals['sgd'][0].budget} steps, "
        f"{len(setup.seeds)} seeds.",
        edges_told(edges, tried=max(map(len, sweeps.values()))),
    ]
    return Findings(claims_of(setup, finals), numbers, lambda: draw(setup, sweeps, finals), notes)


def unmatched(setup: Setup) -> Setup:
    """The setup without the common decay: the published methods bring their own."""
    return replace(setup, base=replace(setup.base, decay=0.0))


def _row(setup: Setup, job: Job, part: str, finals: dict[str, list[Job]]) -> dict[str, object]:
    last = setup.store.rows(job)[-1]
    return {
        "part": part,
        "method": job.method,
        "lr": job.lr,
        "seed": job.seed,
        "step": last["steps"],
        **{name: last[name] for name in ("train_loss", "test_loss", "test_accuracy")},
        "status": last["status"],
    }


def gap(setup: Setup, ours: Sequence[Job], theirs: Sequence[Job]) -> tuple[float, float]:
    """Mean difference of final test losses over seeds (same start and batches), with its standard error."""
    difference = final(ours, setup.store, JUDGED) - final(theirs, setup.store, JUDGED)
    stderr = float(difference.std(ddof=1) / len(difference) ** 0.5) if len(difference) > 1 else math.nan
    return float(difference.mean()), stderr


def claims_of(setup: Setup, finals: dict[str, list[Job]]) -> list[Claim]:
    """Whether signSGD ends below SGD by more than two standard errors, matched and as published; the rest is shown."""
    claims: list[Claim] = []
    for sign, plain, words in PAIRS:
        mean, stderr = gap(setup, finals[sign], finals[plain])
        text = f"{words}: test loss of {METHODS[sign].label} minus {METHODS[plain].label} plus two standard errors"
        claims.append(Claim(text, mean + 2 * stderr, high=0.0))
        claims.append(shown(f"{words}: the difference itself", mean))
    sign, plain = PUBLISHED[1], PUBLISHED[0]
    mean, stderr = gap(setup, finals[sign], finals[plain])
    text = "published setting and grid: test loss of signSGD minus SGD plus two standard errors"
    claims += [Claim(text, mean + 2 * stderr, high=0.0), shown("published setting: the difference itself", mean)]
    for method, jobs in finals.items():
        losses = final(jobs, setup.store, JUDGED)
        claims.append(shown(f"{METHODS[method].label}, lr {jobs[0].lr:g}: test loss", float(losses.mean())))
    for method in MATCHED:
        last = setup.store.rows(finals[method][0])[-1]
        claims.append(shown(f"{METHODS[method].label}: noise density at the end", last["density"]))
    return claims


def draw(setup: Setup, sweeps: dict[str, list[Job]], finals: dict[str, list[Job]]) -> "Picture":
    """Final loss against the rate; loss and noise density along the runs at the best rates."""
    size = setup.size
    caption = (
        f"{setup.base.model} on {setup.data.source}, batch {size.batch_size}, {finals['sgd'][0].budget} steps, "
        f"gradients clipped to {size.clip:g}, every matrix shrunk by {size.decay:g} per step; stars: best rate. "
        f"Middle: mean of {len(setup.seeds)} seeds, bands from smallest to largest. Right: {size.probes} batches, "
        "jackknife-corrected. Grey: the published setting (decay coupled for SGD, decoupled for signSGD) on its grid."
    )
    picture, (left, middle, right) = panels(3, caption=caption, width=4.9)
    for index, method in enumerate((*MATCHED, *PUBLISHED)):
        style, jobs = look(index), sorted(sweeps[method], key=lambda job: job.lr)
        x, y = [job.lr for job in jobs], final(jobs, setup.store, JUDGED)
        label = METHODS[method].label
        if method in PUBLISHED:
            left.plot(x, y, ls=":", marker="os"[index % 2], color="#777777", mfc="none", label=label)
            continue
        left.plot(x, y, color=style.color, ls=style.dash, marker=style.marker, ms=4, label=label)
        best = best_rate(jobs, setup.store, name=JUDGED)
        left.plot(best.lr, final([best], setup.store, JUDGED)[0], marker="*", ms=12, color=style.color)
        rows = [setup.store.rows(job) for job in finals[method]]
        steps = [row["steps"] for row in rows[0]]
        losses = np.array([[row[JUDGED] for row in run] for run in rows])
        middle.plot(steps, losses.mean(0), color=style.color, ls=style.dash, label=f"{label}, lr {best.lr:g}")
        middle.fill_between(steps, losses.min(0), losses.max(0), color=style.color, alpha=0.15, lw=0)
        right.plot(
            steps, [row["density"] for row in rows[0]], color=style.color, ls=style.dash, marker=style.marker, ms=4
        )
    lowest = min(float(np.nanmin(final(jobs, setup.store, JUDGED))) for jobs in sweeps.values())
    left.set_ylim(lowest - 0.1, lowest + 2.0)
    left.set(xscale="log", xlabel="learning rate", ylabel="test loss at the end", title="Every rate swept")
    middle.set(xlabel="steps", ylabel="test loss", title="At the best rates")
    right.set(xlabel="steps", ylabel="noise density", title="Noise density", yscale="log")
    for ax in (left, middle):
        legend(ax, fontsize=7.5)
    return picture


run = TrainingExperiment(
    "tao2026-gpt2-signsgd-vs-sgd",
    SIZES,
    conduct,
    "Chosen here: by default a GPT of 107,000 weights on characters; decay that takes the same share of every matrix "
    "from all methods at all rates, clipping at 1 for all, grids that grow while their best rate lies at an edge. As "
    "published: SGD with momentum 0.9 and L2 decay 0.1 against signSGD without momentum and with decoupled decay 0.1, "
    "rates in decades.",
)
