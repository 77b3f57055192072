"""Where theory and simulation part, against what `signscope check` measures: the tables of docs/check.md.

    python benchmarks/assumptions.py [--table alignment|coupling|blocks|tails|columns|rows] [--runs 256]

Each table makes one assumption fail step by step and shows the measured quantity next to the mean relative gap of
the prediction to the simulation, from which the thresholds were read. Seeds and sizes are fixed here.
"""

import argparse

import numpy as np
import torch

import signscope as ss
from signscope.comparison.gaussianity import row_shape
from signscope.limits.assumptions import (
    linearisation_error,
    participation,
    sign_noise_norm,
    strongest_coupling,
)
from signscope.problems import bundled, rotated
from signscope.problems.spectra import log_spaced

DIM = 200
ALL = ("sgd", "signsgd", "adam")


def gaps(problem: ss.LeastSquares, num_runs: int, *, rows: str = "gaussian", horizon: float = 4.0, lr=None, **options):
    """Mean gap in per cent per optimizer, and the largest standard error, as cells."""
    times = torch.linspace(0, horizon, 41, dtype=torch.float64)
    cells, level = [], 0.0
    for name in options.pop("optimizers", ALL):
        rate = (lr or {}).get(name, 0.3)
        common = {"lr": rate, "horizon": horizon, "times": times, **options}
        if name == "adam":
            common["betas"] = (0.0, 0.95)
        runs = ss.simulate(problem, name, num_runs=num_runs, seed=11, rows=rows, **common)
        predicted = ss.predict(problem, name, method="gaussian", **common)
        found = ss.gap(predicted, runs, dim=problem.dim)
        cells.append(f"{100 * found.mean:6.2f}%")
        level = max(level, float((runs.stderr / runs.value)[1:].mean()))
    return " | ".join(cells) + f" | {100 * level:.2f}%"


def alignment(num_runs: int) -> None:
    """A start that differs from the target in few coordinates of a diagonal K, or few eigenvectors of a rotated one."""
    print("K | noise | directions | participation | linearisation | sgd | signsgd | adam | standard error")
    levels = log_spaced(DIM, low=0.1, high=1.0)
    for kind, cov in (("diagonal", torch.diag(levels)), ("rotated", torch.as_tensor(np.asarray(rotated(levels, 7))))):
        basis = torch.linalg.eigh(cov)[1]
        for noise in ("gaussian:0.1", "gaussian:1"):
            for count in (1, 2, 5, 10, 20, 50, 200):
                weights = torch.zeros(DIM, dtype=torch.float64)
                weights[torch.linspace(DIM - 1, 0, count).long()] = 1 / count**0.5
                problem = ss.LeastSquares(cov, target=basis @ weights, noise=noise)
                shown = f"{participation(problem, 'signsgd'):.1f} | {100 * linearisation_error(problem):.2f}%"
                print(f"{kind} | {noise} | {count} | {shown} | {gaps(problem, num_runs)}", flush=True)


def _coupled(kind: str, strength: float) -> torch.Tensor:
    size = {"pairs": 2, "tens": 10, "one pair": 2, "all": DIM}[kind]
    block = (1 - strength) * torch.eye(size) + strength
    count = 1 if kind == "one pair" else DIM // size
    return torch.block_diag(*[block] * count, torch.eye(DIM - count * size)).double()


def coupling(num_runs: int) -> None:
    """Correlated groups of coordinates: pairs, one pair, tens, all."""
    print("groups | correlation | coupling | d^-0.4 | norm of Ksig | top share | sgd | signsgd | adam | standard error")
    for kind in ("one pair", "pairs", "tens", "all"):
        for strength in (0.0, 0.3, 0.6, 0.9, 0.99):
            cov = _coupled(kind, strength)
            problem = ss.LeastSquares(cov, noise="gaussian:0.3", seed=3)
            share = float(problem.eigvals[-1]) / DIM
            shown = f"{strongest_coupling(problem):.3f} | {DIM**-0.4:.3f} | {sign_noise_norm(problem.cov):.1f}"
            print(f"{kind} | {strength} | {shown} | {100 * share:.1f}% | {gaps(problem, num_runs)}", flush=True)


def spectra(num_runs: int) -> None:
    """Steeper and steeper power laws in a random basis: few directions share the variance and the risk."""
    print("exponent | top share | participation | linearisation | coupling | Ksig | sgd | signsgd | adam | stderr")
    for exponent in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
        levels = torch.arange(1, DIM + 1, dtype=torch.float64) ** -exponent
        levels *= DIM / levels.sum()
        problem = ss.LeastSquares(rotated(levels, 7), noise="gaussian:0.3", seed=3)
        share = float(problem.eigvals[-1]) / DIM
        shown = f"{participation(problem, 'signsgd'):.1f} | {100 * linearisation_error(problem):.2f}%"
        shown += f" | {strongest_coupling(problem):.3f} | {sign_noise_norm(problem.cov):.1f}"
        print(f"{exponent} | {100 * share:.1f}% | {shown} | {gaps(problem, num_runs)}", flush=True)


def batch(num_runs: int) -> None:
    """Large batches: signs that become certain."""
    print("dim | batch size | linearisation | signsgd | standard error")
    for dim in (50, 200):
        for size in (1, 5, 20, 50, 100):
            problem = ss.LeastSquares(np.asarray(rotated(log_spaced(dim, low=0.1, high=1.0), 7)), noise=0.5, seed=3)
            error = 100 * linearisation_error(problem, batch_size=size)
            cells = gaps(problem, num_runs, optimizers=("signsgd",), batch_size=size)
            print(f"{dim} | {size} | {error:.2f}% | {cells}", flush=True)


def tails(num_runs: int) -> None:
    """Noise of finite variance whose fourth moment is infinite or large."""
    print("noise | sgd | signsgd | adam | standard error")
    for noise in ("gaussian:0.5", "laplace:0.4", "student-t:5,0.4", "student-t:3,0.3", "student-t:2.2,0.2"):
        problem = ss.LeastSquares(rotated(log_spaced(DIM, low=0.1, high=1.0), 7), noise=noise, seed=3)
        print(f"{noise} | {gaps(problem, num_runs)}", flush=True)


def columns(num_runs: int) -> None:
    """Too few rows: the curve predicted from n rows against the curve of the population they were drawn from."""
    dim, horizon = 50, 8.0
    print("rows per column | sgd | signsgd | adam: mean gap of the predicted curve to the population's, 20 draws")
    truth = ss.LeastSquares(rotated(log_spaced(dim, low=0.1, high=1.0), 7), noise=0.5, seed=3)
    root = torch.linalg.cholesky(truth.cov.dense())
    for ratio in (1.5, 2, 5, 10, 20, 50, 100):
        errors = []
        for draw in range(20):
            rng = np.random.default_rng([5, draw])
            X = rng.standard_normal((round(ratio * dim), dim)) @ root.T.numpy()
            y = X @ truth.target.numpy() + 0.5 * rng.standard_normal(len(X))
            sample = ss.LeastSquares.from_data(X, y, center=False, scale="none")
            row = []
            for name in ALL:
                options = {"lr": 0.3, "horizon": horizon, "method": "gaussian", "betas": (0.0, 0.95)}
                a, b = ss.predict(sample, name, **options).value, ss.predict(truth, name, **options).value
                row.append(float((a / b - 1).abs().mean()))
            errors.append(row)
        print(f"{ratio} | " + " | ".join(f"{100 * e:.1f}%" for e in np.mean(errors, 0)), flush=True)


def rows(num_runs: int) -> None:
    """Rows that are not Gaussian: skewed, of varying length, with noise that depends on them, and bundled data."""
    print("rows | what check measures | sgd | signsgd | adam (Gaussian theory) | standard error")
    rng, dim, n = np.random.default_rng(2), 50, 20_000
    z, e = rng.standard_normal((n, dim)), rng.standard_normal(n)
    made = {"gaussian": (z, 0.5 * e)}
    for shape in (100.0, 10.0, 3.0, 1.0, 0.3):
        made[f"gamma({shape:g}), skewed"] = (rng.gamma(shape, size=(n, dim)) - shape) / shape**0.5, 0.5 * e
    for spread in (0.1, 0.2, 0.4, 0.7):
        made[f"lengths lognormal({spread})"] = z * np.exp(spread * rng.standard_normal((n, 1))), 0.5 * e
    for power in (0.1, 0.3, 1.0):
        made[f"noise {power:g} of a square"] = z, 0.5 * e + power * ((z[:, :10] ** 2 - 1).sum(1) / 20**0.5)
    for power in (0.1, 0.3, 1.0):
        made[f"noise {power:g} of a product with skew"] = z, 0.5 * e + power * z[:, 0] * (z[:, 1] ** 2 - 1)
    target = np.random.default_rng(3).standard_normal(dim) / dim**0.5
    problems = {k: ss.LeastSquares.from_data(X, X @ target + noise) for k, (X, noise) in made.items()}
    for name in ("digits", "breast_cancer", "diabetes"):
        for scale in ("global", "columns"):
            problems[f"{name}, {scale}"] = ss.LeastSquares.from_data(*bundled(name), scale=scale)
    for name, problem in problems.items():
        found = ", ".join(f"{row.value:.3f}" for row in row_shape(problem.rows.features, problem.rows.residuals))
        lr = {"sgd": 0.05 if "columns" in name else 0.3}
        print(f"{name} | {found} | {gaps(problem, num_runs, rows='replace', horizon=8.0, lr=lr)}", flush=True)


TABLES = {f.__name__: f for f in (alignment, coupling, spectra, batch, tails, columns, rows)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=list(TABLES), action="append")
    parser.add_argument("--runs", type=int, default=256)
    chosen = parser.parse_args(arguments)
    for name in chosen.table or TABLES:
        print(f"\n{name}: {TABLES[name].__doc__}")
        TABLES[name](chosen.runs)


if __name__ == "__main__":
    main()
