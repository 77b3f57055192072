"""The networks of the training experiments; none has a layer that couples the rows of a batch."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from signscope._core.errors import InvalidInput
from signscope.reproduce.datasets import CONTEXT, Dataset

DEFAULTS = {"images": "cnn", "features": "mlp", "characters": "characters"}


class CharacterModel(nn.Module):
    """Embedding of each of the last characters, one hidden layer, scores of the next character."""

    def __init__(self, alphabet: int, *, width: int = 12, hidden: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(alphabet, width)
        self.body = nn.Sequential(nn.Linear(CONTEXT * width, hidden), nn.ReLU(), nn.Linear(hidden, alphabet))

    def forward(self, codes: Tensor) -> Tensor:
        """Scores (rows, alphabet) from character indices (rows, context)."""
        return self.body(self.embedding(codes).flatten(1))


class Block(nn.Module):
    """Two 3 x 3 convolutions with a parameter-free short cut, as in the CIFAR form of ResNet."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(channels, out, 3, stride, 1, bias=False), _norm(out)
        self.second, self.last_norm = nn.Conv2d(out, out, 3, 1, 1, bias=False), _norm(out)
        self.stride, self.extra = stride, out - channels

    def forward(self, x: Tensor) -> Tensor:
        """Images (rows, out, height / stride, width / stride)."""
        y = self.last_norm(self.second(torch.relu(self.norm(self.first(x)))))
        short = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))
        return torch.relu(y + short)


def build(model: str | None, data: Dataset, *, seed: int) -> nn.Module:
    """A freshly initialised network; the global random state is left alone.

    Args:
        model: "cnn", "resnet20", "mlp" or "characters"; None takes the one for the kind of data.
        data: Its shapes set input and output.
        seed: Of the initialisation.

    Raises:
        InvalidInput: The network does not fit the data.
    """
    name = model or DEFAULTS[data.kind]
    kind = NETWORKS.get(name, (None, None))[0]
    if kind != data.kind:
        fitting = [key for key, (wanted, _) in NETWORKS.items() if wanted == data.kind]
        raise InvalidInput(f"model: {name!r} does not fit {data.name} ({data.kind}); use {' or '.join(fitting)}.")
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(seed)
        return NETWORKS[name][1](data)


def small_cnn(data: Dataset) -> nn.Module:
    """Two convolutions, 8 and 16 channels, with pooling, and a linear layer: 1,898 weights on digits."""
    channels, height, width = data.train_x.shape[1:]
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * (height // 4) * (width // 4), data.num_classes),
    )


def resnet20(data: Dataset) -> nn.Module:
    """ResNet-20 in its CIFAR form with group norm: batch norm would couple the components of the finite sum."""
    layers: list[nn.Module] = [nn.Conv2d(data.train_x.shape[1], 16, 3, padding=1, bias=False), _norm(16), nn.ReLU()]
    channels = 16
    for out in (16, 32, 64):
        for index in range(3):
            layers.append(Block(channels, out, stride=2 if index == 0 and out > 16 else 1))
            channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, data.num_classes))


def mlp(data: Dataset) -> nn.Module:
    """One hidden layer of 32."""
    return nn.Sequential(nn.Linear(data.train_x.shape[1], 32), nn.ReLU(), nn.Linear(32, data.num_classes))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)


NETWORKS: dict[str, tuple[str | None, Callable[[Dataset], nn.Module]]] = {
    "cnn": ("images", small_cnn),
    "resnet20": ("images", resnet20),
    "mlp": ("features", mlp),
    "characters": ("characters", lambda data: CharacterModel(data.num_classes)),
}
