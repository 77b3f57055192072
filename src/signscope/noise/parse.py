"""`parse_noise`: a noise law from its text, such as ``student-t:3,0.5``."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.noise.cauchy import Cauchy
from signscope.noise.discrete import Discrete
from signscope.noise.gaussian import Gaussian
from signscope.noise.laplace import Laplace
from signscope.noise.law import NoiseLaw
from signscope.noise.mixture import Mixture
from signscope.noise.none import NoNoise
from signscope.noise.rademacher import Rademacher
from signscope.noise.stable import Stable
from signscope.noise.student_t import StudentT
from signscope.noise.uniform import Uniform


@dataclass(frozen=True)
class _Form:
    """How one law is written."""

    usage: str
    build: Callable[..., NoiseLaw]
    counts: tuple[int, ...]


def _gaussian(*numbers: float) -> NoiseLaw:
    return NoNoise() if numbers == (0.0,) else Gaussian(numbers[-1], *numbers[:-1])


def _cauchy(*numbers: float) -> NoiseLaw:
    return Cauchy(numbers[-1], *numbers[:-1])


_FORMS = {
    "none": _Form("none", NoNoise, (0,)),
    "gaussian": _Form("gaussian:STD or gaussian:MEAN,STD", _gaussian, (1, 2)),
    "rademacher": _Form("rademacher:C", Rademacher, (1,)),
    "uniform": _Form("uniform:C", Uniform, (1,)),
    "laplace": _Form("laplace:B", Laplace, (1,)),
    "cauchy": _Form("cauchy:SCALE or cauchy:LOC,SCALE", _cauchy, (1, 2)),
    "student-t": _Form("student-t:NU or student-t:NU,SCALE", StudentT, (1, 2)),
    "stable": _Form("stable:ALPHA or stable:ALPHA,SCALE", Stable, (1, 2)),
}
_MIXTURE = "mixture:W1,MEAN1,STD1;W2,MEAN2,STD2"
_DISCRETE = "discrete:VALUE1,WEIGHT1;VALUE2,WEIGHT2"
_SCIPY = "scipy:NAME,SHAPES...,LOC,SCALE (any law of scipy.stats)"
USAGE = "; ".join([*(form.usage for form in _FORMS.values()), _MIXTURE, _DISCRETE, _SCIPY])
"""Every way to write a law, for help texts and messages."""


def parse_noise(text: str) -> NoiseLaw:
    """The law that ``text`` names; the inverse of ``law.spec``.

    Args:
        text: ``NAME`` or ``NAME:NUMBERS``; see ``USAGE``. Spaces and the case of NAME do not matter.

    Raises:
        InvalidInput: Unknown name, wrong number of parameters, or a parameter out of range; the message says
            what is allowed.
    """
    if not isinstance(text, str):
        raise InvalidInput(f"noise: parse_noise reads text, got {checks.shown(text)}. Use as_noise.")
    name, _, rest = text.strip().partition(":")
    name, rest = name.strip().lower(), rest.strip()
    if name == "scipy":
        return _scipy(text, [part.strip() for part in rest.split(",")])
    if name in ("mixture", "discrete"):
        return _table(text, name, [_numbers(text, part) for part in rest.split(";")])
    if name == "empirical":
        raise InvalidInput("noise: `empirical` needs the sample itself: pass it as an array instead of text.")
    if name not in _FORMS:
        near = difflib.get_close_matches(name, [*_FORMS, "mixture", "discrete", "scipy"], 1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        raise InvalidInput(f"noise: unknown law {text!r}.{hint} Allowed: {USAGE}.")
    form, numbers = _FORMS[name], _numbers(text, rest)
    if len(numbers) not in form.counts:
        raise InvalidInput(f"noise: {text!r} has {len(numbers)} parameters; write {form.usage}.")
    return _built(text, form.usage, form.build, numbers)


def _numbers(text: str, part: str) -> list[float]:
    try:
        return [float(piece) for piece in part.split(",")] if part.strip() else []
    except ValueError:
        raise InvalidInput(f"noise: the parameters of {text!r} must be numbers. Allowed: {USAGE}.") from None


def _built(text: str, usage: str, build: Callable[..., NoiseLaw], numbers: Sequence[object]) -> NoiseLaw:
    try:
        return build(*numbers)
    except InvalidInput as error:
        raise InvalidInput(f"noise: {text!r} is not a law. {error} Write {usage}.") from error


def _table(text: str, name: str, rows: list[list[float]]) -> NoiseLaw:
    usage, width = (_MIXTURE, 3) if name == "mixture" else (_DISCRETE, 2)
    if any(len(row) != width for row in rows):
        raise InvalidInput(f"noise: {text!r} needs {width} numbers in every part; write {usage}.")
    columns = list(zip(*rows, strict=True))
    if name == "mixture":
        return _built(text, usage, Mixture, columns)
    return _built(text, usage, Discrete, [torch.tensor(column, dtype=torch.float64) for column in columns])


def _scipy(text: str, parts: list[str]) -> NoiseLaw:
    import scipy.stats

    from signscope.noise.convert import from_frozen

    name, numbers = parts[0], _numbers(text, ",".join(parts[1:]))
    law = getattr(scipy.stats, name, None) if name.isidentifier() else None
    if not isinstance(law, scipy.stats.rv_continuous | scipy.stats.rv_discrete):
        known = [n for n in dir(scipy.stats) if hasattr(getattr(scipy.stats, n), "_argcheck")]
        near = ", ".join(difflib.get_close_matches(name, known, 3)) or "norm, t, gamma, poisson"
        raise InvalidInput(f"noise: scipy.stats has no law {name!r} (near: {near}). Write {_SCIPY}.")
    try:
        frozen = law(*numbers)
        frozen.support()
    except (TypeError, ValueError):
        place = "LOC" if isinstance(law, scipy.stats.rv_discrete) else "LOC,SCALE"
        usage = ",".join([f"scipy:{name}", *([law.shapes.replace(" ", "")] if law.shapes else []), place])
        raise InvalidInput(f"noise: {text!r} has the wrong number of parameters; write {usage}.") from None
    return from_frozen(frozen)
