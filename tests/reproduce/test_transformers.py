"""The small transformers: causal, cut into the right patches, and 160 million weights without memory."""

import pytest
import torch

from signscope._core.errors import InvalidInput
from signscope.reproduce.datasets import CONTEXT, load
from signscope.reproduce.networks import NETWORKS, build
from signscope.reproduce.transformers import PatchTransformer, TinyTransformer


def codes(vocab, rows, tokens):
    return torch.randint(vocab, (rows, tokens), generator=torch.Generator().manual_seed(0))


def test_scores_depend_on_the_past_alone():
    torch.manual_seed(0)
    net, x = TinyTransformer(11, dim=8, depth=2, heads=2, context=6), codes(11, 3, 6)
    other = x.clone()
    other[:, 4] = (x[:, 4] + 1) % 11
    before, after = net(x), net(other)
    assert before.shape == (3, 6, 11)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_attention_is_that_of_torch():
    """Independent route: torch's fused attention on the same weights."""
    torch.manual_seed(1)
    net = TinyTransformer(7, dim=12, depth=1, heads=3, context=5).double()
    block, x = net.blocks[0], torch.randn(2, 5, 12, dtype=torch.float64)
    parts = [p.reshape(2, 5, 3, 4).transpose(1, 2) for p in block.mix(block.norm(x)).chunk(3, -1)]
    seen = torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
    y = x + block.out(seen.transpose(1, 2).reshape(2, 5, 12))
    assert torch.allclose(block(x), y + block.body(block.last_norm(y)), atol=1e-12)


def test_patches_are_squares_of_the_image():
    net = PatchTransformer((2, 8, 12), 5)
    seen = []
    net.embedding.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    x = torch.arange(2 * 8 * 12.0).reshape(1, 2, 8, 12)
    assert net(x).shape == (1, 5)
    tokens = seen[0]
    assert tokens.shape == (1, 16, 2 * 2 * 3)
    assert torch.equal(tokens[0, 6], x[0, :, 2:4, 6:9].reshape(-1))  # second row of patches, third column


def test_heads_must_divide_the_width():
    with pytest.raises(InvalidInput, match="heads"):
        TinyTransformer(7, dim=10, heads=3)


@pytest.mark.parametrize(
    ("name", "count"), [("image_mlp", 2410), ("cnn", 1898), ("small_resnet", 4962), ("patch_transformer", 3818)]
)
def test_small_networks_have_the_stated_sizes(name, count):
    data = load("digits").head(4)
    net = build(name, data, seed=0)
    assert sum(p.numel() for p in net.parameters()) == count
    assert net(data.train_x).shape == (4, 10)
    assert not list(net.buffers())


def test_160_million_weights_on_the_meta_device():
    data = load("shakespeare").head(2)
    with torch.device("meta"):
        net = NETWORKS["transformer_160m"][1](data)
    assert all(p.is_meta for p in net.parameters())
    assert sum(p.numel() for p in net.parameters()) == 163_895_808
    scores = net(torch.zeros(2, CONTEXT, dtype=torch.long, device="meta"))
    assert scores.shape == (2, 50_304)
    scores.sum().backward()
    assert all(p.grad is not None and p.grad.is_meta for p in net.parameters())
