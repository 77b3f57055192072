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
    """Two 3 x 3 convolutions with a short cut, the residual block of the CIFAR forms of ResNet.

    Args:
        channels: Of the input.
        out: Channels of the output.
        stride: Of the first convolution and of the short cut.
        project: Where the shape changes, the short cut is a normalised 1 x 1 convolution; otherwise it skips pixels
            and pads with zero channels, without parameters.
    """

    def __init__(self, channels: int, out: int, *, stride: int, project: bool) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(channels, out, 3, stride, 1, bias=False), _norm(out)
        self.second, self.last_norm = nn.Conv2d(out, out, 3, 1, 1, bias=False), _norm(out)
        self.stride, self.extra = stride, out - channels
        project = project and (stride > 1 or out > channels)
        self.short = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), _norm(out)) if project else None

    def forward(self, x: Tensor) -> Tensor:
        """Images (rows, out, height / stride, width / stride)."""
        y = self.last_norm(self.second(torch.relu(self.norm(self.first(x)))))
        if self.short is not None:
            return torch.relu(y + self.short(x))
        skipped = x[:, :, :: self.stride, :: self.stride]
        return torch.relu(y + nn.functional.pad(skipped, (0, 0, 0, 0, 0, self.extra)))


def build(model: str | None, data: Dataset, *, seed: int) -> nn.Module:
    """A freshly initialised network; the global random state is left alone.

    Args:
        model: "cnn", "resnet20", "resnet18", "mlp" or "characters"; None takes the one for the kind of data.
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
    """ResNet-20 in its CIFAR form: 269,722 weights on CIFAR-10."""
    return _resnet(data, widths=(16, 32, 64), blocks=3, project=False)


def resnet18(data: Dataset) -> nn.Module:
    """ResNet-18 in its CIFAR form (a 3 x 3 stem, no first pooling): 11,173,962 weights on CIFAR-10."""
    return _resnet(data, widths=(64, 128, 256, 512), blocks=2, project=True)


def _resnet(data: Dataset, *, widths: tuple[int, ...], blocks: int, project: bool) -> nn.Module:
    """Stages of residual blocks with group norm: batch norm would couple the components of the finite sum."""
    channels = widths[0]
    stem = nn.Conv2d(data.train_x.shape[1], channels, 3, padding=1, bias=False)
    layers: list[nn.Module] = [stem, _norm(channels), nn.ReLU()]
    for out in widths:
        for index in range(blocks):
            stride = 2 if index == 0 and out > widths[0] else 1
            layers.append(Block(channels, out, stride=stride, project=project))
            channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, data.num_classes))


def mlp(data: Dataset) -> nn.Module:
    """One hidden layer of 32."""
    return nn.Sequential(nn.Linear(data.train_x.shape[1], 32), nn.ReLU(), nn.Linear(32, data.num_classes))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)


NETWORKS: dict[str, tuple[str | None, Callable[[Dataset], nn.Module]]] = {
    "cnn": ("images", small_cnn),
    "resnet20": ("images", resnet20),
    "resnet18": ("images", resnet18),
    "mlp": ("features", mlp),
    "characters": ("characters", lambda data: CharacterModel(data.num_classes)),
}
