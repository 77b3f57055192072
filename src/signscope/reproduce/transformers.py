"""Small transformers: a causal one on tokens, one on patches of images."""

import torch
from torch import Tensor, nn

from signscope._core.errors import InvalidInput


class AttentionBlock(nn.Module):
    """Attention, then a layer of 4 x dim with GELU, each added to its normalised input (pre-norm).

    Attention is written out: the fused kernels have no rule for `torch.func.vmap` on every device.

    Args:
        dim: Width of a token.
        heads: Of the attention; divides ``dim``.
        is_causal: Tokens see themselves and those before them alone.
    """

    def __init__(self, dim: int, *, heads: int, is_causal: bool) -> None:
        super().__init__()
        self.heads, self.is_causal = heads, is_causal
        self.norm, self.mix, self.out = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.last_norm = nn.LayerNorm(dim)
        self.body = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (rows, tokens, dim) to the same shape."""
        rows, tokens, dim = x.shape
        query, key, value = (
            part.reshape(rows, tokens, self.heads, dim // self.heads).transpose(1, 2)
            for part in self.mix(self.norm(x)).chunk(3, dim=-1)
        )  # (rows, heads, tokens, dim / heads)
        seen = self.attend(query, key, value).transpose(1, 2).reshape(rows, tokens, dim)
        x = x + self.out(seen)
        return x + self.body(self.last_norm(x))

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """What every token sees, (rows, heads, tokens, dim / heads) of each."""
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        if self.is_causal:
            tokens = query.shape[-2]
            later = torch.ones(tokens, tokens, dtype=torch.bool, device=query.device).triu(1)
            scores = scores.masked_fill(later, -torch.inf)
        return scores.softmax(-1) @ value


class TinyTransformer(nn.Module):
    """A causal transformer (decoder): scores of the next token after every token.

    Args:
        vocab: Number of tokens.
        dim: Width of a token.
        depth: Blocks.
        heads: Of every attention; divides ``dim``.
        context: Longest sequence.

    Raises:
        InvalidInput: ``heads`` does not divide ``dim``.
    """

    def __init__(self, vocab: int, *, dim: int = 32, depth: int = 2, heads: int = 2, context: int = 32) -> None:
        super().__init__()
        if dim % heads:
            raise InvalidInput(f"TinyTransformer: `heads` must divide `dim` = {dim}, got {heads}.")
        self.context = context
        self.embedding, self.position = nn.Embedding(vocab, dim), nn.Parameter(torch.empty(context, dim))
        self.blocks = nn.Sequential(*(AttentionBlock(dim, heads=heads, is_causal=True) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, vocab, bias=False)
        for weight in (self.embedding.weight, self.position):
            nn.init.normal_(weight, std=dim**-0.5)

    def forward(self, codes: Tensor) -> Tensor:
        """Scores (rows, tokens, vocab) from tokens (rows, tokens), at most ``context`` of them."""
        x = self.embedding(codes) + self.position[: codes.shape[1]]
        return self.head(self.norm(self.blocks(x)))


class NextToken(nn.Module):
    """Scores of the one token that follows the sequence."""

    def __init__(self, body: TinyTransformer) -> None:
        super().__init__()
        self.body = body

    def forward(self, codes: Tensor) -> Tensor:
        """Scores (rows, vocab) from tokens (rows, tokens)."""
        return self.body(codes)[:, -1]


class PatchTransformer(nn.Module):
    """A transformer on 4 x 4 patches of an image, averaged over them.

    Args:
        shape: Channels, height and width of an image; the sides are multiples of 4.
        classes: Classes.
        dim: Width of a token.
        depth: Blocks.
        heads: Of every attention.
    """

    def __init__(
        self, shape: tuple[int, int, int], classes: int, *, dim: int = 16, depth: int = 1, heads: int = 2
    ) -> None:
        super().__init__()
        channels, height, width = shape
        self.side = (height // 4, width // 4)
        self.embedding = nn.Linear(channels * self.side[0] * self.side[1], dim)
        self.position = nn.Parameter(torch.empty(16, dim))
        self.blocks = nn.Sequential(*(AttentionBlock(dim, heads=heads, is_causal=False) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, classes)
        nn.init.normal_(self.position, std=dim**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (rows, classes) from images (rows, channels, height, width)."""
        rows, channels = x.shape[:2]
        high, wide = self.side
        cut = x[:, :, : 4 * high, : 4 * wide].reshape(rows, channels, 4, high, 4, wide)
        tokens = cut.permute(0, 2, 4, 1, 3, 5).reshape(rows, 16, channels * high * wide)
        return self.head(self.norm(self.blocks(self.embedding(tokens) + self.position)).mean(1))
