"""Stationary covariance of a linear recursion that moves little per step, without losing the little it moves."""

import torch
from torch import Tensor

from signscope._core.equations import equation


@equation("signscope", "stationary covariance of z' = z + G z + noise")
def stationary_of(change: Tensor, source: Tensor) -> Tensor:
    r"""The X that solves $GX + XG' + GXG' + Q = 0$: the covariance of $z' = (1 + G)z + \xi$, $\xi \sim (0, Q)$.

    By $B = (2 + G)^{-1}G$, $BX + XB' = -2(2 + G)^{-1}Q(2 + G')^{-1}$.

    Args:
        change: G, (n, n), 1 + G stable. The change itself, not 1 + G: where a step moves a millionth, 1 + G has lost
            ten of its sixteen digits of G.
        source: Q, (n, n), symmetric.

    Returns:
        X, (n, n), symmetric. Not a covariance where 1 + G is not stable.

    Notes:
        O(n^3). Coordinates of very different size are brought to one first.
    """
    from scipy.linalg import matrix_balance, solve_continuous_lyapunov

    g, q = change.numpy(), source.numpy()
    g, (scale, _) = matrix_balance(g, permute=False, separate=True)
    half = 2 * torch.eye(len(g), dtype=torch.float64) + torch.from_numpy(g)
    kick = torch.linalg.solve(half, torch.from_numpy(q / scale[:, None] / scale))
    kick = torch.linalg.solve(half, kick.T)
    found = solve_continuous_lyapunov(torch.linalg.solve(half, torch.from_numpy(g)).numpy(), -2 * kick.numpy())
    spread = torch.from_numpy(scale[:, None] * found * scale)
    return (spread + spread.T) / 2
