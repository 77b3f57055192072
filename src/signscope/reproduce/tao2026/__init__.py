"""Experiments on when signSGD outperforms SGD (tao2026); their code is imported when one runs."""

from signscope.reproduce.entry import Figure

_PAPER = "tao2026"
_ENTRIES = (  # name, what it shows, duration of the full size, home
    ("toy-deterministic", "one sharp coordinate, no noise: coarse and fine grids of rates", "5 seconds", "run"),
    ("toy-stochastic", "noise in few coordinates: tuned rates, dimension, density", "25 seconds", "run"),
    ("correlated-noise", "noise with correlations: marginals, rotation, bounds", "10 seconds", "run"),
    ("adaptive-step", "step sizes that adapt in the l-infinity geometry", "10 seconds", "run"),
    ("density-resnet", "noise and gradient density of a ResNet along training", "2 minutes", "run"),
    ("density-gpt2", "noise and gradient density of a GPT along training", "2 minutes", "run"),
    ("gpt2-signsgd-vs-sgd", "a GPT with six optimizers, rates swept, all else matched", "4 minutes", "run"),
)
FIGURES: tuple[Figure, ...] = tuple(
    Figure(f"{_PAPER}-{key}", _PAPER, title, duration, f"tao2026.{key.replace('-', '_')}:{function}")
    for key, title, duration, function in _ENTRIES
)
