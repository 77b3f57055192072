"""A group of one: nothing is sent, and the methods are the local optimizers; what is refused, and why."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn

from helpers.distributed_jobs import Hills, flat
from signscope import optim
from signscope._core.errors import InvalidInput
from signscope.optim.distributed import METHODS, DistributedSign, VoteState, vote_hook
from signscope.optim.distributed.buckets import make_buckets


def test_without_a_process_group():
    with pytest.raises(InvalidInput, match=r"there is no process group.*torchrun"):
        DistributedSign([nn.Parameter(torch.ones(3))])
    with pytest.raises(InvalidInput, match="there is no process group"):
        VoteState()


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    torch.set_num_threads(1)
    store = tmp_path_factory.mktemp("store") / "store"
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def walk(make, steps=12, dtype=torch.float32, **changes):
    hills = Hills(1, dtype)
    params = hills.parameters()
    clock = {"call": 0}

    def put(grad):
        for p, part in zip(params, grad.split([p.numel() for p in params]), strict=True):
            p.grad = part.view(p.shape).clone()
        return torch.zeros(())

    def closure():
        return put(hills.gradient(0)(flat(params), clock["call"]))

    def full():
        return put(hills.full(0)(flat(params)))

    opt = make(params, full)
    for group in opt.param_groups:
        group.update(changes)
    path = []
    for clock["call"] in range(steps):
        opt.step(closure)
        path.append(flat(params))
    return torch.stack(path), opt


OURS = {"lr": 0.01, "weight_decay": 0.1}
SAME = {
    "signsgd": (
        {"method": "majority-vote", "tie": "ternary"},
        lambda p, _: optim.SignSGD(p, **OURS),
    ),
    "ssvr": (
        {"method": "dvr-sign", "tie": "ternary", "beta": 0.3, "init_batches": 3},
        lambda p, _: optim.SSVR(p, beta=0.3, init_batches=3, **OURS),
    ),
    "spider": (
        {"method": "dvr-sign-fs", "tie": "ternary", "period": 5},
        lambda p, full: optim.SpiderSign(p, full_gradient=full, period=5, **OURS),
    ),
    "climbing": (
        {"method": "majority-vote", "tie": "ternary", "maximize": True},
        lambda p, _: optim.SignSGD(p, maximize=True, **OURS),
    ),
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_worker_is_the_local_optimizer(group, name, dtype):
    options, local = SAME[name]

    def make(params, full):
        extra = {"full_gradient": full} if "period" in options else {}
        return DistributedSign(params, **OURS, **options, **extra)

    ours, opt = walk(make, dtype=dtype)
    assert torch.equal(ours, walk(local, dtype=dtype)[0])
    assert opt.payload_bytes == 0


def test_one_worker_with_momentum_is_signum(group):
    ours, _ = walk(lambda p, _: DistributedSign(p, method="majority-vote", momentum=0.8, tie="ternary", **OURS))
    theirs, _ = walk(lambda p, _: optim.Signum(p, momentum=0.8, **OURS))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    without, _ = walk(lambda p, _: DistributedSign(p, method="majority-vote", tie="ternary", **OURS))
    assert (without - theirs).abs().max() > 0.01  # momentum moves the path


def test_one_worker_with_error_feedback_is_ef_signsgd(group):
    """One tensor of one block: the scales agree up to the rounding of a mean."""

    def one(make):
        p = nn.Parameter(torch.linspace(-1, 1, 64, dtype=torch.float64))
        opt = make([p])
        for k in range(10):
            p.grad = torch.tanh(p.detach() - torch.linspace(2, -1 - k, 64, dtype=torch.float64))
            opt.step()
        return p.detach()

    ours = one(lambda p: DistributedSign(p, lr=0.1, method="ef-sign", block_size=64))
    torch.testing.assert_close(ours, one(lambda p: optim.EFSignSGD(p, lr=0.1)), rtol=1e-12, atol=1e-13)


def test_zeros_do_not_drift(group):
    p = nn.Parameter(torch.zeros(10))
    opt = DistributedSign([p], lr=0.1)
    for k in range(9):
        p.grad = torch.zeros(10)
        opt.step()
        assert p.detach().abs().max() <= 0.1 + 1e-6, k


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("option", "value"), [("weight_decay", 0.5), ("lr", 0.02), ("maximize", True)])
def test_options_move_the_path(group, method, option, value):
    def make(params, full, **more):
        extra = {"full_gradient": full, "period": 4} if METHODS[method].finite_sum else {}
        return DistributedSign(params, method=method, radius=5.0, **{"lr": 0.01, **more}, **extra)

    plain, _ = walk(make, steps=4)
    moved, _ = walk(lambda p, f: make(p, f, **{option: value}), steps=4)
    assert not torch.equal(plain, moved)


def test_groups_have_their_own_rates(group):
    for method in ("majority-vote", "ef-sign", "dvr-q"):
        a, b = (nn.Parameter(torch.ones(256)) for _ in range(2))  # a block each
        opt = DistributedSign([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.2}], method=method)

        def closure(a=a, b=b):
            a.grad, b.grad = torch.ones(256), torch.ones(256)
            return torch.zeros(())

        opt.step(closure)
        torch.testing.assert_close(1 - b.detach(), 2 * (1 - a.detach()))


def test_half_precision_keeps_master_weights(group):
    p = nn.Parameter(torch.ones(64, dtype=torch.bfloat16))
    opt = DistributedSign([p], lr=1e-3, master_weights=True)
    for _ in range(20):
        p.grad = torch.ones_like(p)
        opt.step()
    assert float(p.detach()[0]) == pytest.approx(0.98, abs=2e-3)


def test_small_tensors_share_a_bucket():
    params = [torch.zeros(s) for s in (3, 5, 2, 1000, 7, 1)]
    buckets = make_buckets(params, num_workers=3, block_size=24, bucket_size=12)
    assert [b.dim for b in buckets] == [10, 1000, 8]
    for b in buckets:
        assert b.padded == 3 * b.chunk
        assert b.chunk % 24 == b.chunk % 64 == 0
        flat_tensor = torch.arange(b.padded, dtype=torch.float32)
        b.clear_padding(flat_tensor[b.chunk :], start=b.chunk)
        assert (flat_tensor[max(b.dim, b.chunk) :] == 0).all()
        assert int(b.counts(flat_tensor).sum()) >= b.dim


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "median"}, "`method` must be one of 'majority-vote'"),
        ({"tie": "up"}, "`tie` must be one of"),
        ({"block_size": 12}, "multiple of 8, got 12"),
        ({"beta": 0.0}, r"`beta` must lie in \(0, 1\]"),
        ({"radius": float("nan")}, "`radius` must be finite"),
        ({"method": "dvr-sign-fs"}, "needs `full_gradient`"),
        ({"period": 3}, "takes no full_gradient and no period"),
        ({"timeout": 0}, "`timeout` must be above 0"),
        ({"momentum": 0.5, "method": "dvr-sign"}, "'dvr-sign' makes no use of `momentum`"),
        ({"ball": 1.0}, "makes no use of `ball`"),
        ({"server": "random", "method": "sto-sign"}, "makes no use of `server`"),
        ({"tie": "ternary", "method": "ef-sign"}, "makes no use of `tie='ternary'`"),
        ({"max_scale": 1.0, "method": "ssdm"}, "makes no use of `max_scale`"),
        ({"max_grad_norm": 1.0}, r"makes no use of `max_grad_norm`: clip and unscale \.grad before step"),
        ({"loss_scale": "dynamic"}, "makes no use of `loss_scale`"),
        ({"batch_size": 0}, "`batch_size` must be a whole number of at least 1"),
    ],
)
def test_bad_options(group, options, message):
    with pytest.raises(InvalidInput, match=message):
        DistributedSign([nn.Parameter(torch.ones(3))], **options)


def test_bad_calls(group):
    p = nn.Parameter(torch.ones(3))
    with pytest.raises(InvalidInput, match="step\\(\\) needs a closure"):
        DistributedSign([p], method="dvr-sign").step()
    with pytest.raises(InvalidInput, match="takes a function"):
        DistributedSign([p]).step([lambda: None])
    with pytest.raises(InvalidInput, match=r"`batch_size` must be a whole number of at least 1, got 2\.5"):
        DistributedSign([p]).batch_size = 2.5
    with pytest.raises(InvalidInput, match="groups must all be given at the start"):
        DistributedSign([p]).add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    with pytest.raises(InvalidInput, match="register it with a VoteState"):
        vote_hook(None, None)


def test_wrong_checkpoints_are_refused(group):
    p = nn.Parameter(torch.ones(3))
    opt = DistributedSign([p])
    saved = opt.state_dict()
    with pytest.raises(InvalidInput, match="is of method 'majority-vote', not 'ssdm'"):
        DistributedSign([p], method="ssdm").load_state_dict(saved)
    other = copy.deepcopy(saved)
    other["distributed"]["rank"] = 1
    with pytest.raises(InvalidInput, match="rank 0 was given the checkpoint of rank 1"):
        opt.load_state_dict(other)
    del other["distributed"]
    with pytest.raises(InvalidInput, match="has no part `distributed`"):
        opt.load_state_dict(other)
    with pytest.raises(InvalidInput, match="another bucket_size"):
        DistributedSign([p], block_size=192).load_state_dict(saved)
