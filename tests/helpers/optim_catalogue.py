"""One row per optimizer, and one small problem on which all of them run."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from signscope import optim

from . import reference_optim as ref

COMPONENTS = 6
SHAPES = ((3, 4), (5, 2), (2, 6))


class Sum:
    """f = mean over samples of sum over tensors of a_s |x - c_s|^2 / 2 + 0.3 cos(2 x + c_s)."""

    def __init__(self, seed=0, *, shapes=SHAPES, dtype=torch.float64):
        gen = torch.Generator().manual_seed(seed)
        self.shapes = shapes
        self.starts = [torch.randn(s, generator=gen, dtype=torch.float64).to(dtype) for s in shapes]
        self.centres = [torch.randn(COMPONENTS, *s, generator=gen, dtype=torch.float64).to(dtype) for s in shapes]
        self.slopes = [0.5, 1.5, 1.0, 2.0, 0.7, 1.2]
        self.order = torch.randint(COMPONENTS, (64,), generator=gen).tolist()

    def parameters(self):
        return [nn.Parameter(x.clone()) for x in self.starts]

    def loss(self, params, s):
        total = 0.0
        for x, c in zip(params, self.centres, strict=True):
            total = total + (self.slopes[s] * (x - c[s]) ** 2 / 2 + 0.3 * torch.cos(2 * x + c[s])).sum()
        return total

    def gradient(self, index):
        c = self.centres[index]
        return lambda x, s: self.slopes[s] * (x - c[s]) - 0.6 * torch.sin(2 * x + c[s])

    def closure(self, params, s):
        def closure():
            loss = self.loss(params, s)
            loss.backward()
            return loss

        return closure

    def full(self, params):
        def closure():
            loss = sum(self.loss(params, s) for s in range(COMPONENTS)) / COMPONENTS
            loss.backward()
            return loss

        return closure


@dataclass(frozen=True)
class Row:
    """An optimizer, its loop, its usual options, and for each option a value that must move the path."""

    name: str
    cls: Any
    loop: Any
    kind: str  # "one": gradients come; "two": the batch at two points; "sum": checkpoints with full gradients
    options: dict[str, Any]
    moves: dict[str, Any] = field(default_factory=dict)
    not_in_loop: tuple[str, ...] = ()

    def for_loop(self, **changes):
        return {k: v for k, v in {**self.options, **changes}.items() if k not in self.not_in_loop}

    def make(self, problem, params, **changes):
        extra = {"full_gradient": problem.full(params)} if self.kind == "sum" else {}
        return self.cls(params, **{**self.options, **extra, **changes})

    def advance(self, opt, problem, params, steps, *, first=0):
        """Runs steps first .. first + steps - 1 and returns the path of the parameters."""
        path = [[p.detach().clone() for p in params]]
        for t in range(first, first + steps):
            closure = problem.closure(params, problem.order[t])
            if self.kind == "one":
                opt.zero_grad()
                closure()
                opt.step()
            else:
                opt.step(closure)
            path.append([p.detach().clone() for p in params])
        return path

    def path(self, steps=20, *, problem=None, **changes):
        problem = problem or Sum()
        params = problem.parameters()
        return self.advance(self.make(problem, params, **changes), problem, params, steps)

    def reference_path(self, steps=20, *, problem=None, **changes):
        """The same from the literal loop; one list per step, one tensor per parameter."""
        problem = problem or Sum()
        options = self.for_loop(**changes)
        order, paths = problem.order[:steps], []
        for index, start in enumerate(problem.starts):
            gradient = problem.gradient(index)
            if self.kind == "one":
                paths.append(_closed_loop(self.loop, start, order, gradient, options))
            elif self.kind == "two":
                paths.append(self.loop(start, order, gradient, **options))
            else:
                paths.append(self.loop(start, order, gradient, COMPONENTS, **options))
        return [list(point) for point in zip(*paths, strict=True)]


def _closed_loop(loop, start, order, gradient, options):
    """Feeds a one-gradient loop the gradients at its own points, by running it again from the start each time."""
    grads, path = [], [start.clone()]
    for s in order:
        grads.append(gradient(path[-1], s))
        path = loop(start.clone(), grads, **options)
    return path


COMMON = {"lr": 0.02, "weight_decay": 0.1, "maximize": True}
ROWS = [
    Row("signsgd", optim.SignSGD, ref.signsgd_loop, "one", {"lr": 0.05}, COMMON),
    Row(
        "signum",
        optim.Signum,
        ref.signum_loop,
        "one",
        {"lr": 0.05, "momentum": 0.9},
        {**COMMON, "momentum": 0.5, "start": "zeros"},
    ),
    Row("lion", optim.Lion, ref.lion_loop, "one", {"lr": 0.05, "betas": (0.9, 0.99)}, {**COMMON, "betas": (0.5, 0.9)}),
    Row("ef_signsgd", optim.EFSignSGD, ref.ef_signsgd_loop, "one", {"lr": 0.05}, COMMON),
    Row(
        "muon",
        optim.Muon,
        ref.muon_loop,
        "one",
        {"lr": 0.05, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0, "polar": "svd", "adjust_lr_fn": "none"},
        {**COMMON, "momentum": 0.9},
        ("polar", "adjust_lr_fn"),
    ),
    Row(
        "ssvr", optim.SSVR, ref.ssvr_loop, "two", {"lr": 0.05, "beta": 0.2}, {**COMMON, "beta": 0.7, "init_batches": 3}
    ),
    Row(
        "ssvr_fs",
        optim.SSVRFS,
        ref.ssvr_fs_loop,
        "sum",
        {"lr": 0.05, "beta": 0.3, "period": 4},
        {**COMMON, "beta": 0.8, "period": 3, "reset_at_checkpoint": True},
    ),
    Row(
        "spider_sign", optim.SpiderSign, ref.spider_sign_loop, "sum", {"lr": 0.05, "period": 4}, {**COMMON, "period": 3}
    ),
    Row("signsvrg", optim.SignSVRG, ref.signsvrg_loop, "sum", {"lr": 0.05, "period": 4}, {**COMMON, "period": 3}),
]
BY_NAME = {row.name: row for row in ROWS}
MOVES = [(row, option) for row in ROWS for option in row.moves]
