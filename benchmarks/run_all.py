"""Run every benchmark and print one report; speed claims in the docs are lines of it.

python benchmarks/run_all.py
"""

import platform
import sys
from pathlib import Path

import numpy
import scipy
import torch

import signscope

sys.path.insert(0, str(Path(__file__).parent))
import assumptions
import command_line
import measure
import optim_steps
import risk_curves
import scaling
import schedules
import sdes
import simulation


def main() -> None:
    print(f"{platform.platform()}, {torch.get_num_threads()} threads, Python {platform.python_version()}")
    versions = {"signscope": signscope, "torch": torch, "numpy": numpy, "scipy": scipy}
    print(", ".join(f"{name} {module.__version__}" for name, module in versions.items()), end="\n\n")
    for job in (risk_curves, schedules, scaling, simulation, sdes, assumptions, command_line, optim_steps, measure):
        job.main([])
        print()


if __name__ == "__main__":
    main()
