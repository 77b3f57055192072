"""``tao2026-density-gpt2``: noise and gradient density of a GPT along training."""

from signscope.reproduce.experiment import Findings
from signscope.reproduce.tao2026.conducting import Setup, Size, TrainingExperiment
from signscope.reproduce.tao2026.density import follow

METHODS = ("adamw", "sgd", "signum")
PUBLISHED = (0.3, 0.03)
SIZES = {
    "full": Size("gpt-tiny", "shakespeare", 8, 2.0, points=8, probes=32, num_seeds=1),
    "small": Size("gpt-tiny", "shakespeare", 8, 0.035, points=1, probes=8, num_seeds=1, num_rates=1, rows=8),
    "published": Size(
        "gpt2", "", 480, 1.0, points=20, probes=128, num_seeds=1, micro_batch=16, precision="bfloat16", rows=480
    ),
}


def conduct(setup: Setup) -> Findings:
    """AdamW is judged; SGD and Signum are shown."""
    return follow(setup, METHODS, published=PUBLISHED, room=2.0, title="GPT")


run = TrainingExperiment(
    "tao2026-density-gpt2",
    SIZES,
    conduct,
    "Chosen here: by default a GPT of 107,000 weights on characters instead of 124 million on GPT-2 tokens, whose "
    "50,257 embedding rows are rarely active; AdamW is judged; no warm-up, no schedule, no dropout.",
)
