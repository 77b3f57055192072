"""Which constant learning rate is best, before a single step is made?

`best_lr` minimises the predicted risk at the horizon. A sweep of real runs around that rate shows whether it is right.
"""

# %%
import math

import signscope as ss
from signscope.problems import digits

HORIZON = 10
NUM_RUNS = 32

problem = ss.LeastSquares.from_data(*digits())

# %% The best rate of each optimizer, in the theory's unit and in torch.optim's
rates = {}
for optimizer in ("sgd", "signsgd", "adam"):
    best = ss.best_lr(problem, optimizer, horizon=HORIZON)
    rates[optimizer] = best.lr
    print(f"{optimizer:8} lr {best.lr:.3g}  torch lr {best.step_size:.2g}  predicted risk {best.curve.final:.4f}")

# %% Is it? Real runs on the data's own rows, at a third of it, at it, and at three times
for optimizer, rate in rates.items():
    for factor in (1 / 3, 1.0, 3.0):
        runs = ss.simulate(problem, optimizer, lr=factor * rate, horizon=HORIZON, num_runs=NUM_RUNS, rows="replace")
        print(f"{optimizer:8} {factor:5.2f} x best: {runs.final:.4f} +- {float(runs.stderr[-1]):.4f} {runs.status}")

# %% A longer run wants a smaller rate
for horizon in (HORIZON, 4 * HORIZON):
    print(f"signsgd, horizon {horizon}: lr {ss.best_lr(problem, 'signsgd', horizon=horizon).lr:.3g}")

# %% How far is the stability limit of SGD? On standardised columns it is 30 times closer
for scale in ("global", "columns"):
    scaled = ss.LeastSquares.from_data(*digits(), scale=scale)
    end = ss.limit(scaled, "sgd", lr=0.01)
    print(f"{scale:8} SGD is stable below lr {end.max_lr:.3g} (Gaussian rows: {2 * scaled.dim / scaled.cov.trace:.3g})")
    assert math.isfinite(end.max_lr)
