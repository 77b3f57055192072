"""Experiments on distributed sign methods; their code is imported when one runs."""

from signscope.reproduce.entry import Figure

FIGURES: tuple[Figure, ...] = (
    Figure(
        "jiang2024-heterogeneous",
        "jiang2024",
        "workers whose objectives differ: which distributed methods are biased; slopes and floors, theory's parameters",
        "4 minutes",
        "distributed.heterogeneous:run",
    ),
    Figure(
        "jiang2024-adversaries",
        "jiang2024",
        "votes with lying, sign-flipping and late workers, against the thresholds of theory",
        "1 minute",
        "distributed.adversaries:run",
    ),
    Figure(
        "jiang2024-distributed",
        "jiang2024",
        "4 and 8 nodes train a network, equal and different data, against SGD and AdamW at equal bytes and steps",
        "5 minutes",
        "distributed.training:jiang2024_distributed",
    ),
)
