"""SGD's mean risk at finite dimension, exactly: a recursion on second moments, no limit taken."""

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope.problems import LeastSquares
from signscope.problems.cost import Pace
from signscope.schedules import Schedule


@equation("signscope", "(4.2)")
def exact_sgd_risk(problem: LeastSquares, schedule: Schedule, times: Tensor, *, batch_size: int) -> Tensor:
    r"""Mean excess risk of SGD on Gaussian rows at whole steps.

    With $M_j = E(q_j'v)^2$ in the eigenbasis of K, g = lr/d and $s^2 = E\epsilon^2$,
    $$ M_j \leftarrow M_j (1 - g\lambda_j)^2
       + \frac{g^2}{B}\bigl(\lambda_j^2 M_j + \lambda_j \sum_i \lambda_i M_i + \lambda_j s^2\bigr). $$

    Args:
        problem: Problem with Gaussian rows and noise of finite variance.
        schedule: Learning rate.
        times: Times in steps/dim; each is read at the nearest whole step.
        batch_size: B.

    Returns:
        Risk at ``times``, shape (num_times,); ``inf`` after overflow.

    Notes:
        O(d) per step, horizon * d steps; a run that will take longer than a minute is announced.
    """
    dim = problem.dim
    if problem.cov.is_diagonal:
        eigvals, moments = problem.cov.diagonal(), problem.displacement**2
    else:
        eigvals, eigvecs = problem.cov.eigh()
        eigvals, moments = eigvals.clamp(min=0), (eigvecs.T @ problem.displacement) ** 2
    steps = torch.floor(times * dim + 0.5).long()
    rates = schedule(torch.arange(int(steps[-1]) + 1, dtype=torch.float64) / dim) / dim
    wanted, risks = set(steps.tolist()), {}
    pace = Pace("predict: method 'exact'", len(rates), "Method 'gaussian' takes seconds and is off by about 1 / dim.")
    for k in range(len(rates)):
        total = eigvals @ moments
        if k in wanted:
            risks[k] = 0.5 * total
        g = rates[k]
        spread = eigvals * (eigvals * moments + total + problem.noise.second_moment)
        moments = moments * (1 - g * eigvals) ** 2 + g**2 / batch_size * spread
        pace.after(k + 1)
    found = torch.stack([risks[k] for k in steps.tolist()])
    return torch.where(torch.isfinite(found), found, torch.full_like(found, torch.inf))
