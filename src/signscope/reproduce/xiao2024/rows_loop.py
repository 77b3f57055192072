"""A loop of signSGD typed out on rows that are not Gaussian, and what the risk equation becomes for them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from signscope._core.equations import equation
from signscope._core.random import stream
from signscope.curves import Curve
from signscope.limits import predict
from signscope.noise import Gaussian, Mixture
from signscope.problems import LeastSquares

Entries = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


@dataclass(frozen=True)
class RowLaw:
    """A law of independent entries with mean 0 and variance 1.

    Attributes:
        label: In the legend.
        draw: (generator, shape) -> entries.
        mean_abs: E |z|.
        share: P(z != 0): entries that move their coordinate.
    """

    label: str
    draw: Entries
    mean_abs: float
    share: float = 1.0

    @property
    def drift(self) -> float:
        """Slope of the mean sign against Gaussian entries: sqrt(pi/2) E|z|."""
        return math.sqrt(math.pi / 2) * self.mean_abs


def _sparse(share: float) -> Entries:
    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return rng.standard_normal(shape) * (rng.random(shape) < share) / math.sqrt(share)

    return draw


def sparse(share: float) -> RowLaw:
    """Gaussian entries of which a share ``share`` is not 0; sign(0) = 0 leaves the others in place."""
    label = f"sparse, {100 * share:g}% non-zero"
    return RowLaw(label, _sparse(share), math.sqrt(2 * share / math.pi), share)


GAUSSIAN = RowLaw("Gaussian", lambda rng, shape: rng.standard_normal(shape), math.sqrt(2 / math.pi))
RADEMACHER = RowLaw("Rademacher", lambda rng, shape: 2.0 * rng.integers(2, size=shape) - 1, 1.0)
UNIFORM = RowLaw("uniform", lambda rng, shape: rng.uniform(-math.sqrt(3), math.sqrt(3), shape), math.sqrt(3) / 2)
STUDENT = RowLaw(
    "Student-t, nu = 3", lambda rng, shape: rng.standard_t(3, shape) / math.sqrt(3), 2 / math.pi
)  # E|t_3| = 2 sqrt(3)/pi


def loop(
    problem: LeastSquares,
    law: RowLaw,
    *,
    lr: float,
    times: torch.Tensor,
    num_runs: int,
    seed: int,
    scale: Callable[[np.random.Generator, int], np.ndarray] | None = None,
) -> Curve:
    """Risk of signSGD, one row per step, on rows x = Q sqrt(Lambda) z with entries z of ``law``.

    Args:
        problem: Covariance K, start, target and noise.
        law: Law of the entries of z.
        lr: The theory's rate.
        times: Increasing times in steps/dim at which the risk is recorded.
        num_runs: Independent runs.
        seed: Of all of them.
        scale: Draws a common factor of every row, shape (num_runs,), if rows are to vary in norm.

    Returns:
        The mean with standard error and 80% band.
    """
    rng = stream(seed, "loop", law.label)
    dim, step = problem.dim, lr / problem.dim
    root = row_root(problem).numpy().astype(np.float32)
    v = np.repeat(problem.displacement.numpy()[None].astype(np.float32), num_runs, axis=0)
    cov = problem.cov.dense().numpy().astype(np.float32)
    wanted = {int(t * dim + 0.5): k for k, t in enumerate(times.tolist())}
    risks = np.empty((num_runs, len(times)))
    for k in range(max(wanted) + 1):
        if k in wanted:
            risks[:, wanted[k]] = 0.5 * np.einsum("ri,ri->r", v @ cov, v)
        x = law.draw(rng, (num_runs, dim)).astype(np.float32)
        x = x * root if root.ndim == 1 else x @ root
        if scale is not None:
            x *= scale(rng, num_runs)[:, None]
        residual = np.einsum("ri,ri->r", x, v) - problem.noise.sample(num_runs, rng)
        v -= step * np.sign(x) * np.sign(residual)[:, None]
    runs = torch.from_numpy(risks)
    band = torch.quantile(runs, torch.tensor([0.1, 0.9]).double(), dim=0)
    stderr = runs.std(0) / math.sqrt(num_runs)
    options = {"runs": runs, "num_runs": num_runs, "optimizer": "signsgd", "lr": lr, "step_size": step}
    return Curve(times, runs.mean(0), stderr=stderr, band=(band[0], band[1]), **options)


def row_root(problem: LeastSquares) -> torch.Tensor:
    """What turns entries into rows: sqrt(Lambda) Q', or the standard deviations alone where K is diagonal.

    Not a Cholesky factor: that of a K in a random basis is nearly diagonal and mixes almost nothing.
    """
    if problem.cov.is_diagonal:
        return problem.cov.diagonal().sqrt()
    eigvals, eigvecs = problem.cov.eigh()
    return eigvals.sqrt()[:, None] * eigvecs.T


@equation("signscope", "signSGD on independent entries that are not Gaussian")
def entries_curve(problem: LeastSquares, law: RowLaw, *, lr: float, times: torch.Tensor) -> Curve:
    r"""Risk equation for rows with independent entries (K diagonal) of any law.

    The residual is still Gaussian, but $E\,\mathrm{sign}(x_i)\,x_i$ is $E|z|$ in place of $\sqrt{2/\pi}$, and only a
    share p of the coordinates moves: the drift gains $c = \sqrt{\pi/2}\,E|z|$ and the noise p. With
    $\eta' = \eta p/c$ and $t' = t c^2/p$ that is the Gaussian equation again,

    $$ R(t; \eta) = R_{\mathrm{Gauss}}(t c^2/p;\; \eta p/c). $$
    """
    stretch = law.drift**2 / law.share
    horizon = float(times[-1]) * stretch
    curve = predict(
        problem, "signsgd", lr=lr * law.share / law.drift, horizon=horizon, times=times * stretch, method="gaussian"
    )
    return Curve(times, curve.value, optimizer="signsgd", lr=lr, step_size=lr / problem.dim)


def student_norms(rng: np.random.Generator, count: int) -> np.ndarray:
    """Factors that make Gaussian rows multivariate Student-t with nu = 3, the covariance unchanged."""
    return np.sqrt(1.0 / rng.chisquare(3, count)).astype(np.float32)


@equation("signscope", "signSGD on rows of varying norm")
def norms_curve(problem: LeastSquares, *, lr: float, times: torch.Tensor) -> Curve:
    r"""Risk equation for rows s x, x Gaussian, s^2 = 1/chi^2_3: Gaussian rows under the noise eps / s.

    $\mathrm{sign}(s\langle x, v\rangle - \epsilon) = \mathrm{sign}(\langle x, v\rangle - \epsilon/s)$; the mixture over
    chi^2_3 is taken at the 40 nodes of a Gauss-Laguerre rule.
    """
    from scipy.special import roots_genlaguerre

    assert isinstance(problem.noise, Gaussian)
    nodes, weights = roots_genlaguerre(40, 0.5)
    keep = weights > 1e-16 * weights.sum()
    stds = problem.noise.std * np.sqrt(2 * nodes[keep])
    shares = weights[keep] / weights[keep].sum()
    noise = Mixture(tuple(map(float, shares)), (0.0,) * len(stds), tuple(map(float, stds)))
    own = LeastSquares(problem.cov, start=problem.start, target=problem.target, noise=noise)
    return predict(own, "signsgd", lr=lr, horizon=float(times[-1]), times=times, method="gaussian")
