"""Would a sign method help on this network, and does the answer change while it trains?

Noise and smoothness are measured on the network's own batches; put your model, loss and loader into the first cell.
"""

# %%
import torch
from sklearn.datasets import load_digits
from torch import nn

from signscope.comparison.advice import advise
from signscope.measure import Probe, gradient_noise, smoothness

HORIZON = 300  # training steps
EVERY = 50  # steps between two samples of the noise

data = load_digits()
x, y = torch.tensor(data.data, dtype=torch.float32) / 16, torch.tensor(data.target)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=32, shuffle=True, drop_last=True)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
loss = nn.CrossEntropyLoss()  # or any function of model and batch: loss_fn(model, batch)

# %% Noise at the start: density by layer, phases of signSGD, tails
report = gradient_noise(model, loss, loader, num_batches=48)
print(report)

# %% Smoothness in the geometry of signs (l-infinity) and of SGD (l2), and the verdict
curved = smoothness(model, loss, loader, num_batches=4, num_restarts=2, num_probes=16)
print(curved)
print(advise(report, curved))

# %% The same along a run, which is left as it is to the last bit
probe = Probe(model, loss, loader, every=EVERY, num_batches=32, mode="eval")
optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
step = 0
while step < HORIZON:
    for batch, target in loader:
        step += 1
        optimizer.zero_grad()
        loss(model(batch), target).backward()
        optimizer.step()
        probe(step)
        if step == HORIZON:
            break
if probe.records:
    print(probe.to_frame()[["step", "loss", "density", "noise_scale", "phase1", "phase3", "path_smoothness"]])

# %% At the end: the gradient is smaller against its noise, so more coordinates are in phase 3
after = gradient_noise(model, loss, loader, num_batches=48)
print(f"density {report.density:.3f} -> {after.density:.3f}")
print(f"coordinates in phase 3: {report.phases.three:.0%} -> {after.phases.three:.0%}")
print(advise(after))
