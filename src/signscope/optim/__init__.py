"""Sign-based optimizers with the manners of torch.optim, each tested against its rule in `signscope.rules`."""

from signscope.optim.coarse import CoarseDifferences
from signscope.optim.distributed import DistributedSign
from signscope.optim.ef_signsgd import EFSignSGD
from signscope.optim.full_gradient import FullGradient
from signscope.optim.lion import Lion
from signscope.optim.muon import Muon
from signscope.optim.precision import StuckWeights
from signscope.optim.signsgd import SignSGD
from signscope.optim.signsvrg import SignSVRG
from signscope.optim.signum import Signum
from signscope.optim.spider_sign import SpiderSign
from signscope.optim.ssvr import SSVR
from signscope.optim.ssvr_fs import SSVRFS

SSVR_FS = SSVRFS

__all__ = [
    "SSVR",
    "SSVRFS",
    "SSVR_FS",
    "CoarseDifferences",
    "DistributedSign",
    "EFSignSGD",
    "FullGradient",
    "Lion",
    "Muon",
    "SignSGD",
    "SignSVRG",
    "Signum",
    "SpiderSign",
    "StuckWeights",
]
