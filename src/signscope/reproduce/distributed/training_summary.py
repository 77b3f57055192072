"""Tables and claims of the nodes: best rates, spread over seeds, paired differences."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from signscope.reproduce.datasets import Dataset
from signscope.reproduce.distributed.contenders import CONTENDERS, padded, sent
from signscope.reproduce.distributed.node_job import NodeJob, NodeStore
from signscope.reproduce.distributed.processes import Check
from signscope.reproduce.distributed.splits import deal, skew
from signscope.reproduce.report import Verdict
from signscope.reproduce.training_summary import log_gap, outcome_of

PUBLISHED = ("signsgd", "signum", "sim", "ssdm")
"""Rivals below which SSVR-MV is published to end."""
UNBIASED = ("ef", "dvr", "dvrfs")
VOTES = ("signsgd", "signum")
DENSE = ("sgd", "adamw")


@dataclass(frozen=True, eq=False)
class Cell:
    """One number of nodes with one split.

    Attributes:
        base: A job whose method, rate and budget are open; its seed is the first.
        plans: Jobs of the sweep on the first seed, by method and budget.
        seeds: All seeds.
        dim: Weights of the network.
        swept: The cell whose best rates are taken over; None: the sweep is run here.
    """

    base: NodeJob
    plans: dict[tuple[str, str], list[NodeJob]]
    seeds: tuple[int, ...]
    dim: int
    swept: "Cell | None" = None

    def chosen(self, method: str, budget: str, store: NodeStore) -> NodeJob:
        """The run at the best rate on the first seed."""
        jobs = self.plans[method, budget]
        if self.swept is None:
            return best_lr(jobs, store)
        lr = self.swept.chosen(method, budget, store).lr
        return next(job for job in jobs if job.lr == lr)

    def best(self, method: str, store: NodeStore, budget: str = "steps") -> list[NodeJob]:
        """The runs at the best rate, by seed."""
        return [replace(self.chosen(method, budget, store), seed=seed) for seed in self.seeds]


def best_lr(jobs: Sequence[NodeJob], store: NodeStore) -> NodeJob:
    """The job with the smallest final training loss; those that diverged come last."""
    return min(jobs, key=lambda job: np.nan_to_num(store.rows(job)[-1]["train_loss"], nan=math.inf))


def final(jobs: Sequence[NodeJob], store: NodeStore, name: str) -> np.ndarray:
    """Last measurement of every run."""
    return np.array([store.rows(job)[-1][name] for job in jobs], dtype=float)


def details(cells: Sequence[Cell], store: NodeStore, data: Dataset) -> list[dict[str, Any]]:
    """One row per cell, budget and method at its best rate: means and standard deviations over seeds."""
    rows: list[dict[str, Any]] = []
    for cell in cells:
        base = cell.base
        labels = data.train_y.tolist()
        options = {"nodes": base.nodes, "each": base.rows, "split": base.split, "alpha": base.alpha}
        apart = float(np.mean([skew(labels, deal(labels, seed=s, **options)) for s in cell.seeds]))
        for method, budget in cell.plans:
            jobs, sweep = cell.best(method, store, budget), cell.plans[method, budget]
            rates, last = sorted(job.lr for job in sweep), store.rows(jobs[0])[-1]
            row: dict[str, Any] = {
                "nodes": base.nodes,
                "split": base.split,
                "skew": round(apart, 3),
                "budget": budget,
                "method": CONTENDERS[method].label,
                "lr": jobs[0].lr,
                "at_edge": len(rates) > 1 and jobs[0].lr in (rates[0], rates[-1]),
                "moves": last["moves"],
                "bytes": last["bytes"],
                "gradients": last["gradients"],
                "num_seeds": len(jobs),
                "diverged": sum(store.rows(job)[-1]["status"] != "ok" for job in jobs),
            }
            for name in ("train_loss", "test_accuracy"):
                values = final(jobs, store, name)
                spread = values.std(ddof=1) if len(values) > 1 else math.nan
                row |= {name: values.mean(), f"{name}_std": spread}
            rows.append(row)
    return rows


def claims(cells: Sequence[Cell], store: NodeStore, checked: Sequence[Check]) -> list[dict[str, Any]]:
    """Paired differences of the logarithm of the final training loss, each method at its best rate.

    "holds": below zero by more than two standard errors; "fails": above by as much; "undecided" between. Against SGD
    and AdamW after as many steps nothing is claimed: shown.
    """
    rows = list(_bytes(cells))
    for cell in cells:
        where = f"{cell.base.nodes} nodes, {cell.base.split}"
        rows += [_pair(cell, store, where, "ssvr1", rival) for rival in PUBLISHED]
        if cell.base.split != "homogeneous":
            rows += [_pair(cell, store, where, ours, rival) for ours in UNBIASED for rival in VOTES]
        ours = ("signum", "dvr") if cell.base.split == "homogeneous" else ("dvr",)
        budgets = ("bytes", "bytes, large batches")
        rows += [_pair(cell, store, where, o, rival, b) for o in ours for rival in DENSE for b in budgets]
        rows += [_pair(cell, store, where, o, rival, is_shown=True) for o in ("signum", *UNBIASED) for rival in DENSE]
    return rows + list(_processes(checked))


def verdict(found: Sequence[dict[str, Any]]) -> tuple[Verdict, str]:
    """The word and its reason."""
    counts = {word: sum(row["outcome"] == word for row in found) for word in ("holds", "fails", "undecided")}
    text = f"of {sum(counts.values())} claims {counts['holds']} hold, {counts['fails']} fail, {counts['undecided']} "
    failed = "; ".join(row["claim"] for row in found if row["outcome"] == "fails")
    text += f"are undecided{f'. Failed: {failed}' if failed else ''}."
    return ("matched" if counts["holds"] and not counts["fails"] else "differs"), text


def _processes(checked: Sequence[Check]) -> Iterator[dict[str, Any]]:
    """Real processes against the reference, over all methods; those that differ are named."""
    texts = {
        "is_equal": "weights equal to those of one process bit for bit, at every measurement and on every rank",
        "has_bytes": "bytes counted by the optimizer are those of the table",
    }
    for nodes, split in dict.fromkeys((check.job.nodes, check.job.split) for check in checked):
        own = [check for check in checked if (check.job.nodes, check.job.split) == (nodes, split)]
        for name, text in texts.items():
            wrong = [CONTENDERS[check.job.method].label for check in own if not getattr(check, name)]
            which = f" (not {', '.join(wrong)})" if wrong else ""
            yield _row(f"{nodes} processes, {split}, {len(own)} methods: {text}{which}", not wrong)


def _bytes(cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    """A vote sends 1/32 of an fp32 all-reduce of the padded weights."""
    for nodes, dim in dict.fromkeys((cell.base.nodes, cell.dim) for cell in cells):
        vote, full = (sent(CONTENDERS[m], dim, nodes, 1, period=1) for m in ("signsgd", "sgd"))
        ratio, expected = full / vote, 32 * dim / padded(dim, nodes)
        text = f"{nodes} nodes: bytes of an fp32 all-reduce over those of a vote, {dim} weights"
        yield _row(text, math.isclose(ratio, expected, rel_tol=1e-12)) | {"measured": ratio}


def _pair(
    cell: Cell, store: NodeStore, where: str, ours: str, rival: str, budget: str = "steps", *, is_shown: bool = False
) -> dict[str, Any]:
    mine, theirs = cell.best(ours, store), cell.best(rival, store, budget)
    gap = np.log(final(mine, store, "train_loss")) - np.log(final(theirs, store, "train_loss"))
    numbers = log_gap(gap)
    text = f"{where}: {CONTENDERS[ours].label} ends below {CONTENDERS[rival].label} at equal {budget}"
    return {"claim": text, **numbers, "outcome": "shown" if is_shown else outcome_of(numbers)}


def _row(text: str, is_true: bool) -> dict[str, Any]:
    outcome = "holds" if is_true else "fails"
    return {"claim": text, "measured": float(is_true), "stderr": math.nan, "ratio": math.nan, "outcome": outcome}
