"""`Curve`: round trips bit for bit, interpolates, and refuses what it cannot answer."""

import contextlib

import pytest
import torch

from signscope import Curve, InvalidInput

TIME = torch.linspace(0, 2, 5, dtype=torch.float64)


def full() -> Curve:
    value = torch.rand(5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return Curve(
        TIME,
        value,
        stderr=0.1 * value,
        band=(0.5 * value, 2 * value),
        runs=torch.stack([value, value * 1.1]),
        num_runs=2,
        status="inaccurate",
        message="a reason",
        optimizer="signsgd",
        lr=0.3,
        step_size=0.1,
        provenance={"method": "simulation", "options": {"betas": [0.9, 0.999]}, "seed": 3},
    )


def test_saved_and_loaded_is_the_same(tmp_path):
    curve, path = full(), tmp_path / "curve.npz"
    curve.save(path)
    back = Curve.load(path)
    for name in ("time", "value", "stderr", "runs"):
        assert torch.equal(getattr(back, name), getattr(curve, name))
    assert all(torch.equal(a, b) for a, b in zip(back.band, curve.band, strict=True))
    for name in (
        "status",
        "message",
        "optimizer",
        "lr",
        "step_size",
        "num_runs",
        "band_level",
        "time_unit",
        "quantity",
    ):
        assert getattr(back, name) == getattr(curve, name)
    assert back.provenance == curve.provenance


def test_saving_keeps_the_name_it_was_given(tmp_path):
    full().save(tmp_path / "no_suffix")
    assert Curve.load(tmp_path / "no_suffix").final == full().final


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "curve.npz"
    full().save(path)
    whole = path.read_bytes()
    for place in range(40, len(whole), 23):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with contextlib.suppress(InvalidInput):  # or it does not matter
            Curve.load(path)


def test_at_interpolates_and_refuses_to_extrapolate():
    curve = full()
    assert float(curve.at(0.25)) == pytest.approx(float((curve.value[0] + curve.value[1]) / 2))
    assert torch.equal(curve.at(TIME), curve.value)
    with pytest.raises(InvalidInput, match=r"times must lie in \[0, 2\]"):
        curve.at(2.1)
    nothing = torch.zeros(0, dtype=torch.float64)
    with pytest.raises(InvalidInput, match="holds no times"):
        Curve(time=nothing, value=nothing).at(0.0)


def test_frame_has_the_columns_of_the_csv():
    frame = full().to_frame()
    assert list(frame.columns) == ["time", "value", "stderr", "low", "high"]
    assert Curve(TIME, TIME).to_frame()["stderr"].isna().all()


def test_bad_files_and_shapes_get_a_clear_answer(tmp_path):
    with pytest.raises(InvalidInput, match="not a saved curve"):
        Curve.load(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("nothing")
    with pytest.raises(InvalidInput, match="not a saved curve"):
        Curve.load(tmp_path / "text.npz")
    with pytest.raises(InvalidInput, match="equal length"):
        Curve(TIME, TIME[:3])


def test_repr_is_one_readable_line():
    assert "signsgd simulation, lr 0.3, 2 runs" in repr(full())
    assert "\n" not in repr(full())
