"""The bias floor of an optimizer on data: what is left of the risk however many runs are averaged."""

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import Unsupported
from signscope._core.status import OPTIMIZERS
from signscope.limits.prediction import row_moments
from signscope.limits.rows import RowsLimit, settle
from signscope.problems import LeastSquares, as_problem


@equation("signscope", "risk_curves (13.4): the root of the mean direction")
def bias_floor(
    problem: LeastSquares, optimizer: str, *, lr: float, betas: tuple[float, float] = (0.9, 0.999)
) -> RowsLimit:
    r"""Where the runs settle at the constant rate ``lr`` on the data's own rows, and how much of that is bias.

    $$ m(\mu, \Sigma) = 0, \qquad \text{bias floor} = \tfrac12 \mu' K \mu, \qquad
       \text{excess risk} = \tfrac12 \mu' K \mu + \tfrac12 tr(K \Sigma) $$

    Args:
        problem: A problem made by `LeastSquares.from_data`.
        optimizer: sgd, signsgd or adam; batch size 1, rows drawn with replacement.
        lr: The theory's rate. A smaller one lowers tr(K Sigma), not the bias.
        betas: Adam's.

    Returns:
        ``bias_floor`` and ``excess_risk``, in the unit of y^2, with ``status`` and ``message``: "unstable" beyond
        SGD's limit on these rows (inf), "inaccurate" where no stationary state was reached (NaN).

    Raises:
        InvalidInput: Another optimizer, or a rate that is not positive.
        Unsupported: The problem has no rows: for Gaussian rows the floor is 0.

    Notes:
        Zero for SGD and Adam, which settle around the least-squares solution. signSGD settles where the signs
        balance, nearer to a median; the two differ where features are skewed or the noise depends on them.
        About 30 averages over the data.
    """
    who = "bias_floor"
    problem = as_problem(who, problem)
    checks.one_of(who, "optimizer", optimizer, OPTIMIZERS)
    lr = checks.positive(who, "lr", lr)
    if problem.rows is None:
        raise Unsupported(
            f"{who}: the problem has no rows; make it with LeastSquares.from_data. For Gaussian rows with "
            "independent noise the floor is 0."
        )
    return settle(row_moments(problem), optimizer=optimizer, lr=lr, betas=betas)
