"""One pass over the rows against the flow for rows drawn once, and against the one for rows drawn again."""

import pytest
import torch

from signscope import LeastSquares, simulate
from signscope.limits.rows import flow
from signscope.problems import bundled


def gaps(name, optimizer, lr, num_runs=400):
    """Mean relative gap of both flows to runs that take each row once, and the error of the runs."""
    problem = LeastSquares.from_data(*bundled(name))
    horizon = problem.rows.num_rows // problem.dim
    times = torch.linspace(0, horizon, 25, dtype=torch.float64)
    runs = simulate(
        problem, optimizer, lr=lr, horizon=horizon, times=times, num_runs=num_runs, rows="once", dtype="float32"
    )
    found = []
    for stream in ("once", "replace"):
        curve = flow(
            problem.rows,
            optimizer=optimizer,
            schedule=lr,
            horizon=horizon,
            displacement=problem.displacement,
            times=times,
            bias_floor=False,
            stream=stream,
        )
        found.append(float(((curve.value - runs.value) / runs.value)[1:].abs().mean()))
    return (*found, float((runs.stderr / runs.value)[1:].mean()))


@pytest.mark.parametrize(
    ("name", "optimizer", "lr", "allowed"),
    [("diabetes", "signsgd", 5.0, 0.04), ("diabetes", "adam", 20.0, 0.05), ("digits", "signsgd", 0.1, 0.025)],
)
def test_a_single_pass_follows_the_flow_for_it(name, optimizer, lr, allowed):
    once, again, error = gaps(name, optimizer, lr, 150 if name == "digits" else 600)
    assert once < allowed
    assert again > max(2.5 * once, 3 * error)  # teeth: with replacement is another curve


def test_a_single_pass_of_sgd_is_no_worse_predicted():
    once, again, _ = gaps("digits", "sgd", 0.5, 150)
    assert once < 0.05
    assert once < again + 0.005
