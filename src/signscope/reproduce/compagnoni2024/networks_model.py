"""A network on some rows as a loss of one flat vector, with the noise of its gradient measured anywhere."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from signscope.measure.layers import layers_of
from signscope.measure.samples import sample_gradients
from signscope.problems.oracle import Loss
from signscope.problems.oracle_noise import GaussianNoise

WHO = "compagnoni2024-networks"
QUANTILE = 0.9


class FlatNetwork(Loss):
    """Mean cross entropy of a network over its rows, as a function of all weights in one vector.

    The parameters become views of that vector, so that torch optimizers of the parameters move it too.

    Args:
        net: The network; it is changed.
        x: Rows.
        y: Their classes.
    """

    def __init__(self, net: nn.Module, x: Tensor, y: Tensor) -> None:
        self.net, self.x, self.y = net, x, y
        self.params = list(net.parameters())
        self.weights = torch.cat([p.detach().reshape(-1) for p in self.params])
        self.dim = len(self.weights)
        self._sizes = [p.numel() for p in self.params]
        for param, part in zip(self.params, self.weights.split(self._sizes), strict=True):
            param.data = part.view(param.shape)
        self._layers = layers_of(WHO, net, num_tracked=1, seed=0)

    def batch_gradients(self, rows: Tensor) -> list[Tensor]:
        """Gradients of the mean loss over some rows at the present weights, by parameter."""
        loss = nn.functional.cross_entropy(self.net(self.x[rows]), self.y[rows])
        return list(torch.autograd.grad(loss, self.params))

    def value(self, points: Tensor) -> Tensor:
        """Loss at ``points`` (n, dim), shape (n,)."""
        return torch.stack([self.measured(point)[0] for point in points])

    def measured(self, point: Tensor) -> tuple[Tensor, float]:
        """Loss and accuracy over all rows at ``point`` (dim,)."""
        self._load(point)
        with torch.no_grad():
            scores = self.net(self.x)
            loss = nn.functional.cross_entropy(scores, self.y)
        return loss, float((scores.argmax(-1) == self.y).double().mean())

    def grad(self, points: Tensor) -> Tensor:
        """Gradient over all rows at ``points`` (n, dim), the same shape."""
        found = []
        for point in points:
            self._load(point)
            loss = nn.functional.cross_entropy(self.net(self.x), self.y)
            found.append(flat(torch.autograd.grad(loss, self.params)))
        return torch.stack(found)

    def mixed(self, point: Tensor, weights: Tensor) -> Tensor:
        """Sum of the rows' gradients at ``point`` times ``weights`` (rows,), shape (dim,)."""
        self._load(point)
        each = nn.functional.cross_entropy(self.net(self.x), self.y, reduction="none")
        return flat(torch.autograd.grad(torch.dot(each, weights), self.params))

    def noise_std(self, point: Tensor) -> tuple[Tensor, Tensor]:
        r"""Gradient, and the standard deviation of the gradient of one row drawn at random, both (dim,).

        $$ \Sigma_{1,ii} = \frac1N \sum_n (\partial_i f_n - \partial_i f)^2 $$

        over all rows, exactly: the covariance of a batch of B drawn with replacement is $\Sigma_1/B$.
        """
        grad = self.grad(point[None])[0]
        total, parts = torch.zeros_like(grad), grad.split(self._sizes)
        for _, grads in sample_gradients(WHO, _cross_entropy, self.net, (self.x, self.y), self._layers, chunk=None):
            away = [(g.flatten(1) - mean).square_().sum(0) for g, mean in zip(grads, parts, strict=True)]
            total += torch.cat(away)
        return grad, total.div_(len(self.x)).sqrt_()

    def signal_to_noise(self, point: Tensor, batch_size: int, *, extra_noise: float = 0.0) -> float:
        """|z| = |gradient| over the noise std of a batch, exceeded by one coordinate in ten that has noise.

        ``extra_noise`` is the standard deviation of noise that is added to the batch gradient.
        """
        grad, std = self.noise_std(point)
        whole = (std.square() / batch_size + extra_noise**2).sqrt()
        ratio = (grad.abs() / whole)[whole > 0]
        return float(ratio.kthvalue(max(1, round(QUANTILE * len(ratio)))).values) if len(ratio) else math.nan

    def _load(self, point: Tensor) -> None:
        if point.data_ptr() != self.weights.data_ptr():
            self.weights.copy_(point)


class RowNoise(GaussianNoise):
    r"""Gaussian noise with the covariance of the rows' gradients, not only its diagonal.

    $$ Z = (NB)^{-1/2} \sum_n (\xi_n - \bar\xi) \nabla f_n $$

    with standard normals xi has the covariance of a batch of B rows drawn with replacement; it costs one gradient and
    no matrix. The variances are those of the last measurement.

    Args:
        network: Where the draws are taken: at the points they are asked for.
        std: Standard deviations of the gradient of one row, (dim,).
        batch_size: B.
    """

    def __init__(self, network: FlatNetwork, std: Tensor, *, batch_size: int) -> None:
        super().__init__(network.dim, std=std, batch_size=batch_size)
        self.is_diagonal, self.network = False, network

    def variance(self, points: Tensor, time: float) -> Tensor:
        """As measured last."""
        return self.std(points, time).square()

    def coloured(self, normals: Tensor, points: Tensor, time: float) -> Tensor:
        """Z at ``points`` (1, dim) from the first N of the ``normals`` (1, at least N)."""
        weights = normals[0, : len(self.network.x)]
        return self.network.mixed(points[0], (weights - weights.mean()) / (len(weights) * self.batch_size) ** 0.5)[None]

    def coloured_squares(self, normals: Tensor, points: Tensor, time: float) -> Tensor:
        """Fluctuations of Z^2, coordinate by coordinate."""
        return math.sqrt(2) * self.variance(points, time) * normals


def flat(parts: Any) -> Tensor:
    """Tensors as one vector."""
    return torch.cat([part.reshape(-1) for part in parts])


def _cross_entropy(net: nn.Module, batch: Any) -> Tensor:
    return nn.functional.cross_entropy(net(batch[0]), batch[1])
