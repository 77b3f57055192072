"""Which learning rate, at every moment, leaves the lowest risk at the end of my budget?

The optimal schedule for a horizon next to the usual shapes, in theory and in real runs; then the same schedule in a
PyTorch training loop, and a batch size that changes on the way.
"""

# %%
import numpy as np
import torch

import signscope as ss
from signscope.limits.optimal import optimal_schedule
from signscope.limits.optimal_plan import predict_plan
from signscope.limits.optimal_shapes import compare_schedules
from signscope.problems import gaussian_problem

DIM = 100
HORIZON = 10.0
NUM_RUNS = 64

problem = gaussian_problem(DIM, spectrum="log:0.001,1", noise="laplace:0.3")

# %% The best of every shape
designs = compare_schedules(problem, "signsgd", horizon=HORIZON)
for name, design in designs.items():
    print(f"{name:>9}: predicted risk {design.risk:.5f}, {design.evaluations} short solves")

# %% Real runs of the best constant rate and of the optimal schedule
for name in ("constant", "optimal"):
    runs = ss.simulate(problem, "signsgd", lr=designs[name].schedule, horizon=HORIZON, num_runs=NUM_RUNS, seed=0)
    print(f"{name:>9}: simulated {runs.final:.5f} +- {float(runs.stderr[-1]):.5f}")

# %% The same schedule in a training loop: any torch optimizer, one call of step() per update
theta = torch.nn.Parameter(problem.start.clone())
optimizer = ss.optim.SignSGD([theta], lr=1.0)
scheduler = designs["optimal"].schedule.torch_scheduler(optimizer, dim=DIM)
rng = np.random.default_rng(0)
for noise in problem.noise.sample(int(HORIZON * DIM), rng):
    row = problem.cov.diagonal().sqrt() * torch.from_numpy(rng.standard_normal(DIM))
    optimizer.zero_grad()
    (0.5 * (row @ (theta - problem.target) - noise) ** 2).backward()
    optimizer.step()
    scheduler.step()
print(f"one training loop ends at {float(problem.excess_risk(theta.detach())):.5f}")

# %% Batch size and rate together, for the same number of samples
plan = optimal_schedule(problem, "signsgd", horizon=HORIZON, batch_sizes=[1, 2, 4, 8])
print("batch sizes:", plan.batch_sizes)
print(f"predicted with them: {predict_plan(problem, 'signsgd', plan=plan).final:.5f}")
