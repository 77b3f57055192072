"""The compared methods on nodes: options, learning rates, and the bytes that a node sends."""

import math
from dataclasses import dataclass, field
from typing import Any

from signscope.optim.distributed import METHODS, bytes_per_step

BLOCK = 64
BETA = 0.1
RADIUS = 0.03
VOTE_RATES = (3e-3, 1e-2, 3e-2, 1e-1)
FEW_STEPS = {"sgd": (0.3, 1.0, 3.0, 10.0), "adamw": (3e-2, 1e-1, 3e-1, 1.0)}
"""Rates of averaged gradients where equal bytes leave a few steps only."""


@dataclass(frozen=True)
class Contender:
    """One method.

    Attributes:
        label: In tables and pictures.
        rates: Learning rates that are tried.
        method: Name for `DistributedSign`; None for gradients that are averaged in full precision.
        options: Options of the method.
        radius: Radius of random signs, in units of the largest entry of a first gradient; 0 where there is none.
        is_biased: Whether workers with different data pull it away from the optimum.
    """

    label: str
    rates: tuple[float, ...]
    method: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    radius: float = 0.0
    is_biased: bool = False

    @property
    def calls(self) -> int:
        """Gradients per step and node, full gradients left out."""
        return 1 if self.method is None else 1 + METHODS[self.method].two_points

    @property
    def finite_sum(self) -> bool:
        """Whether it takes full gradients."""
        return self.method is not None and METHODS[self.method].finite_sum


CONTENDERS: dict[str, Contender] = {
    "sgd": Contender("DDP, SGD (momentum 0.9)", (0.03, 0.1, 0.3, 1.0)),
    "adamw": Contender("DDP, AdamW", (3e-3, 1e-2, 3e-2, 1e-1)),
    "signsgd": Contender("majority vote (signSGD)", VOTE_RATES, "majority-vote", is_biased=True),
    "signum": Contender("majority vote (Signum)", VOTE_RATES, "majority-vote", {"momentum": 0.9}, is_biased=True),
    "sim": Contender("MV-sto-signSGD-SIM", VOTE_RATES, "mv-sto-signsgd-sim", radius=RADIUS, is_biased=True),
    "ssvr1": Contender("SSVR-MV option 1", VOTE_RATES, "ssvr-mv", {"beta": BETA}, radius=RADIUS, is_biased=True),
    "ssvr2": Contender("SSVR-MV option 2", VOTE_RATES, "ssvr-mv", {"beta": BETA, "server": "random"}, radius=RADIUS),
    "ssdm": Contender("SSDM", (1e-2, 3e-2, 1e-1, 3e-1), "ssdm", is_biased=True),
    "ef": Contender("EF-sign", (0.3, 1.0, 3.0, 10.0), "ef-sign"),
    "dvr": Contender("DVR-Sign", VOTE_RATES, "dvr-sign", {"beta": BETA}),
    "dvrq": Contender("DVR-Q", (0.1, 0.3, 1.0, 3.0), "dvr-q", {"beta": BETA}),
    "dvrfs": Contender("DVR-Sign-FS", VOTE_RATES, "dvr-sign-fs"),
}
"""The order is that of tables."""


def padded(dim: int, nodes: int) -> int:
    """Coordinates on the wire: slices of whole blocks and words."""
    return nodes * max(1, math.ceil(dim / (nodes * BLOCK))) * BLOCK


def sent(contender: Contender, dim: int, nodes: int, moves: int, *, period: int) -> float:
    """Bytes that one node sends in so many moves: `bytes_per_step`, and full precision where a method needs it.

    Args:
        contender: The method.
        dim: Weights.
        nodes: Number of nodes.
        moves: Moves.
        period: Moves between two full gradients of the finite-sum versions.
    """
    if contender.method is None:  # fp32 all-reduce by ring
        return moves * 8 * dim * (nodes - 1) / nodes
    kind, wide = METHODS[contender.method], padded(dim, nodes)
    is_scaled = contender.method.startswith(("dvr", "ef"))
    up = wide // BLOCK if is_scaled else nodes if contender.method == "ssdm" else 0
    down = wide // BLOCK if contender.method.startswith(("dvr-q", "ef")) else 0
    back = 1 if kind.one_bit_down else 8
    step = bytes_per_step(wide, nodes, down_bits=back, up_scales=up, down_scales=down)
    if not contender.method.startswith("dvr"):
        return moves * step
    full = math.ceil(moves / period) if contender.finite_sum else min(moves, 1)
    answer = bytes_per_step(wide, nodes, up_bits=0, down_bits=back, down_scales=down)
    return (moves - full) * step + full * (answer + 4 * wide * (nodes - 1) / nodes)
