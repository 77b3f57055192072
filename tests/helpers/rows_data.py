"""Data sets and plain loops for the tests of the flow on rows; nothing here comes from the package."""

from types import SimpleNamespace

import numpy as np
import torch


def as_rows(features, targets):
    """Features, residuals of the least-squares fit, and the displacement of a start at 0."""
    x, y = np.asarray(features, dtype=float), np.asarray(targets, dtype=float)
    target = np.linalg.lstsq(x, y, rcond=None)[0]
    tensors = [torch.as_tensor(a) for a in (x, y - x @ target, -target)]
    return SimpleNamespace(features=tensors[0], residuals=tensors[1], displacement=tensors[2])


def digits(scale):
    """scikit-learn's digits, odd against even, constant pixels dropped; "columns" or "global" scaling."""
    from sklearn.datasets import load_digits

    table = load_digits()
    x, y = table.data, np.where(table.target % 2 == 1, 1.0, -1.0)
    x = x[:, x.std(0) > 0]
    x = x - x.mean(0)
    return as_rows(x / x.std(0) if scale == "columns" else x / np.sqrt((x**2).mean()), y - y.mean())


def standardised(table):
    x = table.data - table.data.mean(0)
    return as_rows(x / x.std(0), table.target - table.target.mean())


def skewed(num_rows=60, dim=5, seed=0):
    """A small set with skewed, dependent features and noise that depends on x."""
    rng = np.random.default_rng(seed)
    x = rng.exponential(size=(num_rows, dim)) @ rng.normal(size=(dim, dim)) / dim**0.5
    x -= x.mean(0)
    return as_rows(x, x @ rng.normal(size=dim) + np.abs(x[:, 0]) * rng.normal(size=num_rows))


def simulated(rows, optimizer, *, lr, times, num_runs, seed=0, betas=(0.9, 0.999)):
    """Mean excess risk and its standard error at ``times`` of runs that draw rows with replacement."""
    x, eps = rows.features.numpy(), rows.residuals.numpy()
    dim, cov = x.shape[1], x.T @ x / len(x)
    rng = np.random.default_rng(seed)
    record = {int(t * dim + 0.5): i for i, t in enumerate(times.tolist())}
    v = np.tile(rows.displacement.numpy(), (num_runs, 1))
    first, second = np.zeros_like(v), np.zeros_like(v)
    risk = np.zeros((num_runs, len(times)))
    for k in range(max(record) + 1):
        if k in record:
            risk[:, record[k]] = 0.5 * np.einsum("ri,ri->r", v @ cov, v)
        drawn = rng.integers(len(x), size=num_runs)
        grad = (np.einsum("ri,ri->r", x[drawn], v) - eps[drawn])[:, None] * x[drawn]
        if optimizer == "signsgd":
            grad = np.sign(grad)
        elif optimizer == "adam":
            first = betas[0] * first + (1 - betas[0]) * grad
            second = betas[1] * second + (1 - betas[1]) * grad**2
            hat = second / (1 - betas[1] ** (k + 1))
            grad = first / (1 - betas[0] ** (k + 1)) / (np.sqrt(hat) + 1e-8)
        v -= lr / dim * grad
    return torch.as_tensor(risk.mean(0)), torch.as_tensor(risk.std(0, ddof=1) / num_runs**0.5)


def scatter(rows, optimizer, *, lr, steps, num_runs, seed=0):
    """1/2 tr(K Cov v) over runs after ``steps`` updates of sgd or signsgd."""
    x, eps = rows.features.numpy(), rows.residuals.numpy()
    rng = np.random.default_rng(seed)
    v = np.tile(rows.displacement.numpy(), (num_runs, 1))
    for _ in range(steps):
        drawn = rng.integers(len(x), size=num_runs)
        grad = (np.einsum("ri,ri->r", x[drawn], v) - eps[drawn])[:, None] * x[drawn]
        v -= lr / x.shape[1] * (np.sign(grad) if optimizer == "signsgd" else grad)
    return 0.5 * float(np.sum(x.T @ x / len(x) * np.cov(v.T)))


def exact_sgd(rows, *, lr, steps):
    """Excess risk of SGD's second moments, stepped exactly: M <- E[(v - g grad)(v - g grad)'] over the rows."""
    x, eps, mean = rows.features.numpy(), rows.residuals.numpy(), rows.displacement.numpy().copy()
    cov, g, n = x.T @ x / len(x), lr / x.shape[1], len(x)
    second, risks = np.outer(mean, mean), []
    for _ in range(steps + 1):
        risks.append(0.5 * np.sum(cov * second))
        square = np.einsum("ni,ij,nj->n", x, second, x) - 2 * eps * (x @ mean) + eps**2
        cross = cov @ second - np.outer(x.T @ eps / n, mean)
        second = second - g * (cross + cross.T) + g**2 * (x.T * square) @ x / n
        mean = mean - g * (cov @ mean - x.T @ eps / n)
    return torch.as_tensor(np.array(risks))


def long_run_means(rows, *, lr, steps, skip, num_runs, seed=0):
    """Displacement of every signSGD run averaged over the steps after ``skip``, from the target; (num_runs, d)."""
    x, eps = rows.features.numpy(), rows.residuals.numpy()
    rng = np.random.default_rng(seed)
    v, total, signs = np.zeros((num_runs, x.shape[1])), np.zeros((num_runs, x.shape[1])), np.sign(x)
    for step in range(steps):
        drawn = rng.integers(len(x), size=num_runs)
        residual = np.einsum("ri,ri->r", x[drawn], v) - eps[drawn]
        v -= lr / x.shape[1] * np.sign(residual)[:, None] * signs[drawn]
        if step >= skip:
            total += v
    return total / (steps - skip)
