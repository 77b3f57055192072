"""A noise report in words and columns."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signscope.measure.noise_layer import LayerNoise
    from signscope.measure.noise_report import NoiseReport

SHOWN = 40  # layers in the table; to_frame() has all
_HEADER = ("layer", "dim", "density", "95%", "sigma1", "sigma2", "unseen", "phase 1/2/3", "kurtosis", "tail")


def described(report: "NoiseReport") -> str:
    """The table by layer and the notes."""
    shown = sorted(report.layers, key=lambda layer: -layer.sigma1)[:SHOWN]
    kept = {layer.name for layer in shown}
    rows = [_row(layer) for layer in report.layers if layer.name in kept]
    if len(report.layers) > SHOWN:
        rows.append((f"({len(report.layers) - SHOWN} layers with less noise)", *[""] * (len(_HEADER) - 1)))
    rows += [_row(layer) for layer in report.all_rows()[len(report.layers) :]]
    return "\n".join([*_aligned([_HEADER, *rows]), "", *_notes(report)])


def _row(layer: "LayerNoise") -> tuple[str, ...]:
    name = f"{layer.name} (embedding)" if layer.embedding else layer.name
    phases = "/".join(f"{100 * share:.0f}" for share in layer.phases)
    unseen = f"{100 * layer.never_seen / layer.dim:.1f}%"
    interval = f"{layer.density_low:.3f}-{layer.density_high:.3f}"
    numbers = (f"{layer.density:.3f}", interval, f"{layer.sigma1:.3g}", f"{layer.sigma2:.3g}", unseen, phases)
    return name, str(layer.dim), *numbers, f"{layer.tails.kurtosis:.1f}", f"{layer.tails.hill:.1f}"


def _aligned(table: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[j]) for row in table) for j in range(len(table[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in table
    ]


def _notes(report: "NoiseReport") -> list[str]:
    whole = report.overall
    lines = [_what(report), _seen(report)]
    lines.append(
        f"Density {whole.density:.3g} (isotropic Gaussian noise has 1): worst-case bounds of SGD and signSGD differ by "
        f"at most 8/density = {8 / whole.density:.3g} through noise (separable losses). A bound, not a forecast."
        if whole.density > 0
        else "No noise: every batch gave the same gradient."
    )
    scale = f"{whole.noise_scale:.4g} samples" if whole.grad_signal > 0 else "not resolved: the mean gradient is noise"
    lines.append(
        f"Gradient: l1 norm between {whole.grad_l1_low:.4g} and {whole.grad_l1:.4g}, density {whole.grad_density:.3g}, "
        f"{100 * whole.grad_signal:.0f}% of its square is signal; simple noise scale {scale}."
        if whole.grad_l1 > 0
        else "Gradient: the mean over the batches is zero."
    )
    if whole.tails.asymmetry > 0.05:
        lines.append(
            f"The noise is not symmetric (asymmetry {whole.tails.asymmetry:.2g}): signSGD with small batches stops "
            "where the median of the gradient is 0, not its mean."
        )
    return lines


def _what(report: "NoiseReport") -> str:
    mode = (
        "eval mode: noise of the data alone"
        if report.mode == "eval"
        else "train mode: what the optimizer sees" + (", dropout included" if report.random_loss else "")
    )
    unit = "per-sample gradients" if report.samples == "each" else f"batches of {report.batch_size:.4g}"
    who = f" on {report.num_processes} processes" if report.num_processes > 1 else ""
    return (
        f"{report.num_gradients} {unit}{who}, {mode}; loss {report.loss:.5g}. sigma is per sample; phases belong to "
        f"batch size {report.batch_size:.4g}; {report.bytes_per_parameter:.0f} bytes per parameter."
    )


def _seen(report: "NoiseReport") -> str:
    whole, said = report.overall, []
    if report.num_batches < report.num_asked:
        said.append(f"{report.num_batches} of {report.num_asked} batches were used.")
    if report.num_refused:
        said.append(f"{report.num_refused} batches refused: not finite, first in {report.first_refused}.")
    if report.frozen:
        said.append(f"{report.frozen} frozen tensors left out.")
    rare = (whole.never_seen + whole.seen_once) / whole.dim
    said.append(
        f"{whole.never_seen} coordinates never had a gradient, {whole.seen_once} had one once"
        + (": the density is too low by an unknown amount; use more or larger batches." if rare > 0.05 else ".")
    )
    return " ".join(said)
