"""From options to a problem: data, a named Gaussian problem, or a covariance file."""

from pathlib import Path
from typing import Any

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.problems import (
    BUNDLED,
    LeastSquares,
    bundled,
    features_from_text,
    gaussian_problem,
    load_matrix,
    load_table,
    parse_operator,
    parse_spectrum,
)
from signscope.problems.cost import fits
from signscope.problems.data import NOISES
from signscope.problems.named import NAMED, is_named, named_data

DEFAULT_DATA, DEFAULT_DIM, DEFAULT_SPECTRUM = "digits", 500, "log:0.01,1"
PER_COORDINATE = 8  # numbers at a time that the smallest prediction holds for each coordinate
KINDS = ("data", "gaussian", "covariance")
OPERATOR = "operator"  # --problem NAME:VALUE
_OWN = {
    "data": ("data", "features", "random_features", "center", "scale", "ridge"),
    "gaussian": ("dim", "spectrum", "rotated"),
    "covariance": ("cov",),
    OPERATOR: ("dim", "spectrum"),
}
_OPTION = {"data": "DATA", "center": "--no-center"}
_UNCHANGED = {"rotated": False, "center": True, "scale": "global", "ridge": 1e-6}  # as if the option were not there


def build_problem(options: dict[str, Any]) -> tuple[LeastSquares, dict[str, Any]]:
    """The problem that ``options`` describe, and the options with everything left open filled in.

    Raises:
        InvalidInput: Options that exclude one another, a file that cannot be used, or numbers out of range.
    """
    kind = _kind(options)
    for other in KINDS:
        clash = [name for name in _OWN[other] if name not in _OWN[kind] and _given(name, options)]
        if clash:
            article = "an" if kind == OPERATOR else "a"
            raise InvalidInput(f"{_flag(clash[0])} does not go with {article} {kind} problem; leave it out.")
    filled = {**options, "problem": options["problem"] if kind == OPERATOR else kind}
    checks.integer("--seed", "seed", options["seed"], minimum=0)
    build = {"data": _from_data, "gaussian": _gaussian, "covariance": _covariance, OPERATOR: _operator}
    problem = build[kind](filled)
    return _started(problem, filled), filled


def _kind(options: dict[str, Any]) -> str:
    if options["problem"] is not None and ":" in options["problem"]:
        return OPERATOR
    if options["problem"] is not None:
        return checks.one_of("--problem", "problem", options["problem"], KINDS)
    if options["data"] is not None:
        return "data"
    if options["cov"] is not None:
        return "covariance"
    return "gaussian" if any(_given(name, options) for name in _OWN["gaussian"]) else "data"


def _given(name: str, options: dict[str, Any]) -> bool:
    return options.get(name) not in (None, _UNCHANGED.get(name))


def _flag(name: str) -> str:
    return _OPTION.get(name, f"--{name.replace('_', '-')}")


def _from_data(options: dict[str, Any]) -> LeastSquares:
    options["data"] = options["data"] or DEFAULT_DATA
    options["noise"] = options["noise"] or "empirical"
    checks.one_of("--noise", "noise (on a data set)", options["noise"], NOISES)
    X, y = _load(options)
    words = options.get("random_features")
    if words not in (None, "none"):
        X = features_from_text(X, words, seed=options["seed"])
    return LeastSquares.from_data(
        X,
        y,
        center=options["center"],
        scale=options["scale"],
        ridge=options["ridge"],
        noise=options["noise"],
        seed=options["seed"],
    )


def _load(options: dict[str, Any]) -> tuple[Any, Any]:
    name = options["data"]
    if is_named(name):
        return _load_named(options)
    path, is_bundled = Path(name), name.replace("-", "_") in BUNDLED
    if path.is_file() or (not is_bundled and (path.exists() or path.suffix)):  # a folder of results may have its name
        X, y = load_table(path, options["target"], features=options["features"])
        options["data"] = str(path.resolve())
        if path.suffix.lower() == ".npy" and options["target"] is not None:
            options["target"] = str(Path(options["target"]).resolve())
        return X, y
    if not is_bundled:
        raise InvalidInput(
            f"{name}: there is no such file, and the bundled data sets are {', '.join(BUNDLED)} "
            f"(by name and place: {', '.join(f'{kind}:PATH' for kind in NAMED)})."
        )
    if options["target"] is not None or options["features"] is not None:
        raise InvalidInput(f"{name}: a bundled data set has its own features and target; leave out --target.")
    return bundled(name)


def _load_named(options: dict[str, Any]) -> tuple[Any, Any]:
    """A data set by its name, KIND or KIND:PATH, and the random features that go with it."""
    name = options["data"]
    if options["target"] is not None or options["features"] is not None:
        raise InvalidInput(f"{name}: has its own features and target; leave out --target and --features.")
    X, y, place = named_data(name)
    options["data"] = f"{name.partition(':')[0]}:{place}"
    if options.get("random_features") is None:
        options["random_features"] = NAMED[name.partition(":")[0]].features
    return X, y


def _gaussian(options: dict[str, Any]) -> LeastSquares:
    options["dim"] = DEFAULT_DIM if options["dim"] is None else options["dim"]
    _fits(options["dim"])
    options["spectrum"] = options["spectrum"] or DEFAULT_SPECTRUM
    options["noise"] = options["noise"] or "none"
    return gaussian_problem(
        options["dim"],
        spectrum=options["spectrum"],
        rotated=options["rotated"],
        noise=options["noise"],
        seed=options["seed"],
        target=_vector(options, "target"),
    )


def _fits(dim: int) -> None:
    fits(f"--dim {dim}: the smallest prediction", PER_COORDINATE * dim, "Use a smaller --dim.")


def _covariance(options: dict[str, Any]) -> LeastSquares:
    if options["cov"] is None:
        raise InvalidInput("a covariance problem needs --cov FILE.")
    cov = load_matrix(options["cov"])
    options["cov"] = str(Path(options["cov"]).resolve())
    options["noise"] = options["noise"] or "none"
    return LeastSquares(cov, noise=options["noise"], seed=options["seed"], target=_vector(options, "target"))


def _operator(options: dict[str, Any]) -> LeastSquares:
    """A covariance too large for a file: ``--problem low-rank:16 --dim 1000000``."""
    wanted = DEFAULT_DIM if options["dim"] is None else options["dim"]
    options["dim"] = checks.integer("--dim", "dim", wanted, minimum=2)
    _fits(options["dim"])
    options["noise"] = options["noise"] or "none"
    own = None if options["spectrum"] is None else parse_spectrum(options["spectrum"], options["dim"])
    cov = parse_operator(options["problem"], options["dim"], own=own, seed=options["seed"])
    return LeastSquares(cov, noise=options["noise"], seed=options["seed"], target=_vector(options, "target"))


def _started(problem: LeastSquares, options: dict[str, Any]) -> LeastSquares:
    """The same problem from the start that was asked for."""
    word = options["start"]
    if word in (None, "zeros"):
        return problem
    start = [1.0] * problem.dim if word == "ones" else _vector(options, "start")
    return LeastSquares(
        problem.cov,
        start=start,
        target=problem.target,
        noise=problem.noise,
        seed=problem.seed,
        rows=problem.rows,
        dropped_columns=problem.dropped_columns,
        report=problem.report if problem.rows is not None else "",
    )


def _vector(options: dict[str, Any], name: str) -> Any:
    """A vector from the file that option ``name`` gives, or None."""
    if options[name] is None:
        return None
    vector = load_matrix(options[name])
    options[name] = str(Path(options[name]).resolve())
    return vector
