"""The networks of the training experiments; none has a layer that couples the rows of a batch."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from signscope._core.errors import InvalidInput
from signscope.reproduce.datasets import CONTEXT, Dataset
from signscope.reproduce.transformers import NextToken, PatchTransformer, TinyTransformer

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
        model: A key of `NETWORKS`; None takes the one for the kind of data.
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


def small_resnet(data: Dataset) -> nn.Module:
    """A strided stem and two residual blocks of 8 and 16 channels: 4,962 weights on digits."""
    stem = nn.Conv2d(data.train_x.shape[1], 8, 3, 2, 1, bias=False)
    blocks = (Block(8, 8, stride=1, project=False), Block(8, 16, stride=2, project=False))
    return nn.Sequential(
        stem,
        nn.GroupNorm(2, 8),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, data.num_classes),
    )


def image_mlp(data: Dataset) -> nn.Module:
    """Pixels, one hidden layer of 32 with GELU: 2,410 weights on digits."""
    pixels = data.train_x[0].numel()
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 32), nn.GELU(), nn.Linear(32, data.num_classes))


def patch_transformer(data: Dataset) -> nn.Module:
    """One block on 16 patches of width 16: 3,818 weights on digits."""
    channels, height, width = data.train_x.shape[1:]
    return PatchTransformer((channels, height, width), data.num_classes)


def character_transformer(data: Dataset) -> nn.Module:
    """Two causal blocks of width 32 on the last characters."""
    return NextToken(TinyTransformer(data.num_classes, context=CONTEXT))


def transformer_160m(data: Dataset) -> nn.Module:
    """A decoder of 12 blocks of width 768, 50,304 tokens, context 2,048: 163,895,808 weights for any text."""
    return NextToken(TinyTransformer(max(50_304, data.num_classes), dim=768, depth=12, heads=12, context=2_048))


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
    "small_resnet": ("images", small_resnet),
    "image_mlp": ("images", image_mlp),
    "patch_transformer": ("images", patch_transformer),
    "transformer": ("characters", character_transformer),
    "transformer_160m": ("characters", transformer_160m),
    "characters": ("characters", lambda data: CharacterModel(data.num_classes)),
}
