"""`gradient_noise`: truth known by construction, weights, layers, and input that must not pass silently."""

import copy

import pytest
import torch
from torch import nn

from signscope import InvalidInput, Unsupported
from signscope.measure import NoiseReport, ShortLoader, SmoothnessReport, gradient_noise

CRITERION = nn.CrossEntropyLoss()


def gaussian_batches(sigma, num, size, *, seed=0, mean=0.0):
    gen = torch.Generator().manual_seed(seed)
    return [mean + sigma * torch.randn(size, len(sigma), generator=gen, dtype=sigma.dtype) for _ in range(num)]


def by_hand(rows, weights):
    """Per-sample variance of weighted batch means, in float64."""
    weights = torch.as_tensor(weights, dtype=torch.float64)[:, None]
    mean = (weights * rows).sum(0) / weights.sum()
    return mean, (weights * (rows - mean) ** 2).sum(0) / (len(rows) - 1)


def test_sums_equal_those_of_a_plain_loop(vector, rows_loss):
    sigma = torch.linspace(0.1, 2, 50, dtype=torch.float64)
    batches = gaussian_batches(sigma, 12, 4, mean=0.2)
    report = gradient_noise(vector(50, dtype=torch.float64), rows_loss, batches, num_batches=12)
    mean, var = by_hand(torch.stack([b.mean(0) for b in batches]), [4.0] * 12)
    whole = report.overall
    assert whole.sigma2 == pytest.approx(float(var.sum().sqrt()), rel=1e-12)
    assert whole.sigma1_raw == pytest.approx(float(var.sqrt().sum()), rel=1e-12)
    assert whole.grad_l1 == pytest.approx(float(mean.abs().sum()), rel=1e-12)
    means = torch.stack([b.mean(0) for b in batches])
    cross = sum(
        float((torch.sign(means[torch.arange(12) % 4 != g].mean(0)) * means[g::4].mean(0)).sum()) for g in range(4)
    )
    assert whole.grad_l1_low == pytest.approx(cross / 4, rel=1e-12)
    assert whole.grad_l1_low < whole.grad_l1
    signal = float((mean**2).sum() - var.sum() / 48)
    assert whole.grad_l2 == pytest.approx(signal**0.5, rel=1e-12)
    assert whole.noise_scale == pytest.approx(float(var.sum()) / signal, rel=1e-12)
    assert report.batch_size == 4
    assert report.loss == pytest.approx(0)


def test_batches_of_unequal_size_are_weighted(vector, rows_loss):
    sigma = torch.linspace(0.5, 1.5, 400, dtype=torch.float64)
    sizes = [1, 16] * 32
    gen = torch.Generator().manual_seed(0)
    batches = [sigma * torch.randn(size, 400, generator=gen, dtype=torch.float64) for size in sizes]
    model = vector(400, dtype=torch.float64)
    report = gradient_noise(model, rows_loss, batches)
    means = torch.stack([b.mean(0) for b in batches])
    assert report.overall.sigma2**2 == pytest.approx(float(by_hand(means, sizes)[1].sum()), rel=1e-12)
    assert report.overall.sigma2 == pytest.approx(float(sigma.norm()), rel=0.03)
    assert report.batch_size == 8.5
    unweighted = gradient_noise(model, rows_loss, batches, weights=lambda batch: 8.5)
    assert unweighted.overall.sigma2 > 1.5 * report.overall.sigma2  # teeth: equal weights are far off
    with pytest.raises(InvalidInput, match=r"`weights\(batch\)` must be above 0"):
        gradient_noise(model, rows_loss, batches, weights=lambda batch: 0)


def test_batches_and_samples_see_the_same_sigma(net, cut):
    model, x, y = net
    each = gradient_noise(model, CRITERION, cut(x, y, 64), num_batches=8, samples="each", chunk=24)
    batches = gradient_noise(model, CRITERION, cut(x, y, 8), num_batches=64)
    for fine, coarse in zip(each.layers, batches.layers, strict=True):
        assert coarse.sigma2 == pytest.approx(fine.sigma2, rel=0.2)
        assert coarse.density == pytest.approx(fine.density, abs=0.1)
    assert each.num_gradients == 512
    assert each.overall.grad_l1 == pytest.approx(batches.overall.grad_l1, rel=1e-9)
    assert batches.overall.sigma2 < 1.2 * each.overall.sigma2 < 8**0.5 * batches.overall.sigma2  # teeth: not per batch


def test_per_sample_gradients_equal_batches_of_one(net, cut):
    model, x, y = net
    each = gradient_noise(model, CRITERION, cut(x[:40], y[:40], 4), num_batches=10, samples="each")
    one = gradient_noise(model, CRITERION, cut(x[:40], y[:40], 1), num_batches=40)
    assert each.overall.sigma2 == pytest.approx(one.overall.sigma2, rel=1e-10)
    assert each.overall.sigma1_raw == pytest.approx(one.overall.sigma1_raw, rel=1e-10)


def test_layers_add_up_and_embeddings_stand_apart():
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        model = nn.Sequential(nn.Embedding(30, 4), nn.Flatten(), nn.Linear(12, 5))
    gen = torch.Generator().manual_seed(0)
    words = [torch.randint(0, 20, (8, 3), generator=gen) for _ in range(16)]
    words[3][0, 0] = 25
    for k, batch in enumerate(words):
        batch[batch == 25] = 25 if k == 3 else 1
    batches = [(w, w[:, 0] % 5) for w in words]
    report = gradient_noise(model, CRITERION, batches, num_batches=16)
    table, weight, bias = report.layers
    assert (table.embedding, weight.embedding) == (True, False)
    assert table.never_seen == 4 * 9  # rows 20 to 29 without 25
    assert table.seen_once == 4
    assert report.body.dim == weight.dim + bias.dim
    assert report.body.sigma1 == pytest.approx(weight.sigma1 + bias.sigma1)
    assert report.overall.sigma1 == pytest.approx(sum(layer.sigma1 for layer in report.layers))
    assert report.overall.sigma2**2 == pytest.approx(sum(layer.sigma2**2 for layer in report.layers))
    assert "without embeddings" in str(report)
    assert "(embedding)" in str(report)


def test_tied_and_frozen_parameters():
    model = nn.ModuleDict({"table": nn.Embedding(6, 3), "head": nn.Linear(3, 6, bias=False), "rest": nn.Linear(3, 3)})
    model["head"].weight = model["table"].weight
    model["rest"].bias.requires_grad_(False)

    def loss(model, batch):
        return nn.functional.cross_entropy(model["head"](model["rest"](model["table"](batch))), batch)

    batches = [torch.arange(6)[k % 3 :] for k in range(16)]
    report = gradient_noise(model, loss, batches, num_batches=16)
    assert [layer.name for layer in report.layers] == ["table.weight", "rest.weight"]
    assert report.overall.dim == 18 + 9
    assert report.frozen == 1
    assert report.layers[0].embedding
    each = gradient_noise(model, loss, batches, num_batches=16, samples="each")
    assert [layer.name for layer in each.layers] == ["table.weight", "rest.weight"]
    singles = [batch[k : k + 1] for batch in batches for k in range(len(batch))]
    alone = gradient_noise(model, loss, singles, num_batches=len(singles))
    assert each.overall.sigma2 == pytest.approx(alone.overall.sigma2, rel=1e-5)


def test_batches_that_are_not_finite_are_counted_and_left_out(vector, rows_loss):
    sigma = torch.ones(20, dtype=torch.float64)
    batches = gaussian_batches(sigma, 20, 2)
    kept = [b for k, b in enumerate(batches) if k not in (4, 12)]  # other groups, the same sums over all
    clean = gradient_noise(vector(20, dtype=torch.float64), rows_loss, kept, num_batches=18)
    spoiled = [b.clone() for b in batches]
    for k in (4, 12):
        spoiled[k][0, 3] = (float("nan"), float("inf"))[k == 12]
    report = gradient_noise(vector(20, dtype=torch.float64), rows_loss, spoiled, num_batches=20)
    assert (report.num_refused, report.num_batches, report.first_refused) == (2, 18, "loss")
    assert report.overall.sigma2 == pytest.approx(clean.overall.sigma2, rel=1e-12)
    assert "2 batches refused" in str(report)
    with pytest.raises(InvalidInput, match=r"20 of 20 batches had a non-finite loss or gradient \(first: loss\)"):
        gradient_noise(vector(20), rows_loss, [b.float() * float("nan") for b in batches], num_batches=20)


def test_a_loader_shorter_than_asked_warns_and_a_tiny_one_fails(vector, rows_loss):
    batches = gaussian_batches(torch.ones(5), 10, 2)
    with pytest.warns(ShortLoader, match="ended after 10 of 64 batches"):
        report = gradient_noise(vector(5), rows_loss, batches)
    assert (report.num_batches, report.num_asked) == (10, 64)
    assert "10 of 64 batches" in str(report)
    with pytest.raises(InvalidInput, match="at least 8 gradients"):
        gradient_noise(vector(5), rows_loss, batches[:7])
    with pytest.raises(InvalidInput, match="must be iterable"):
        gradient_noise(vector(5), rows_loss, 3)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: (m.requires_grad_(False), CRITERION), "no parameter of `model` requires a gradient"),
        (lambda m: (m, lambda model, batch: torch.zeros(())), "has no gradient"),
        (lambda m: (m, lambda model, batch: model(batch[0])), "must return one number"),
        (lambda m: (m, lambda model, batch: 3.0), "must return one number"),
        (lambda m: (m, "mse"), "must be a function"),
        (lambda m: (3, CRITERION), "must be a torch.nn.Module"),
    ],
)
def test_bad_models_and_losses(net, cut, spoil, message):
    model, x, y = net
    model, loss = spoil(model)
    with pytest.raises(InvalidInput, match=message):
        gradient_noise(model, loss, cut(x, y, 32), num_batches=8)


@pytest.mark.parametrize(
    "option",
    [
        {"num_batches": 0},
        {"mode": "test"},
        {"samples": "all"},
        {"loss_scale": 0},
        {"chunk": 0},
        {"num_tracked": -1},
        {"seed": -1},
    ],
)
def test_bad_options(net, cut, option):
    model, x, y = net
    with pytest.raises(InvalidInput, match=next(iter(option))):
        gradient_noise(model, CRITERION, cut(x, y, 32), **{"num_batches": 8, **option})


def test_a_random_loss_is_refused_in_eval_mode_and_noise_in_train_mode(net, cut):
    model, x, y = net
    batches = cut(x, y, 32)
    gen = torch.Generator().manual_seed(0)
    with pytest.raises(InvalidInput, match="the loss is random"):
        gradient_noise(
            model, lambda m, b: CRITERION(m(b[0]), b[1]) * torch.rand((), generator=gen), batches, num_batches=16
        )
    dropping = nn.Sequential(nn.Dropout(0.5), model)
    quiet = gradient_noise(dropping, CRITERION, batches, num_batches=16)
    loud = gradient_noise(dropping, CRITERION, batches, num_batches=16, mode="train")
    assert (quiet.random_loss, loud.random_loss) == (False, True)
    assert loud.overall.sigma2 > quiet.overall.sigma2
    assert "dropout included" in str(loud)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_nothing_is_disturbed(mode):
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 2))
    model[1].eval()
    data = [torch.randn(16, 4, generator=torch.Generator().manual_seed(k)) for k in range(8)]
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    before, flags = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    state = torch.random.get_rng_state()
    gradient_noise(model, lambda m, b: m(b).square().mean(), data, num_batches=8, mode=mode)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [m.training for m in model.modules()] == flags
    assert all(bool((p.grad == 1).all()) for p in model.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


class Counting(nn.Module):
    """Buffers of the two kinds: written in place, and put in anew; in either mode."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(4))
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        self.calls += 1
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return x @ self.w


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_buffers_are_put_back_however_they_were_written(mode):
    model = Counting()
    data = [torch.randn(4, 4, generator=torch.Generator().manual_seed(k)) for k in range(8)]
    kept = model.mean
    gradient_noise(model, lambda m, b: m(b).mean(), data, num_batches=8, mode=mode)
    assert model.mean is kept
    assert not bool(model.mean.any())
    assert float(model.calls) == 0


def test_mixed_precision(net, cut):
    model, x, y = net
    model, x = model.float(), x.float()
    full = gradient_noise(model, CRITERION, cut(x, y, 32), num_batches=16)
    half = gradient_noise(model, CRITERION, cut(x, y, 32), num_batches=16, autocast=torch.bfloat16)
    scaled = gradient_noise(model, CRITERION, cut(x, y, 32), num_batches=16, loss_scale=1024.0)
    assert half.overall.sigma1 == pytest.approx(full.overall.sigma1, rel=0.03)
    assert half.overall.sigma1 != full.overall.sigma1
    assert scaled.overall.sigma1 == pytest.approx(full.overall.sigma1, rel=1e-5)
    low = copy.deepcopy(model).bfloat16()
    report = gradient_noise(low, CRITERION, cut(x.bfloat16(), y, 32), num_batches=16)
    assert report.overall.sigma1 == pytest.approx(full.overall.sigma1, rel=0.05)
    assert report.bytes_per_parameter == 32  # bfloat16 gradients are summed in float32


class Added(nn.Module):
    """Two parameters that are added: autograd hands both one and the same gradient tensor."""

    def __init__(self):
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.zeros(5)) for _ in range(2))

    def forward(self, x):
        return x @ (self.a + self.b)


def test_a_loss_scale_is_divided_out_once_where_parameters_are_added():
    batches = list(torch.randn(16, 8, 5, generator=torch.Generator().manual_seed(0)))

    def loss(model, batch):
        return model(batch).mean()

    plain, scaled = (gradient_noise(Added(), loss, batches, num_batches=16, loss_scale=s) for s in (1.0, 1024.0))
    assert scaled.sigma1 == pytest.approx(plain.sigma1, rel=1e-5)


def test_a_loss_scale_serves_samples_too(vector):
    """Gradients near 2^-26 are lost in float16, unless the loss is scaled."""
    batches = [(b / 64).half() for b in gaussian_batches(torch.ones(40), 16, 4)]

    def loss(model, batch):
        return (batch @ model.w).mean() * 2.0**-20

    def sigma2(**options):
        model = vector(40, dtype=torch.float16)
        return gradient_noise(model, loss, batches, num_batches=16, samples="each", **options).sigma2

    true = 2.0**-20 * float(torch.cat(batches).float().var(0).sum().sqrt())
    assert sigma2(loss_scale=4096.0) == pytest.approx(true, rel=0.01)
    assert abs(sigma2() / true - 1) > 0.1  # teeth


def test_samples_that_are_not_finite_are_left_out_by_chunks(vector):
    """The root of |w_0| has no derivative at 0: rows that begin with 7 have a finite loss and no finite gradient."""
    batches = gaussian_batches(torch.ones(3), 16, 4)
    batches[2][:, 0] = 7.0
    batches[5][1, 0] = 7.0

    def loss(model, batch):
        bad = (batch[:, 0] == 7).to(batch)
        return (batch @ model.w + (model.w[0].abs() * bad + 1 - bad).sqrt()).mean()

    whole = gradient_noise(vector(3), loss, batches, num_batches=16, samples="each")
    assert (whole.num_batches, whole.num_refused, whole.num_gradients) == (14, 2, 56)
    fine = gradient_noise(vector(3), loss, batches, num_batches=16, samples="each", chunk=1)
    assert (fine.num_batches, fine.num_refused, fine.num_gradients) == (15, 2, 59)
    assert fine.first_refused == "w"
    kept = torch.cat(batches)
    kept = kept[kept[:, 0] != 7].double()
    assert fine.overall.sigma2**2 == pytest.approx(float(kept.var(0).sum()), rel=1e-5)


def test_cancelled_gradients_are_not_one_gradient(vector, rows_loss):
    batches = gaussian_batches(torch.ones(3), 16, 2)
    for k, batch in enumerate(batches):
        batch[:, 0] = {0: 1.0, 4: -1.0}.get(k, 0.0)  # twice, in one group, with mean 0
        batch[:, 1] = 1.0 if k == 1 else 0.0
    whole = gradient_noise(vector(3), rows_loss, batches, num_batches=16).overall
    assert (whole.never_seen, whole.seen_once) == (0, 1)


def test_a_gradient_of_zero_is_said_to_be_zero(vector, rows_loss):
    text = str(gradient_noise(vector(3), rows_loss, [torch.zeros(2, 3)] * 8, num_batches=8))
    assert "the mean over the batches is zero" in text
    assert "nan%" not in text


def test_memory_is_what_is_stated(vector, rows_loss, net, cut):
    report = gradient_noise(vector(1000), rows_loss, gaussian_batches(torch.ones(1000), 8, 1), num_batches=8)
    assert report.bytes_per_parameter == 32
    model, x, y = net
    assert gradient_noise(model, CRITERION, cut(x, y, 64), num_batches=8).bytes_per_parameter == 64


def test_vmap_that_fails_says_what_to_use():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    data = [torch.randn(4, 3, generator=torch.Generator().manual_seed(k)) for k in range(8)]
    with pytest.raises(Unsupported, match="samples='batches'"):
        gradient_noise(model, lambda m, b: m(b).mean(), data, num_batches=8, samples="each", mode="train")


def test_batches_that_cannot_be_cut_say_what_to_use(vector):
    batches = [(torch.ones(4, 3), torch.tensor(2.0))] * 8
    with pytest.raises(Unsupported, match="samples='batches'"):
        gradient_noise(vector(3), lambda m, b: (b[0] @ m.w).mean() * b[1], batches, num_batches=8, samples="each")


def test_complex_parameters_are_refused(vector):
    with pytest.raises(Unsupported, match="parameter w is complex"):
        gradient_noise(vector(3, dtype=torch.complex64), lambda m, b: (b @ m.w).abs().mean(), [torch.ones(2, 3)])


def test_invariances(net, cut):
    """Density, phases and tails do not change with the unit of the loss; sigma does."""
    model, x, y = net
    once = gradient_noise(model, CRITERION, cut(x, y, 16), num_batches=32)
    twice = gradient_noise(model, lambda m, b: 7 * CRITERION(m(b[0]), b[1]), cut(x, y, 16), num_batches=32)
    assert twice.density == pytest.approx(once.density, rel=1e-10)
    assert twice.phases == once.phases
    assert twice.sigma1 == pytest.approx(7 * once.sigma1, rel=1e-10)
    assert twice.overall.tails.kurtosis == pytest.approx(once.overall.tails.kurtosis, rel=1e-9)


def test_saved_and_read_again(net, cut, tmp_path):
    model, x, y = net
    report = gradient_noise(model, CRITERION, cut(x, y, 16), num_batches=32)
    report.save(tmp_path / "noise.json")
    assert repr(NoiseReport.load(tmp_path / "noise.json")) == repr(report)
    assert str(NoiseReport.load(tmp_path / "noise.json")) == str(report)
    with pytest.raises(InvalidInput, match="is not a saved SmoothnessReport"):
        SmoothnessReport.load(tmp_path / "noise.json")
    with pytest.raises(InvalidInput, match="is not a saved NoiseReport"):
        NoiseReport.load(tmp_path / "none.json")
    for content in ("[]", "3", '{"layers": 3}', '{"overall": null}'):
        (tmp_path / "odd.json").write_text(f'{{"kind": "NoiseReport", "content": {content}}}', encoding="utf-8")
        with pytest.raises(InvalidInput, match="is not a saved NoiseReport"):
            NoiseReport.load(tmp_path / "odd.json")
    frame = report.to_frame()
    assert list(frame["name"]) == [*(layer.name for layer in report.layers), "overall"]
    assert frame["sigma1"].iloc[-1] == report.sigma1
    figure = report.plot()
    assert figure.axes[0].get_xlabel().startswith("noise density")
