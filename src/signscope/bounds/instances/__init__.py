"""Problems with exactly known constants that can be run: the hard instances of the lower bounds, and quadratics."""

from signscope.bounds.instances.base import Instance
from signscope.bounds.instances.embedded import Embedded
from signscope.bounds.instances.groove import Groove
from signscope.bounds.instances.hard_sgd import slow_sgd, stuck_sgd
from signscope.bounds.instances.hard_sign import hard_signsgd
from signscope.bounds.instances.path import follow
from signscope.bounds.instances.quadratic import Quadratic, sharp_coordinates

__all__ = [
    "Embedded",
    "Groove",
    "Instance",
    "Quadratic",
    "follow",
    "hard_signsgd",
    "sharp_coordinates",
    "slow_sgd",
    "stuck_sgd",
]
