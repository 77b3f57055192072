"""Tables and claims of the training experiment: best rates, spread over seeds, paired differences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from signscope.reproduce.job import Job
from signscope.reproduce.methods import METHODS, beta_of
from signscope.reproduce.report import Verdict
from signscope.reproduce.store import MEASURED, Store

CHALLENGERS = ("ssvr", "ssvr_fs")
RIVALS = ("signsgd", "signum", "signsvrg")
BENCHMARKS = ("sgd", "adam")
LOGGED = {"train_loss": "training loss", "grad_l1": "gradient l1 norm"}


@dataclass(frozen=True)
class Experiment:
    """Jobs that belong together.

    Attributes:
        kind: "comparison" or "ablation".
        source: Of the data, for captions.
        jobs: All of its runs.
    """

    kind: str
    source: str
    jobs: list[Job]

    def of(self, method: str) -> list[Job]:
        """The jobs of one method."""
        return [job for job in self.jobs if job.method == method]


def best_rate(jobs: Sequence[Job], store: Store, *, name: str = "train_loss") -> Job:
    """A job with the learning rate whose mean final ``name`` over seeds is smallest; its seed is the first.

    Rates at which a run diverged come last.
    """
    rates = sorted({job.lr for job in jobs})
    losses = [np.mean(final([job for job in jobs if job.lr == lr], store, name)) for lr in rates]
    best = rates[int(np.argmin(np.nan_to_num(np.array(losses), nan=math.inf, posinf=math.inf)))]
    return next(job for job in jobs if job.lr == best)


def at_edge(job: Job, jobs: Sequence[Job]) -> bool:
    """Whether a rate is the smallest or the largest of several that were tried."""
    rates = {other.lr for other in jobs}
    return len(rates) > 1 and job.lr in (min(rates), max(rates))


def final(jobs: Sequence[Job], store: Store, name: str) -> np.ndarray:
    """Last measurement of every run, in the order of the jobs."""
    return np.array([store.rows(job)[-1][name] for job in jobs])


def seeds_of(job: Job, jobs: Sequence[Job]) -> list[Job]:
    """The jobs that differ from ``job`` in the seed alone, by seed."""
    return sorted((other for other in jobs if replace(other, seed=job.seed) == job), key=lambda other: other.seed)


def details(experiments: Sequence[Experiment], store: Store) -> list[dict[str, Any]]:
    """Final values of every configuration: mean and standard deviation over seeds, and whether its rate was best."""
    rows: list[dict[str, Any]] = []
    for experiment in experiments:
        for group in _groups(experiment.jobs):
            job, same = group[0], experiment.of(group[0].method)
            row: dict[str, Any] = {
                "experiment": experiment.kind,
                "data": job.data,
                "model": job.model,
                "method": job.method,
                "lr": job.lr,
                "beta": beta_of(job),
                "batch_size": job.batch_size,
                "budget_calls": job.budget,
                "calls": int(final(group, store, "calls")[0]),
                "steps": int(final(group, store, "steps")[0]),
                "num_seeds": len(group),
                "diverged": sum(store.rows(other)[-1]["status"] != "ok" for other in group),
            }
            for name in MEASURED:
                values = final(group, store, name)
                row |= {name: values.mean(), f"{name}_std": values.std(ddof=1) if len(values) > 1 else math.nan}
            if experiment.kind == "comparison":
                is_best = best_rate(same, store).lr == job.lr
                row |= {"best_lr": is_best, "at_edge": is_best and at_edge(job, same)}
            rows.append(row)
    return rows


def claims(experiments: Sequence[Experiment], store: Store) -> list[dict[str, Any]]:
    """Paired differences (same seed: same start and batches) of final values, each method at its best rate.

    Loss and gradient norm are compared by the difference of logarithms. "holds": below zero by more than two
    standard errors; "fails": above by as much; "undecided" between. Against SGD and Adam nothing is claimed: shown.
    """
    rows: list[dict[str, Any]] = []
    for experiment in (e for e in experiments if e.kind == "comparison"):
        for challenger in CHALLENGERS:
            for rival in (*RIVALS, *BENCHMARKS):
                for name, words in LOGGED.items():
                    row = _paired(experiment, store, challenger, rival, name)
                    who = f"{METHODS[challenger].label} ends below {METHODS[rival].label}"
                    outcome = outcome_of(row) if rival in RIVALS else "shown"
                    rows.append({"claim": f"{experiment.jobs[0].data}: {who} in {words}", **row, "outcome": outcome})
        rows += [_at_equal_steps(experiment, store, rival) for rival in ("signsgd", "signum", *BENCHMARKS)]
    return rows


def verdict(found: Sequence[dict[str, Any]]) -> tuple[Verdict, str]:
    """The word and its reason."""
    counts = {word: sum(row["outcome"] == word for row in found) for word in ("holds", "fails", "undecided")}
    text = (
        f"of {sum(counts.values())} claims that variance reduction ends below another sign method at an equal budget "
        f"of gradient calls, {counts['holds']} hold, {counts['fails']} fail, {counts['undecided']} are undecided."
    )
    return ("matched" if counts["holds"] and not counts["fails"] else "differs"), text


def _paired(experiment: Experiment, store: Store, challenger: str, rival: str, name: str) -> dict[str, Any]:
    ours, theirs = (np.log(final(_best(experiment, store, method), store, name)) for method in (challenger, rival))
    return log_gap(ours - theirs)


def outcome_of(row: Mapping[str, Any]) -> str:
    """The word for a difference: holds where it is below zero by two standard errors, fails where above by as much."""
    measured, stderr = row["measured"], row["stderr"]
    return "holds" if measured < -2 * stderr else "fails" if measured > 2 * stderr else "undecided"


def _at_equal_steps(experiment: Experiment, store: Store, rival: str) -> dict[str, Any]:
    """SSVR's final training loss against that of a rival after as many steps: the price of two gradients left out."""
    ours, theirs = (_best(experiment, store, method) for method in ("ssvr", rival))
    gap = []
    for mine, other in zip(ours, theirs, strict=True):
        last, path = store.rows(mine)[-1], store.rows(other)
        steps, losses = [row["steps"] for row in path], [math.log(row["train_loss"]) for row in path]
        gap.append(math.log(last["train_loss"]) - float(np.interp(last["steps"], steps, losses)))
    words = f"SSVR against {METHODS[rival].label} after as many steps, training loss"
    return {"claim": f"{experiment.jobs[0].data}: {words}", **log_gap(np.array(gap)), "outcome": "shown"}


def _best(experiment: Experiment, store: Store, method: str) -> list[Job]:
    jobs = experiment.of(method)
    return seeds_of(best_rate(jobs, store), jobs)


def log_gap(gap: np.ndarray) -> dict[str, Any]:
    """Differences of logarithms, one per seed: mean, standard error, and the mean as a ratio."""
    mean, stderr = float(gap.mean()), float(gap.std(ddof=1) / len(gap) ** 0.5) if len(gap) > 1 else math.nan
    return {"measured": mean, "stderr": stderr, "ratio": math.exp(mean)}


def _groups(jobs: Sequence[Job]) -> list[list[Job]]:
    groups: dict[Job, list[Job]] = {}
    for job in jobs:
        groups.setdefault(replace(job, seed=0), []).append(job)
    return list(groups.values())
