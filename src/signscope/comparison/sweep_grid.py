"""The grid of a sweep: lists of values in, checked, the product of them out."""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.status import PREDICTED
from signscope.comparison.sweep_cell import AUTO, Cell
from signscope.noise import as_noise
from signscope.problems import BUNDLED, load_table
from signscope.problems.cost import fits
from signscope.problems.data import NOISES, SCALES, prepare
from signscope.problems.spectra import parse_spectrum
from signscope.problems.tables import as_table

WHO = "sweep"
Rates = tuple[float | None, ...]


@dataclass(frozen=True)
class Grid:
    """A sweep, checked: the axes as tuples, then what all cells share."""

    dim: tuple[int | None, ...]
    spectrum: tuple[str | None, ...]
    noise: tuple[str, ...]
    optimizers: tuple[str, ...]
    lr: dict[str, Rates]
    batch_size: tuple[int, ...]
    seed: tuple[int, ...]
    data: str | None
    target: str | None
    scale: str | None
    rotated: bool
    betas: tuple[float, float]
    horizon: float
    num_runs: int

    def cells(self) -> list[Cell]:
        """Every combination, rates changing fastest; SGD and signSGD do not depend on the averages."""
        axes = itertools.product(self.seed, self.dim, self.spectrum, self.noise, self.batch_size, self.optimizers)
        return [
            Cell(
                data=self.data,
                target=self.target,
                scale=self.scale,
                dim=dim,
                spectrum=spectrum,
                rotated=self.rotated,
                noise=noise,
                optimizer=optimizer,
                lr=lr,
                batch_size=batch_size,
                beta1=self.betas[0] if optimizer in ("adam", "signum") else 0.0,
                beta2=self.betas[1] if optimizer == "adam" else 0.0,
                horizon=self.horizon,
                num_runs=self.num_runs,
                seed=seed,
            )
            for seed, dim, spectrum, noise, batch_size, optimizer in axes
            for lr in self.lr[optimizer]
        ]

    def options(self) -> dict[str, Any]:
        """The sweep, ready for JSON; a data file with the digest of its content: another content, another sweep."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        plain["lr"] = {name: [AUTO if v is None else v for v in values] for name, values in self.lr.items()}
        if self.data is not None and Path(self.data).is_file():
            plain["digest"] = digest_of(self.data, self.target)
        return plain


def digest_of(data: str, target: str | None = None) -> str:
    """The content of a data file, and of the file of its target if it has one, in 64 letters; empty without a file."""
    files = [Path(data)]
    if target is not None and _has_target_file(data):
        files.append(Path(target))
    if not all(path.is_file() for path in files):
        return ""
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _has_target_file(data: str) -> bool:
    return Path(data).suffix.lower() == ".npy"


def make_grid(
    *,
    data: Any,
    target: Any,
    scale: Any,
    dim: Any,
    spectrum: Any,
    rotated: Any,
    noise: Any,
    optimizers: Any,
    lr: Any,
    batch_size: Any,
    betas: Any,
    horizon: Any,
    num_runs: Any,
    seed: Any,
) -> Grid:
    """The grid behind the arguments of `run_sweep`; every value of every list is checked here, before any work.

    Raises:
        InvalidInput: A value is out of range, stands twice in its list, or does not go with the others.
    """
    names = tuple(checks.one_of(WHO, "optimizers", name, PREDICTED) for name in _listed("optimizers", optimizers))
    if data is None:
        shape = _gaussian_axes(dim, spectrum, noise, target, scale)
    else:
        shape = _data_axes(data, target, scale, dim, spectrum, rotated, noise)
    return Grid(
        **shape,
        optimizers=names,
        lr=_rates(lr, names),
        batch_size=_whole_numbers("batch_size", batch_size, minimum=1),
        seed=_whole_numbers("seed", seed, minimum=0),
        rotated=bool(rotated),
        betas=checks.betas(WHO, betas),
        horizon=checks.positive(WHO, "horizon", horizon, unit="(steps/dim)"),
        num_runs=checks.integer(WHO, "num_runs", num_runs, minimum=0),
    )


def _gaussian_axes(dim: Any, spectrum: Any, noise: Any, target: Any, scale: Any) -> dict[str, Any]:
    if target is not None:
        raise InvalidInput(f"{WHO}: `target` names the y of a data set; a Gaussian problem draws its own.")
    if scale not in (None, "global"):
        raise InvalidInput(f"{WHO}: `scale` is for the columns of a data set; leave it out.")
    dims = _whole_numbers("dim", 500 if dim is None else dim, minimum=1)
    spectra = _texts("spectrum", "log:0.01,1" if spectrum is None else spectrum)
    fits(f"{WHO}: `dim` {max(dims)}: the smallest prediction", 8 * max(dims), "Use smaller ones.")
    for text, size in itertools.product(spectra, dims):
        parse_spectrum(text, size)
    laws = _listed("noise", [as_noise(law).spec for law in _listed("noise", "none" if noise is None else noise)])
    for law in laws:
        as_noise(law)  # a law without a text of its own cannot travel to another process
    nothing = dict.fromkeys(("data", "target", "scale"))
    return {"dim": dims, "spectrum": spectra, "noise": laws, **nothing}


def _data_axes(data: Any, target: Any, scale: Any, dim: Any, spectrum: Any, rotated: Any, noise: Any) -> dict[str, Any]:
    for name, value in (("dim", dim), ("spectrum", spectrum), ("rotated", rotated or None)):
        if value is not None:
            raise InvalidInput(f"{WHO}: `{name}` does not go with a data set; leave it out.")
    laws = tuple(checks.one_of(WHO, "noise", law, NOISES) for law in _listed("noise", noise or "empirical"))
    scale = checks.one_of(WHO, "scale", scale, SCALES)
    name = str(data)
    if name.replace("-", "_") in BUNDLED and not Path(name).is_file():  # a folder of results may have its name
        if target is not None:
            raise InvalidInput(f"{WHO}: a bundled data set has its own target; leave `target` out.")
    elif not Path(name).exists():
        raise InvalidInput(f"{WHO}: there is no file {name!r}, and the bundled data sets are {', '.join(BUNDLED)}.")
    else:
        prepare(as_table(*load_table(Path(name), target)), center=True, scale=scale)
        name = str(Path(name).resolve())
        target = str(Path(target).resolve()) if _has_target_file(name) else target
    return {"dim": (None,), "spectrum": (None,), "noise": laws, "data": name, "target": target, "scale": scale}


def _rates(lr: Any, names: Sequence[str]) -> dict[str, Rates]:
    """Rates by optimizer; one list stands for all, and who has none gets its best rate."""
    if not isinstance(lr, Mapping):
        lr = dict.fromkeys(names, AUTO if lr is None else lr)
    unknown = [name for name in lr if name not in names]
    if unknown:
        raise InvalidInput(f"{WHO}: `lr` names {unknown[0]!r}, which is not among the optimizers {list(names)}.")
    wanted = {name: _listed(f"lr of {name}", lr.get(name, AUTO)) for name in names}
    return {
        name: _listed(
            f"lr of {name}",
            [None if v is None or v == AUTO else checks.positive(WHO, f"lr of {name}", v) for v in values],
        )
        for name, values in wanted.items()
    }


def _whole_numbers(name: str, value: Any, *, minimum: int) -> tuple[int, ...]:
    return tuple(checks.integer(WHO, name, v, minimum=minimum) for v in _listed(name, value))


def _texts(name: str, value: Any) -> tuple[str, ...]:
    values = _listed(name, value)
    for v in values:
        if not isinstance(v, str):
            raise InvalidInput(f"{WHO}: `{name}` must be text, got {v!r}.")
    return values


def _listed(name: str, value: Any) -> tuple[Any, ...]:
    """One value or several, as a tuple without repetitions."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    values = tuple(value) if several or hasattr(value, "tolist") else (value,)
    if not values:
        raise InvalidInput(f"{WHO}: `{name}` needs at least one value.")
    twice = [v for i, v in enumerate(values) if v in values[:i]]
    if twice:
        raise InvalidInput(f"{WHO}: `{name}` holds {twice[0]!r} twice.")
    return values
