"""What do heavy-tailed labels do to an optimizer?

Student's t noise with fewer and fewer degrees of freedom: below 2 the variance is infinite, SGD has no risk curve
any more, and signSGD goes on as before.
"""

# %%
import signscope as ss
from signscope.problems import gaussian_problem

DIM = 200
HORIZON = 10
NUM_RUNS = 32

# %% The same rows and target under four laws of the label noise
for degrees in (10, 3, 2, 1):
    problem = gaussian_problem(DIM, spectrum="log:0.1,1", rotated=True, noise=f"student-t:{degrees}", seed=0)
    for optimizer in ("sgd", "signsgd"):
        best = ss.best_lr(problem, optimizer, horizon=HORIZON)
        shown = f"lr {best.lr:.3g}, risk at the end {best.curve.final:.3g}" if not best.curve.failed else ""
        print(f"t({degrees}) {optimizer:8} {best.curve.status:10} {shown}")

# %% Cauchy noise in detail: prediction against the algorithm
problem = gaussian_problem(DIM, spectrum="log:0.1,1", rotated=True, noise="cauchy:2,1", start=[0.3] * DIM)
print(ss.predict(problem, "sgd", lr=0.1, horizon=HORIZON).message)
curves = []
for optimizer in ("signsgd", "adam"):
    common = {"lr": 0.5, "horizon": HORIZON, "betas": (0.0, 0.9)}
    curve = ss.predict(problem, optimizer, **common)
    runs = ss.simulate(problem, optimizer, num_runs=NUM_RUNS, seed=0, **common)
    print(f"{optimizer}: mean gap {100 * ss.gap(curve, runs).mean:.2f}%")
    curves += [curve, runs]

# %% Why: the slope of the mean sign needs no variance, only the density of the noise near zero
law = ss.as_noise("cauchy:2,1")
print("E eps^2 =", law.second_moment, " density at 0 =", law.density_at_zero)

# %% The picture
ss.plots.plot_risk(curves).figure.savefig("heavy_tails.png", dpi=120)
