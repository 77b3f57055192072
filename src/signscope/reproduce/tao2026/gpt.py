"""GPT: a causal transformer with tied embeddings, in the published shape (GPT-2, 124M) or a small one."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from signscope.reproduce.transformers import AttentionBlock

INITIAL = 0.02  # standard deviation of the weights


@dataclass(frozen=True)
class Shape:
    """Size of a GPT.

    Attributes:
        dim: Width of a token.
        depth: Blocks.
        heads: Of every attention.
        context: Tokens of a sequence.
    """

    dim: int
    depth: int
    heads: int
    context: int


SHAPES = {
    "gpt-tiny": Shape(64, 2, 4, 64),
    "gpt-small": Shape(256, 6, 8, 256),
    "gpt2": Shape(768, 12, 12, 1_024),
}
"""gpt2 with 50,257 tokens has 124,439,808 weights."""
VOCABULARY = 50_257


class FusedBlock(AttentionBlock):
    """The same block with torch's fused attention, which stores no table of scores."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """What every token sees, (rows, heads, tokens, dim / heads) of each."""
        return nn.functional.scaled_dot_product_attention(query, key, value, is_causal=self.is_causal)


class GPT(nn.Module):
    """Scores of the next token after every token; the table of the embedding is that of the scores.

    No dropout: two evaluations of a batch are equal, as measurements and continued runs need.

    Args:
        vocab: Number of tokens.
        shape: Sizes.
    """

    def __init__(self, vocab: int, shape: Shape) -> None:
        super().__init__()
        self.embedding, self.position = nn.Embedding(vocab, shape.dim), nn.Embedding(shape.context, shape.dim)
        self.blocks = nn.Sequential(
            *(FusedBlock(shape.dim, heads=shape.heads, is_causal=True) for _ in range(shape.depth))
        )
        self.norm, self.head = nn.LayerNorm(shape.dim), nn.Linear(shape.dim, vocab, bias=False)
        self.head.weight = self.embedding.weight
        for name, param in self.named_parameters():
            if param.ndim > 1:
                into_the_sum = name.endswith(("out.weight", "body.2.weight"))
                nn.init.normal_(param, std=INITIAL / math.sqrt(2 * shape.depth) if into_the_sum else INITIAL)
            elif name.endswith("bias"):
                nn.init.zeros_(param)

    def forward(self, codes: Tensor) -> Tensor:
        """Scores (rows, tokens, vocab) from tokens (rows, tokens)."""
        places = torch.arange(codes.shape[1], device=codes.device)
        return self.head(self.norm(self.blocks(self.embedding(codes) + self.position(places))))
