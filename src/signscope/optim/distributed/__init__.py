"""Sign methods between processes: one bit per coordinate on the wire, equal bit for bit to a single process."""

from signscope.optim.distributed.faults import MessageDamaged, WorkerLost
from signscope.optim.distributed.optimizer import METHODS, DistributedSign
from signscope.optim.distributed.vote_ddp import VoteState, vote_hook
from signscope.optim.distributed.wire import bytes_per_step

__all__ = ["METHODS", "DistributedSign", "MessageDamaged", "VoteState", "WorkerLost", "bytes_per_step", "vote_hook"]
