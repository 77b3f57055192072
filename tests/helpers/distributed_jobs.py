"""A small problem with a different objective on every worker, and what each process of a test does with it."""

import os
import signal
import time
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import nn

from helpers.pretend_device import Away, PretendDevice
from signscope._core.private_stream import private_stream
from signscope.optim.distributed import METHODS, DistributedSign, MessageDamaged, WorkerLost
from signscope.optim.distributed import method as methods_module

SHAPES = ((3, 4), (300,), (), (7, 11))
SIZES = [12, 300, 1, 77]
BATCHES = 8
FINITE_SUM = {name for name, kind in METHODS.items() if kind.finite_sum}


class Hills:
    """Worker j, batch k: gradient 2 tanh(x - c_jk), different centres for all; some coordinates have gradient zero."""

    def __init__(self, num_workers, dtype=torch.float32):
        gen = torch.Generator().manual_seed(0)
        self.start = torch.randn(sum(SIZES), generator=gen, dtype=torch.float64).to(dtype)
        centres = torch.randn(num_workers, BATCHES, sum(SIZES), generator=gen, dtype=torch.float64)
        self.centres = centres.to(dtype)

    def gradient(self, worker):
        def gradient(theta, call):
            grad = 2 * torch.tanh(theta - self.centres[worker][call % BATCHES])
            grad[20:40] = 0
            return grad

        return gradient

    def full(self, worker):
        gradient = self.gradient(worker)
        return lambda theta: sum(gradient(theta, k) for k in range(BATCHES)) / BATCHES

    def parameters(self, device="cpu"):
        parts = self.start.split(SIZES)
        return [nn.Parameter(part.view(shape).clone().to(device)) for part, shape in zip(parts, SHAPES, strict=True)]


def flat(params):
    return torch.cat([p.detach().cpu().reshape(-1) for p in params])


class Run:
    """A distributed optimizer on one worker's part of `Hills`."""

    def __init__(self, rank, size, *, method, device="cpu", **options):
        self.hills, self.rank, self.call = Hills(size), rank, 0
        self.params = self.hills.parameters(device)
        if method in FINITE_SUM:
            options.setdefault("period", 4)
            options["full_gradient"] = self.full
        self.opt = DistributedSign(self.params, method=method, timeout=30, **options)

    def closure(self):
        return self._put(self.hills.gradient(self.rank)(flat(self.params), self.call))

    def full(self):
        return self._put(self.hills.full(self.rank)(flat(self.params)))

    def _put(self, grad):
        for p, part in zip(self.params, grad.split(SIZES), strict=True):
            p.grad = part.view(p.shape).clone().to(p.device)
        return torch.zeros(())

    def advance(self, steps):
        path = []
        for _ in range(steps):
            self.opt.step(self.closure)
            self.call += 1
            path.append(flat(self.params))
        return path


def numbers(path):
    return torch.stack(path).numpy()


# --- jobs -------------------------------------------------------------------------------------------------------------


def paths(rank, size, cases, steps):
    """Path of every case, as arrays, with bytes sent and coordinates per bucket."""
    results = []
    for case in cases:
        run = Run(rank, size, **case)
        path = [flat(run.params), *run.advance(steps)]
        wire = run.opt.rounds.wire
        sent = (wire.payload_bytes, wire.dense_bytes, wire.control_bytes)
        layout = [(b.dim, b.padded) for b in run.opt.rounds.buckets]
        results.append((numbers(path), sent, layout))
    return results


def weighted_paths(rank, size, cases, steps):
    """Path of every case when rank r has 1 + 2 r rows."""
    runs = [Run(rank, size, batch_size=1 + 2 * rank, **case) for case in cases]
    return [numbers([flat(run.params), *run.advance(steps)]) for run in runs]


def saved_and_continued(rank, size, methods):
    """Whether a run that was saved and loaded goes on as the one that was not interrupted."""
    same = {}
    for method in methods:
        options = {"method": method, "radius": 8.0, "block_size": 16, "init_batches": 2, "seed": 5, "beta": 0.3}
        options |= {"momentum": 0.5} if "momentum" in METHODS[method].takes else {}
        whole = Run(rank, size, **options)
        expected = whole.advance(9)
        first = Run(rank, size, **options)
        first.advance(5)
        second = Run(rank, size, method=method, block_size=16)  # options come with the state
        second.call = 5
        for p, q in zip(second.params, first.params, strict=True):
            p.data.copy_(q)
        second.opt.load_state_dict(first.opt.state_dict())
        same[method] = all(torch.equal(a, b) for a, b in zip(second.advance(4), expected[5:], strict=True))
    return same


def states(rank, size, method, folder):
    """Saves a run after some steps, one file per rank."""
    run = Run(rank, size, method=method)
    run.advance(3)
    torch.save({"opt": run.opt.state_dict(), "params": flat(run.params)}, f"{folder}/{rank}.pt")
    return


def another_size(rank, size, method, folder):
    """Goes on with another number of workers, from the file of rank 0."""
    saved = torch.load(f"{folder}/0.pt")
    run = Run(rank, size, method=method)
    for p, part in zip(run.params, saved["params"].split(SIZES), strict=True):
        p.data.copy_(part.view(p.shape))
    run.opt.load_state_dict(saved["opt"])
    path = run.advance(3)
    return numbers(path), dict(run.opt.counters)


def one_dies(rank, size, method, how):
    """Rank 1 is killed, or hangs, in its third step; what the others see, and after how long."""
    run = Run(rank, size, method=method, radius=8.0)
    run.opt.rounds.wire.timeout = 4.0
    run.advance(2)
    before = flat(run.params)
    if rank == 1:
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    start = time.monotonic()
    messages = []
    for _ in range(2):
        try:
            run.advance(1)
        except WorkerLost as lost:
            messages.append(str(lost))
    return messages, time.monotonic() - start, bool(torch.equal(before, flat(run.params)))


def bad_numbers(rank, size):
    """A NaN gradient on one rank, then corrupt scales from one rank; counters and paths."""
    run = Run(rank, size, method="dvr-sign", block_size=16, max_scale=50.0)
    run.advance(2)
    before, z = flat(run.params), run.opt.rounds.state[0]["z"].clone()
    if rank == 1:
        run.hills.centres[1][2, 5] = float("nan")
    run.advance(1)
    untouched = torch.equal(before, flat(run.params)) and torch.equal(z, run.opt.rounds.state[0]["z"])
    skipped = run.opt.skipped_steps
    encode = run.opt.method.encode

    def corrupt(now, value):
        bits, scales = encode(now, value)
        scales[0], scales[1], scales[2] = float("nan"), float("inf"), 1e9
        return bits, scales

    if rank == 1:
        run.opt.method.encode = corrupt
    path = run.advance(3)
    largest = float(run.opt.rounds.state[0]["z"].abs().max())
    return untouched, skipped, run.opt.mended_scales, numbers(path), largest


def bad_rows(rank, size):
    """First gradients that rank 1 sends uncompressed, of which three numbers are spoilt on the way; counter, path."""
    run = Run(rank, size, method="dvr-sign")
    exchange = run.opt.rounds.wire.exchange

    def corrupt(slices, *, kind="payload"):
        if kind == "dense":
            slices = slices.clone()
            slices[0, :3] = torch.tensor([float("nan"), float("inf"), -float("inf")])
        return exchange(slices, kind=kind)

    if rank == 1:
        run.opt.rounds.wire.exchange = corrupt
    path = run.advance(3)
    return run.opt.mended_scales, numbers(path), bool(run.opt.rounds.state[0]["z"].isfinite().all())


def bad_counts(rank, size):
    """Answers of rank 1 in which two counts are beyond the number of workers; counter, path, largest step."""
    run = Run(rank, size, method="ssdm", lr=0.5)
    serve = run.opt.method.serve

    def corrupt(now, bits, scales):
        counts, _ = serve(now, bits, scales)
        counts[3:5] = torch.tensor([100, -100], dtype=torch.int8).view(torch.uint8)
        return counts, None

    if rank == 1:
        run.opt.method.serve = corrupt
    path = [run.hills.start, *run.advance(3)]
    moved = max(float((new - old).abs().max()) for old, new in pairwise(path))
    return run.opt.mended_scales, numbers(path), moved


def flip_a_bit(wire, number):
    """Of what arrives as message ``number`` (from 0) of bits, the lowest bit of the first byte is turned on the way."""
    carry, finish, arriving = dist.all_to_all_single, wire.finish, []

    def carried(out, sent, **options):
        work = carry(out, sent, **options)
        if out.dtype == torch.uint8:
            arriving.append((work, out))
        return work

    def finished(doing, work):
        finish(doing, work)
        if len(arriving) > number and arriving[number][0] is work:
            arriving[number][1].view(-1)[0] ^= 1

    dist.all_to_all_single, wire.finish = carried, finished
    return carry


def one_flips(rank, size, cases, number):
    """In every case's second step one message to rank 1 is damaged; what was raised, whether anything moved, paths."""
    results = []
    for case in cases:
        run = Run(rank, size, **case)
        start, sent = [flat(run.params), *run.advance(1)], run.opt.rounds.wire.control_bytes
        if rank == 1:
            carry = flip_a_bit(run.opt.rounds.wire, number)
        try:
            path, message = run.advance(1), ""
            sent = run.opt.rounds.wire.control_bytes - sent
        except (MessageDamaged, WorkerLost) as error:
            path, message = [flat(run.params)], f"{type(error).__name__}: {error}"
        finally:
            if rank == 1:
                dist.all_to_all_single = carry
        results.append((message, bool(torch.equal(start[1], path[-1])), numbers([*start, *path]), sent))
    return results


def disagreements(rank, size):
    """Messages of the errors when the ranks differ in something."""
    messages = {}

    def attempt(name, change, **options):
        run = Run(rank, size, **{"method": "majority-vote", **options})
        change(run)
        try:
            run.advance(1)
            messages[name] = None
        except ValueError as error:
            messages[name] = str(error)

    def nudge(run):
        run.params[1].data[3] += 1e-6 * rank

    attempt("values", nudge)
    attempt("options", lambda _: None, lr=1e-3 * (1 + rank))
    attempt("seed", lambda _: None, seed=rank)
    for name, value in (("max_scale", 0.5), ("init_batches", 2)):
        attempt(name, lambda _: None, method="dvr-q", **({name: value} if rank else {}))
    attempt("checksum_every", lambda _: None, checksum_every=rank)
    attempt("period", lambda _: None, method="dvr-sign-fs", period=3 + rank)
    attempt("batches", lambda _: None, batch_size=1 + rank)
    attempt("weights", lambda _: None, method="dvr-sign", batch_size=1 + rank)
    later = Run(rank, size, method="majority-vote", checksum_every=2)
    later.advance(2)
    nudge(later)
    try:
        later.advance(1)
        messages["checksum"] = None
    except ValueError as error:
        messages["checksum"] = str(error)
    return messages


def subgroups(rank, size):
    """Two groups of two workers each; every group runs its own descent."""
    import torch.distributed as dist

    pairs = [dist.new_group([0, 1]), dist.new_group([2, 3])]
    mine = pairs[rank // 2]
    run = Run(rank, size, method="dvr-sign", process_group=mine, block_size=16)
    result = numbers(run.advance(4))
    try:
        Run(rank, size, method="dvr-sign", process_group=pairs[1 - rank // 2])
        message = ""
    except ValueError as error:
        message = str(error)
    return result, message


def unequal_groups(rank, size, steps):
    """Groups of three, four and one; path and bytes sent."""
    import torch.distributed as dist

    parts = [(0, 1, 2), (3, 4, 5, 6), (7,)]
    groups = [dist.new_group(list(part)) for part in parts]
    index = next(i for i, part in enumerate(parts) if rank in part)
    options = {"lr": 0.013, "block_size": 24, "radius": 10.0, "weight_decay": 0.1, "init_batches": 2, "seed": 3}
    method = "dvr-sign" if index == 1 else "majority-vote"
    run = Run(parts[index].index(rank), len(parts[index]), method=method, process_group=groups[index], **options)
    path = [flat(run.params), *run.advance(steps)]
    dist.barrier()
    return numbers(path), run.opt.payload_bytes


def streamed_infinity(rank, size, momentum):
    """A vote in which one gradient of rank 1 is infinite: parameters, averages, and what comes later."""
    run = Run(rank, size, method="majority-vote", momentum=momentum, bucket_size=50)
    run.advance(2)
    before, averages = flat(run.params), [s.get("m", torch.zeros(1)).clone() for s in run.opt.rounds.state]
    if rank == 1:
        run.hills.centres[1][2, 350] = float("nan")  # in the last bucket
    run.advance(1)
    after = [s.get("m", torch.zeros(1)) for s in run.opt.rounds.state]
    same = all(torch.equal(a, b) for a, b in zip(averages, after, strict=True))
    return torch.equal(before, flat(run.params)), same, run.opt.skipped_steps, numbers(run.advance(3))


def odd_layouts(rank, size):
    """Votes with gradients that are transposed in memory on rank 1; the path, and that with usual gradients."""
    paths = []
    for odd in (True, False):
        param = nn.Parameter(torch.zeros(24, 50))
        opt = DistributedSign([param], lr=0.1, timeout=30)
        for step in range(3):
            grad = torch.randn(24, 50, generator=torch.Generator().manual_seed(10 * step + rank))
            param.grad = grad.T.contiguous().T if odd and rank == 1 else grad
            opt.step()
        paths.append(param.detach().clone())
    return paths[0].numpy(), paths[1].numpy()


def pretended(rank, size, cases, steps):
    """The same path on the CPU and on a pretended accelerator, whose tensors gloo carries all the same."""
    carry, make = dist.all_to_all_single, torch.tensor

    def carried(out, sent, **options):
        return carry(*(t.inner if isinstance(t, Away) else t for t in (out, sent)), **options)

    def stream(*key, device):
        return private_stream(*key)

    def made(data, *, device="cpu", **options):  # torch.tensor does not ask dispatch modes
        return make(data, **options).to(device)

    torch.tensor, dist.all_to_all_single, methods_module.private_stream = made, carried, stream  # of this process alone
    found = []
    for case in cases:
        here = Run(rank, size, **case).advance(steps)
        with PretendDevice() as device:
            run = Run(rank, size, device="meta", **case)
            there = run.advance(steps)
        tensors = [t for state in run.opt.rounds.state for t in state.values()]
        tensors += [t for state in run.opt.state.values() for t in state.values() if isinstance(t, torch.Tensor)]
        found.append((numbers(here), numbers(there), device.calls, {t.device.type for t in tensors}))
    return found


def gathered(rank, size, methods, steps, direct):
    """Path and bytes by method, when answers go to everyone at once, or through the gather of the backend."""
    found = []
    for name in methods:
        run = Run(rank, size, method=name, lr=0.01, radius=8.0)
        run.opt.rounds.wire.direct = direct
        path = numbers(run.advance(steps))
        wire = run.opt.rounds.wire
        found.append((path, wire.payload_bytes, wire.control_bytes, wire.dense_bytes))
    return found
