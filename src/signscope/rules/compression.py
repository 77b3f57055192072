"""Messages of one bit per coordinate: random signs whose mean is the value, and the estimates built from them."""

from torch import Tensor

from signscope._core.equations import equation


@equation("jiang2024", "stochastic sign S_R")
def stochastic_sign(values: Tensor, radius: Tensor | float, uniforms: Tensor) -> Tensor:
    r"""Which random signs are +1, given uniform numbers.

    $$ P(q_i = +1) = \tfrac12 (1 + v_i / R), \qquad E\,R q_i = v_i \quad \text{for } |v_i| \le R $$

    Args:
        values: v, any shape; beyond the radius the sign is certain.
        radius: R, 0 or more, broadcast against ``values``. Where both are 0 the sign is -1, to be scaled by 0.
        uniforms: Independent uniform numbers in [0, 1), shape of ``values``.

    Returns:
        Booleans in the shape of ``values``, true for +1.
    """
    return uniforms * (2 * radius) - radius < values


@equation("signscope", "block-scaled stochastic sign Q")
def block_stochastic_sign(values: Tensor, uniforms: Tensor, *, block_size: int) -> tuple[Tensor, Tensor]:
    r"""Unbiased compression to one bit per coordinate and one scale per block.

    $$ \rho_b = \max_{i \in b} |v_i|, \qquad Q(v)_i = \rho_b S_{\rho_b}(v_i), \qquad E\,Q(v) = v $$

    The certified variance factor is the block size: ``E |Q(v) - v|^2 <= (block_size - 1) |v|^2``.

    Args:
        values: v, a flat tensor whose length is a multiple of ``block_size``.
        uniforms: Uniform numbers in [0, 1), shape of ``values``.
        block_size: Coordinates that share a scale.

    Returns:
        Booleans (true for +1) in the shape of ``values``, and one scale per block in the unit of ``values``.
    """
    rows = values.view(-1, block_size)
    scales = rows.abs().amax(1)
    return stochastic_sign(rows, scales[:, None], uniforms.view_as(rows)).view(-1), scales


@equation("dvr", "DVR-Sign and DVR-Q, message h")
def dvr_message(grad: Tensor, grad_prev: Tensor, *, beta: float) -> Tensor:
    r"""What a worker of DVR compresses.

    $$ h_t = g(x_t; \xi_t) - (1 - \beta) g(x_{t-1}; \xi_t) $$

    With ``beta = 0`` it is the plain difference of the finite-sum versions.

    Args:
        grad: Gradient of the current sample at the current point, any shape.
        grad_prev: Gradient of the same sample at the previous point.
        beta: Weight of the new sample, in [0, 1].

    Returns:
        h in the shape and unit of ``grad``.
    """
    return grad - (1 - beta) * grad_prev


@equation("dvr", "DVR-Sign and DVR-Q, estimate z")
def dvr_estimate(message: Tensor, estimate: Tensor, *, beta: float) -> Tensor:
    r"""New gradient estimate of the server of DVR.

    $$ z_t = (1 - \beta) z_{t-1} + \tfrac1n \sum_j Q(h_t^j) $$

    With one worker and Q the identity it is `ssvr`.

    Args:
        message: Mean of the compressed messages.
        estimate: Previous estimate z.
        beta: Weight of the new sample, in [0, 1].

    Returns:
        The new z, in the shape and unit of ``message``.
    """
    return (1 - beta) * estimate + message


@equation("karimireddy2019", "scaled sign with error feedback")
def block_mean_sign(wanted: Tensor, positive: Tensor, counts: Tensor, *, block_size: int) -> tuple[Tensor, Tensor]:
    r"""Scale of every block and what the scaled signs leave undone.

    $$ \rho_b = \operatorname{mean}_{i \in b} |p_i|, \qquad e = p - \rho_b s $$

    Args:
        wanted: p, a flat tensor whose length is a multiple of ``block_size``; zeros where a block is padded.
        positive: Booleans, true where the sign s that is sent is +1.
        counts: Coordinates of every block that are no padding, at least 1.
        block_size: Coordinates that share a scale.

    Returns:
        One scale per block, and e in the shape of ``wanted`` (to be ignored in the padding).
    """
    rows = wanted.view(-1, block_size)
    scales = rows.abs().sum(1) / counts
    sent = positive.view_as(rows).to(rows.dtype).mul_(2).sub_(1).mul_(scales[:, None])
    return scales, (rows - sent).view(-1)
