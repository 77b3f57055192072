"""Literal loops typed from the algorithm boxes, one tensor at a time, for comparison with `signscope.optim`.

One-gradient loops take the gradients that come; a gradient of None is a step in which the tensor had none.
Two-gradient loops take ``gradient(x, sample)``. All return the path x_0, x_1, ... as a list.
"""

import torch


def sgn(x):
    return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


def signsgd_loop(x, grads, *, lr, weight_decay=0.0, maximize=False):
    path = [x.clone()]
    for g in grads:
        if g is not None:
            s = sgn(g)
            x = (1 - lr * weight_decay) * x - (-1 if maximize else 1) * lr * s
        path.append(x.clone())
    return path


def signum_loop(x, grads, *, lr, momentum, start="gradient", weight_decay=0.0, maximize=False):
    path, v = [x.clone()], None
    for g in grads:
        if g is None and v is not None:
            g = torch.zeros_like(x)
        if g is not None:
            if v is None:
                v = g.clone() if start == "gradient" else (1 - momentum) * g
            else:
                v = momentum * v + (1 - momentum) * g
            x = (1 - lr * weight_decay) * x - (-1 if maximize else 1) * lr * sgn(v)
        path.append(x.clone())
    return path


def lion_loop(x, grads, *, lr, betas, weight_decay=0.0, maximize=False):
    path, m = [x.clone()], None
    for g in grads:
        if g is None and m is not None:
            g = torch.zeros_like(x)
        if g is not None:
            m = torch.zeros_like(x) if m is None else m
            c = betas[0] * m + (1 - betas[0]) * g
            x = (1 - lr * weight_decay) * x - (-1 if maximize else 1) * lr * sgn(c)
            m = betas[1] * m + (1 - betas[1]) * g
        path.append(x.clone())
    return path


def ef_signsgd_loop(x, grads, *, lr, weight_decay=0.0, maximize=False):
    path, e = [x.clone()], None
    for g in grads:
        if g is None and e is not None:
            g = torch.zeros_like(x)
        if g is not None:
            e = torch.zeros_like(x) if e is None else e
            p = lr * g + e
            D = p.abs().sum() / p.numel() * sgn(p)
            x = (1 - lr * weight_decay) * x - (-1 if maximize else 1) * D
            e = p - D
        path.append(x.clone())
    return path


def muon_loop(x, grads, *, lr, momentum=0.0, nesterov=False, weight_decay=0.0, maximize=False, factor=1.0):
    path, B = [x.clone()], None
    for g in grads:
        if g is None and B is not None:
            g = torch.zeros_like(x)
        if g is not None:
            B = momentum * (torch.zeros_like(x) if B is None else B) + (1 - momentum) * g
            M = momentum * B + (1 - momentum) * g if nesterov else B
            x = (1 - lr * weight_decay) * x - (-1 if maximize else 1) * lr * factor * msign(M)
        path.append(x.clone())
    return path


def msign(M):
    """U V' from the eigenvectors of M'M: another route than the singular value decomposition."""
    values, V = torch.linalg.eigh(M.T @ M)
    inverse_root = torch.where(values > 1e-14 * values.max(), values.clamp(min=1e-300).rsqrt(), 0.0)
    return M @ (V * inverse_root) @ V.T


def ssvr_loop(x, samples, gradient, *, lr, beta, init_batches=1, weight_decay=0.0, maximize=False):
    path, v, x_prev = [x.clone()], None, None
    for t, sample in enumerate(samples):
        if t < init_batches:
            v = gradient(x, sample) / init_batches + (0 if v is None else v)
            if t < init_batches - 1:
                path.append(x.clone())
                continue
        else:
            v = gradient(x, sample) + (1 - beta) * (v - gradient(x_prev, sample))
        x_prev = x.clone()
        x = (1 - lr * weight_decay) * x - (-1 if maximize else 1) * lr * sgn(v)
        path.append(x.clone())
    return path


def ssvr_fs_loop(
    x, indices, gradient, m, *, lr, beta, period, reset_at_checkpoint=False, weight_decay=0.0, maximize=False
):
    path, v, x_prev, x_tau, h = [x.clone()], None, None, None, None
    for t, i in enumerate(indices):
        if t % period == 0:
            x_tau = x.clone()
            h = sum(gradient(x, j) for j in range(m)) / m
        if t == 0 or (t % period == 0 and reset_at_checkpoint):
            v = h.clone()
        else:
            v = (
                (1 - beta) * v
                + beta * (gradient(x, i) - gradient(x_tau, i) + h)
                + (1 - beta) * (gradient(x, i) - gradient(x_prev, i))
            )
        x_prev = x.clone()
        x = (1 - lr * weight_decay) * x - (-1 if maximize else 1) * lr * sgn(v)
        path.append(x.clone())
    return path


def spider_sign_loop(x, indices, gradient, m, *, lr, period, weight_decay=0.0, maximize=False):
    path, v, x_prev = [x.clone()], None, None
    for t, i in enumerate(indices):
        if t % period == 0:
            v = sum(gradient(x, j) for j in range(m)) / m
        else:
            v = v + gradient(x, i) - gradient(x_prev, i)
        x_prev = x.clone()
        x = (1 - lr * weight_decay) * x - (-1 if maximize else 1) * lr * sgn(v)
        path.append(x.clone())
    return path


def signsvrg_loop(x, indices, gradient, m, *, lr, period, weight_decay=0.0, maximize=False):
    path, x_tau, h = [x.clone()], None, None
    for t, i in enumerate(indices):
        if t % period == 0:
            x_tau = x.clone()
            h = sum(gradient(x, j) for j in range(m)) / m
            v = h
        else:
            v = gradient(x, i) - gradient(x_tau, i) + h
        x = (1 - lr * weight_decay) * x - (-1 if maximize else 1) * lr * sgn(v)
        path.append(x.clone())
    return path
