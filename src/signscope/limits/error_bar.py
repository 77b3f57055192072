"""How far off a curve from Lanczos quadrature may be: the spread over its probes and the last Lanczos steps."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from signscope.curves import Curve
from signscope.limits.coefficients import Setting
from signscope.limits.gaussian import solve_risk
from signscope.limits.modes import Modes, compressed, modes_of
from signscope.limits.quadrature import Nodes, Quadrature
from signscope.problems import LeastSquares
from signscope.schedules import Schedule

_LARGE = 0.01  # a relative error bar beyond this makes a curve inaccurate
_TIMES, _NODES, _RTOL = 25, 384, 1e-5


def with_spectrum(
    curve: Curve, problem: LeastSquares, setting: Setting, schedule: Schedule, *, rtol: float, method: str
) -> Curve:
    """``curve`` with its spectrum named in the provenance and, for a quadrature, with its error bar as ``stderr``."""
    modes = modes_of(problem, setting.kernel, method=method)
    curve = replace(curve, provenance={**curve.provenance, "spectrum": modes.describe()})
    if modes.quadrature is None or curve.quantity != "excess_risk" or curve.failed:
        return curve
    stderr = error_bar(problem, setting, schedule, curve.time, curve.value, modes.quadrature, rtol=max(rtol, _RTOL))
    curve = replace(curve, stderr=stderr)
    worst = float((stderr / curve.value.clamp(min=1e-290)).max())
    if curve.status == "ok" and not worst <= _LARGE:
        return curve.with_status(
            "inaccurate",
            f"the error bar of the quadrature reaches {100 * worst:.2g}% of the risk (`stderr`): "
            f"{modes.quadrature.num_probes} probes and this spectrum allow no better. Use method='dense' where the "
            "matrix can be formed.",
        )
    return curve


def error_bar(
    problem: LeastSquares,
    setting: Setting,
    schedule: Schedule,
    times: Tensor,
    value: Tensor,
    found: Quadrature,
    *,
    rtol: float,
) -> Tensor:
    r"""Standard error of a quadrature's curve at ``times``, shape (num_times,).

    The root of the sum of squares of (i) the standard deviation of the curves from each probe (or each of 8 groups of
    probes) over the root of their number, and (ii) the change of the curve when the last 8 Lanczos steps are left
    out. With p probes the first has p - 1 degrees of freedom: with two it is an order of magnitude, not a confidence
    limit. Relative errors are found at up to 25 times and interpolated.
    """
    picked = torch.linspace(0, len(times) - 1, min(_TIMES, len(times))).round().long().unique()
    lanes = [as_modes(compressed(nodes, _NODES)) for nodes in (found.mean, found.coarse, *found.groups)]
    risks = solve_risk(problem, setting, schedule, times[picked], rtol=rtol, modes=lanes).risk.detach()
    spread = risks[2:].std(0) / len(found.groups) ** 0.5
    relative = torch.hypot(spread, risks[1] - risks[0]) / risks[0].clamp(min=1e-290)
    between = np.interp(times.numpy(), times[picked].numpy(), relative.numpy())
    return torch.from_numpy(between) * value.detach()


def as_modes(nodes: Nodes) -> Modes:
    """Nodes as a set of modes of their own."""
    return Modes(nodes.eigvals, nodes.start, nodes.sources, None, "lanczos")
