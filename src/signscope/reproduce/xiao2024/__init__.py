"""Figures and tables of xiao2024; their code is imported when one runs."""

from signscope.reproduce.entry import Figure

_PAPER = "xiao2024"
_ENTRIES = (  # name, what it shows, duration of the full size
    ("fig1", "risk curves on synthetic data, Gaussian and Cauchy noise", "15 seconds"),
    ("fig2", "slope phi of the mean sign against the risk, per noise law", "10 seconds"),
    ("fig3", "noise compression psi against the risk, per noise law", "5 seconds"),
    ("fig4", "spectra of K and of the covariance of signs, power-law exponents", "10 seconds"),
    ("fig5", "mini-batches: risk curves and slopes", "40 seconds"),
    ("fig6", "concentration around the risk equation as the dimension grows", "30 seconds"),
    ("fig7", "limit risk against the learning rate", "40 seconds"),
    ("fig8", "SGD and signSGD at their best rates on diagonal problems", "30 seconds"),
    ("fig9", "asymptotic rates against the condition number", "20 seconds"),
    ("fig10", "residuals on CIFAR-10 and IMDB with their fits (needs the data)", "40 seconds"),
    ("table1", "phi and psi per noise law against Monte Carlo", "40 seconds"),
    ("extra-rotation", "a random rotation removes the preconditioner's gain", "40 seconds"),
    ("extra-heavy-tails", "signSGD and SGD where the noise has no variance", "40 seconds"),
    ("extra-blocks", "block-diagonal covariances of one and of many scales", "40 seconds"),
    ("extra-dimension", "risk curves at d = 50, 200, 500 and 1000", "30 seconds"),
    ("extra-rows", "rows that are not Gaussian: universality and where it ends", "60 seconds"),
    ("extra-adam", "Adam against signSGD under heavy tails", "60 seconds"),
    ("extra-signum", "Signum against signSGD and Adam: what momentum is worth", "40 seconds"),
)
FIGURES: tuple[Figure, ...] = tuple(
    Figure(f"{_PAPER}-{key}", _PAPER, title, duration, f"xiao2024.{key.replace('-', '_')}:run")
    for key, title, duration in _ENTRIES
) + tuple(
    Figure(
        f"{_PAPER}-fig1-{kind}",
        _PAPER,
        f"risk curves on {name} (needs the data)",
        duration,
        f"xiao2024.fig1_real:{kind}",
    )
    for kind, name, duration in (("cifar10", "CIFAR-10", "90 seconds"), ("imdb", "IMDB reviews", "30 seconds"))
)
