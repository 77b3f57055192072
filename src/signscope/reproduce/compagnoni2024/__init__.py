"""Experiments on the SDEs of sign and adaptive methods (compagnoni2024); their code is imported when one runs."""

from signscope.reproduce.entry import Figure

_PAPER = "compagnoni2024"
_ENTRIES = (  # name, what it shows, duration of the full size
    ("e1", "mean and covariance of noisy signs against Monte Carlo", "10 seconds"),
    ("e2", "SignSGD, its SDEs, the flow and the closure: loss and variance", "30 seconds"),
    ("e3", "loss bounds of the phases, stated and corrected", "15 seconds"),
    ("e4", "stationary variance against lr h / sigma; long-run loss against noise", "5 seconds"),
    ("e5", "heavy tails and skewed noise: median loss and fixed points", "20 seconds"),
    ("e6", "forms of the SDEs of RMSprop and Adam: mean loss and variance", "30 seconds"),
    ("e7", "loss against noise: Adam, AdamW and L2 decay, minimum at 0 and not", "25 seconds"),
    ("e8", "batch-size rules, with parts left out, in and out of their regime", "30 seconds"),
    ("e9", "weak order of the SDEs, without sampling", "5 seconds"),
    ("e10", "error of Euler-Maruyama and Platen with dt = lr / m, without sampling", "8 seconds"),
    ("e11", "rates that fall like 1/t, and noise that changes in time", "30 seconds"),
    ("e12", "SignSGD on least squares: its SDEs and the limit of high dimension, from 30 to 240", "60 seconds"),
    ("e13", "probabilities of rare excursions: too small in the SDE", "3 seconds"),
)
FIGURES: tuple[Figure, ...] = tuple(
    Figure(f"{_PAPER}-{key}", _PAPER, title, duration, f"compagnoni2024.{key}:run") for key, title, duration in _ENTRIES
)
FIGURES += (
    Figure(
        f"{_PAPER}-networks",
        _PAPER,
        "MLP, CNN, ResNet and transformer on real data: their SDEs, decay under noise, the batch-size rule",
        "6 minutes",
        "compagnoni2024.networks:compagnoni2024_networks",
    ),
)
