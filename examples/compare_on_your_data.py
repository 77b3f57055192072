"""Which of SGD, signSGD and Adam should I use on my data, and at which rate?

Run it as it is, or cell by cell; put your own X and y into the first cell.
"""

# %%
import numpy as np
from sklearn.datasets import load_breast_cancer

import signscope as ss

HORIZON = 20  # length of the runs, in units of (number of columns) steps
NUM_RUNS = 64

data = load_breast_cancer()
X, y = data.data, np.where(data.target == 1, "benign", "malignant")  # numbers, booleans or two words

# %% The problem: columns centred and standardised, the noise is the sample of residuals
problem = ss.LeastSquares.from_data(X, y, scale="columns")
print(problem.report)

# %% Best rates, predictions, 64 runs of each algorithm on Gaussian rows and on the data's own rows
result = ss.compare(problem, horizon=HORIZON, num_runs=NUM_RUNS, seed=0)
columns = ["optimizer", "rows", "lr", "step_size", "final_predicted", "final_simulated", "gap_mean", "status"]
print(result.table[columns].to_string(index=False))

# %% The verdict, and which assumptions of the Gaussian theory your data break
print(result.verdict.text)
for assumption in result.assumptions:
    if not assumption.ok:
        print(f"- {assumption.name}: {assumption.text}")

# %% risk.png, curves.csv and summary.json
result.save("results/breast_cancer", force=True)
