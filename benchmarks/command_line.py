"""What a user waits for: `signscope --help`, `import signscope`, `signscope compare` on the bundled digits.

    python benchmarks/command_line.py [--rounds 5]

Targets on two cores: 0.5 s, 0.3 s, 10 s with at most 2 GB.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time


def timed(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return time.perf_counter() - start


def report(label: str, values: list[float], target: str) -> None:
    print(f"{label:28} {statistics.median(values):7.3f} s ({min(values):.3f} to {max(values):.3f})   target {target}")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    program = [sys.executable, "-m", "signscope"]
    timed([*program, "--help"])  # compiles the byte code
    empty = [timed([sys.executable, "-c", "pass"]) for _ in range(options.rounds)]
    loads = [timed([sys.executable, "-c", "import signscope"]) for _ in range(options.rounds)]
    report("python -c pass", empty, "-")
    report("import signscope", loads, "0.3")
    report("signscope --help", [timed([*program, "--help"]) for _ in range(options.rounds)], "0.5")
    with tempfile.TemporaryDirectory() as folder:
        runs = [timed([*program, "compare", "--out", os.path.join(folder, str(i))]) for i in range(3)]
    report("signscope compare (digits)", runs, "10")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"peak memory of a command      {peak:.2f} GB                      target 2")


if __name__ == "__main__":
    main()
