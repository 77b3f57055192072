"""``tao2026-density-resnet``: noise and gradient density of a ResNet along training."""

from signscope.reproduce.experiment import Findings
from signscope.reproduce.tao2026.conducting import Setup, Size, TrainingExperiment
from signscope.reproduce.tao2026.density import follow

METHODS = ("sgd", "adamw", "signum", "sgd_plain", "signsgd", "muon")
PUBLISHED = (0.7, 0.7)
SIZES = {
    "full": Size("resnet20", "digits", 32, 2.0, points=6, probes=24, num_seeds=1, rows=256),
    "small": Size("resnet20", "digits", 16, 0.035, points=1, probes=8, num_seeds=1, num_rates=1, rows=16),
    "published": Size("resnet20", "", 128, 100.0, points=20, probes=128, num_seeds=1, rows=2_000),
}


def conduct(setup: Setup) -> Findings:
    """SGD with momentum is judged; the other methods are shown."""
    return follow(setup, METHODS, published=PUBLISHED, room=1.4, title="ResNet-20")


run = TrainingExperiment(
    "tao2026-density-resnet",
    SIZES,
    conduct,
    "Chosen here: by default 8 x 8 digits instead of CIFAR-10; group norm instead of batch norm; no augmentation; SGD "
    "with momentum 0.9 is judged; no schedule.",
)
