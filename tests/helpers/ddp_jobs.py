"""Small models under DDP with the voting hook, and what each process of a test does with them."""

import torch
from torch import nn

from helpers.distributed_jobs import flat, flip_a_bit
from signscope.optim.distributed import MessageDamaged, VoteState, vote_hook


class Twisted(nn.Module):
    """Layers that are used in another order than they were made, so that DDP rebuilds its buckets."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(9, 3)
        self.first = nn.Linear(5, 9)
        self.middle = nn.Linear(9, 9)

    def forward(self, rows):
        return self.last(torch.tanh(self.middle(torch.tanh(self.first(rows)))))


class Trial:
    """One rank's DDP model, its hook, and what the hook saw."""

    def __init__(self, rank, size, *, how="plain", **options):
        torch.manual_seed(0)
        self.rank, self.how = rank, how
        self.net, self.twin = Twisted(), Twisted()
        self.model = nn.parallel.DistributedDataParallel(
            self.net,
            bucket_cap_mb=1e-4 if how in ("many buckets", "not finite") else 25,
            static_graph=how == "static graph",
        )
        self.state = VoteState(timeout=30, **options)
        self.calls = []
        self.model.register_comm_hook(self.state, self.hook)
        self.opt = torch.optim.SGD(self.model.parameters(), lr=0.01)
        self.rows = torch.randn(size, 6, 5, generator=torch.Generator().manual_seed(1))

    def hook(self, state, bucket):
        """`vote_hook`, with notes: parameters of the bucket, and whether its votes were there on return."""
        names = {id(p): name for name, p in self.net.named_parameters()}
        params, last = [names[id(p)] for p in bucket.parameters()], bucket.is_last()
        done = vote_hook(state, bucket)
        self.calls.append((params, last, done.done()))
        return done

    def local_gradients(self):
        """Gradients of every rank, one after the other, without DDP."""
        local = []
        for rows in self.rows:
            self.twin.load_state_dict(self.net.state_dict())
            self.twin.zero_grad()
            self.loss(self.twin, rows).backward()
            local.append(flat([p.grad for p in self.twin.parameters()]).numpy())
        return local

    def loss(self, model, rows):
        return model(rows).square().sum()

    def step(self):
        """Backward and step; the voted gradients."""
        self.opt.zero_grad()
        if self.how == "accumulation":  # twice the gradient has the same signs
            with self.model.no_sync():
                self.loss(self.model, self.rows[self.rank]).backward()
        self.loss(self.model, self.rows[self.rank]).backward()
        voted = flat([p.grad for p in self.net.parameters()]).numpy()
        self.opt.step()
        return voted


def votes(rank, size, how, steps, options):
    """Local and voted gradients of every step, last parameters, bytes, notes of the hook."""
    trial = Trial(rank, size, how=how, **options)
    seen = [(trial.local_gradients(), trial.step()) for _ in range(steps)]
    return seen, flat(trial.net.parameters()).numpy(), trial.state.payload_bytes, trial.calls


def continued(rank, size, options):
    """Whether a run that was saved after DDP rebuilt its buckets, and loaded into fresh ones, goes on unchanged."""
    whole = Trial(rank, size, how="many buckets", **options)
    for _ in range(3):
        whole.step()
    saved = whole.state.state_dict(whole.net.parameters())
    other = Trial(rank, size, how="many buckets", **options)
    other.net.load_state_dict(whole.net.state_dict())
    other.state.load_state_dict(saved, other.net.parameters())
    forgetful = Trial(rank, size, how="many buckets", **options)
    forgetful.net.load_state_dict(whole.net.state_dict())
    for _ in range(3):
        for trial in (whole, other, forgetful):
            trial.step()
    ends = [flat(trial.net.parameters()) for trial in (whole, other, forgetful)]
    return torch.equal(ends[0], ends[1]), torch.equal(ends[0], ends[2])


def not_finite(rank, size):
    """A gradient of rank 1 is infinite in the second step; which gradients are NaN, and whether averages moved."""
    trial = Trial(rank, size, how="not finite", momentum=0.9)
    trial.step()
    before = {name: trial.state.averages[p].clone() for name, p in trial.net.named_parameters()}
    handle = trial.net.middle.bias.register_hook(lambda grad: grad * float("inf") if rank == 1 else grad)
    trial.step()
    handle.remove()
    spoilt = [name for name, p in trial.net.named_parameters() if bool(p.grad.isnan().all())]
    partly = [name for name, p in trial.net.named_parameters() if bool(p.grad.isnan().any())]
    moved = [name for name, p in trial.net.named_parameters() if not torch.equal(trial.state.averages[p], before[name])]
    return spoilt, partly, moved


def one_flips(rank, size):
    """The last message of a backward pass is damaged on its way to rank 1; what was raised, whether weights moved."""
    trial = Trial(rank, size, check_messages=True)
    trial.step()
    before = flat(trial.net.parameters())
    if rank == 1:
        flip_a_bit(trial.state.wire, 1)
    try:
        trial.step()
        return "", False
    except MessageDamaged as error:
        return str(error), torch.equal(before, flat(trial.net.parameters()))


def refused(rank, size):
    """Messages for states that do not fit."""
    params = list(Twisted().parameters())
    state = VoteState(momentum=0.9)
    saved = state.state_dict(params)
    messages = []
    for change, given in (({"rank": 1 - rank}, params), ({"momentum": 0.5}, params), ({}, params[1:])):
        try:
            state.load_state_dict({**saved, **change}, given)
        except ValueError as error:
            messages.append(str(error))
    try:
        Trial(rank, size, tie="ternary" if rank else "parity").step()
    except ValueError as error:
        messages.append(str(error))
    state.averages[params[0]] = torch.ones_like(params[0])
    elsewhere = {**state.state_dict(params), "world_size": size + 1, "rank": 5, "steps": 7}
    state.load_state_dict(elsewhere, params)
    return messages, len(state.averages), state.steps
