"""What does a schedule buy, and which shape should it have?

A predicted risk is differentiable with respect to the rates, so the best piecewise constant schedule is found by
gradient descent on the prediction, and then checked with real runs.
"""

# %%
import torch

import signscope as ss
from signscope.problems import gaussian_problem
from signscope.schedules import Cosine, Linear, PiecewiseConstant, WarmupStableDecay

DIM = 100
HORIZON = 20.0
NUM_RUNS = 64
NUM_PIECES = 6
NUM_ITERATIONS = 30

problem = gaussian_problem(DIM, spectrum="log:0.01,1", rotated=True, noise="gaussian:0.5")

# %% The best constant rate is the one to beat
constant = ss.best_lr(problem, "signsgd", horizon=HORIZON)
print(f"constant {constant.lr:.3g}: risk {constant.curve.final:.5f}")

# %% Usual shapes, starting at twice that rate
peak = 2 * constant.lr
usual = {
    "linear": Linear(peak, HORIZON),
    "cosine": Cosine(peak, HORIZON),
    "warm-up, stable, decay": WarmupStableDecay(peak, HORIZON, warmup=HORIZON / 20, decay=HORIZON / 2),
    "by hand": lambda t: peak / (1 + t / 5),
}
for name, schedule in usual.items():
    print(f"{name}: risk {ss.predict(problem, 'signsgd', lr=schedule, horizon=HORIZON).final:.5f}")

# %% The best piecewise constant one: gradient descent on the logarithms of the rates
edges = tuple(HORIZON * i / NUM_PIECES for i in range(NUM_PIECES))
logs = torch.full((NUM_PIECES,), constant.lr, dtype=torch.float64).log().requires_grad_()
descent = torch.optim.Adam([logs], lr=0.1)
for _ in range(NUM_ITERATIONS):
    descent.zero_grad()
    schedule = PiecewiseConstant(edges, logs.exp())
    curve = ss.predict(problem, "signsgd", lr=schedule, horizon=HORIZON, times=[0.0, HORIZON], rtol=1e-4)
    curve.value[-1].log().backward()
    descent.step()
found = PiecewiseConstant(edges, tuple(logs.detach().exp().tolist()))
print("rates:", [f"{rate:.3g}" for rate in found.values])

# %% Prediction and real runs of the schedule that was found
curve = ss.predict(problem, "signsgd", lr=found, horizon=HORIZON)
runs = ss.simulate(problem, "signsgd", lr=found, horizon=HORIZON, num_runs=NUM_RUNS, seed=0)
print(f"predicted {curve.final:.5f}, simulated {runs.final:.5f} +- {float(runs.stderr[-1]):.5f}")
print(f"lower than the best constant rate by a factor of {constant.curve.final / curve.final:.2f}")
