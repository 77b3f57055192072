"""Pictures of the page on distributed experiments: ``python docs/pictures_distributed.py [FOLDER]``.

They are those of `signscope reproduce` at its default size, about ten minutes: too long to be made with the others.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from signscope.reproduce.distributed import FIGURES

HERE = Path(__file__).parent / "reproduce" / "distributed"


def break_even(path: Path) -> None:
    """The vote on links of several rates, about eight minutes; needs Linux with unshare, ip and tc."""
    benchmark = Path(__file__).parents[1] / "benchmarks" / "distributed.py"
    with tempfile.TemporaryDirectory() as results:
        options = ["--rounds", "5", "--gbits", "1", "2.5", "5", "10", "25", "--out", f"{results}/out"]
        subprocess.run([sys.executable, str(benchmark), *options], check=True)
        path.write_bytes(Path(results, "out", "break_even.png").read_bytes())


def main(folder: Path = HERE) -> None:
    """Run the experiments and keep their pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for figure in FIGURES:
        with tempfile.TemporaryDirectory() as results:
            report = figure.load()(results)
            for picture in (path for path in report.files if path.suffix == ".png"):
                name = picture.name.removeprefix("jiang2024-")
                (folder / name).write_bytes(picture.read_bytes())


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
