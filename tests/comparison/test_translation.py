"""Rescaling and translating: what is computed, against recursions and runs, and how certain the answers are."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest

from signscope._core.errors import InvalidInput, Unsupported
from signscope.comparison.lr_moves import matching_lr
from signscope.comparison.translation import rescale, translate
from signscope.problems.landscapes import Quadratic
from signscope.sdes import expected

ISSUE = {"lr": 3e-4, "betas": (0.9, 0.95), "weight_decay": 0.1, "batch_size": 256, "to_batch_size": 2048}


@dataclass(frozen=True)
class Report:
    """A report in which ``share`` of the coordinates have |z| = ``ratio`` at ``batch_size``, the others none."""

    ratio: float
    batch_size: float = 256.0
    resolution: float = 0.01
    share: float = 1.0
    sigma1: float = 30.0
    sigma2: float = 2.0

    def phases_at(self, batch_size):
        z = self.ratio * math.sqrt(batch_size / self.batch_size)
        return (0.0, 0.0, 1.0) if z < math.sqrt(2) else (self.share, 0.0, 1 - self.share)


def test_the_line_of_the_issue():
    found = rescale("adamw", **ISSUE)
    assert found.lr == pytest.approx(3e-4 * math.sqrt(8))
    assert found.betas == pytest.approx((0.2, 0.6))
    assert found.weight_decay == pytest.approx(0.1 * math.sqrt(8))
    assert found.eps == pytest.approx(1e-8 / math.sqrt(8))
    assert found.regime.status == "assumed"
    assert math.isnan(found.speed)
    text = str(found)
    for piece in ("square-root rule", "Valid: noise dominates", "Outside: ", "assumed, not checked", "beta1' = 0.2"):
        assert piece in text
    assert json.loads(json.dumps(found.summary()))["speed"] is None


@pytest.mark.parametrize(
    ("measured", "status"),
    [
        (0.05, "inside"),
        (0.3, "borderline"),
        (1.0, "outside"),
        (Report(0.05), "inside"),
        (Report(0.3), "borderline"),
        (Report(2.0), "outside"),
        (Report(2.0, share=0.05), "inside"),
        (Report(0.5, resolution=0.3), "not resolved"),
        (Report(0.05, resolution=0.3), "inside"),
    ],
)
def test_never_more_certain_than_the_measurement(measured, status):
    found = rescale("adamw", **ISSUE, signal_to_noise=measured)
    assert found.regime.status == status
    assert math.isnan(found.speed) == (status == "not resolved")
    if status == "not resolved":
        assert "cannot be told from noise" in str(found)


def test_a_report_is_read_at_the_batch_of_the_run():
    small = rescale("signsgd", lr=1e-3, batch_size=16, to_batch_size=64, signal_to_noise=Report(0.4))
    assert small.regime.ratio == pytest.approx(0.1, rel=0.3)
    assert small.regime.status == "inside"
    assert small.regime.resolution == pytest.approx(0.01 / 4)  # a sixteenth of the batch of 256


@pytest.mark.parametrize("optimizer", ["signsgd", "adam"])
def test_predicted_speed_is_what_the_recursion_shows(optimizer):
    """A steady gradient, hence a steady ratio: a shallow slope far from its minimum."""
    ratio, delta, lr = 0.5, 16, 1e-3
    found = rescale(optimizer, lr=lr, batch_size=1, to_batch_size=delta, signal_to_noise=ratio,
                    **({"betas": (0.0, 0.99)} if optimizer == "adam" else {}))  # fmt: skip
    moved = []
    for d, rate in ((1, lr), (delta, found.lr)):
        run = expected(
            Quadratic([1e-3]), [1e3], optimizer=optimizer, noise=1 / ratio / math.sqrt(d), lr=rate,
            num_steps=320 // d, betas=(0.0, 0.99) if d == 1 else (0.0, 0.84), bias_correction=False,
        )  # fmt: skip
        moved.append(1e3 - float(run.mean[-1, 0]))
    assert moved[1] / moved[0] == pytest.approx(found.speed, rel=0.01)
    assert found.speed < 0.75


@pytest.mark.parametrize(("source", "target"), [("adamw", "signsgd"), ("sgd", "adam"), ("signsgd", "sgd")])
@pytest.mark.parametrize(("at", "start", "steps"), [("loss", 0.0, 2500), ("slope", 0.05, 30)])
def test_equal_loss_and_equal_slope_by_the_recursions(source, target, at, start, steps):
    std, lr = 5.0, 1e-3 if source != "sgd" else 2e-4
    found = translate(source, to=target, lr=lr, noise=std, at=at)
    ends = []
    for name, rate in ((source, lr), (target, found.lr)):
        run = expected(
            Quadratic([20.0]), [start], optimizer=name, noise=std, lr=rate, betas=(0.0, 0.99), num_steps=steps,
            bias_correction=False,
        )  # fmt: skip
        ends.append(float(run.loss.value[-1]) if at == "loss" else 1 - float(run.mean[-1, 0]) / start)
    assert ends[1] == pytest.approx(ends[0], rel=0.03)
    assert ends[0] > 0


def test_the_slope_to_decay_ratio_is_kept():
    found = translate("adamw", to="signsgd", lr=1e-3, weight_decay=0.2, at="slope")
    assert found.lr * found.weight_decay == pytest.approx(1e-3 * 0.2)
    assert found.lr == pytest.approx(1e-3 * math.sqrt(math.pi / 2))
    assert translate("adamw", to="signsgd", lr=1e-3, weight_decay=0.2).lr == pytest.approx(
        1e-3 * math.sqrt(2 / math.pi)
    )


def long_run(step, *, lr, std, runs=3000, steps=1500):
    rng, x, total = np.random.default_rng(8), np.zeros(runs), []
    m = v = None
    for k in range(steps):
        g = x + std * rng.standard_normal(runs)
        m = g if m is None else 0.9 * m + 0.1 * g
        v = std**2 * np.ones(runs) if v is None else 0.995 * v + 0.005 * g**2
        x = x - lr * (np.sign(m) if step == "signum" else m / np.sqrt(v))
        if k > steps // 2 and k % 50 == 0:
            total.append(0.5 * np.mean(x * x))
    return float(np.mean(total))


def test_adam_to_signum_by_running_both():
    lr, std = 0.03, 6.0
    found = translate("adam", to="signum", lr=lr)
    assert found.lr / lr == pytest.approx(0.26191, abs=1e-4)
    assert found.other_lr / lr == pytest.approx(0.28753, abs=1e-4)
    adam = long_run("adam", lr=lr, std=std)
    assert long_run("signum", lr=found.lr, std=std) == pytest.approx(adam, rel=0.08)  # 3000 runs: 2.6% each
    assert long_run("signum", lr=lr * math.sqrt(2 / math.pi), std=std) > 2 * adam  # teeth: signSGD's factor


def test_a_report_pairs_sgd_and_signs_as_the_advice_does():
    report = Report(0.01)
    found = translate("sgd", to="signsgd", lr=0.1, noise=report)
    assert found.lr == pytest.approx(matching_lr(0.1, sigma1=30.0, sigma2=2.0, batch_size=256.0))
    assert math.isnan(found.other_lr)
    assert found.regime == translate("sgd", to="signsgd", lr=0.1, noise=report, signal_to_noise=report).regime
    assert found.regime.status == "inside"
    assert translate("sgd", to="signsgd", lr=0.1, noise=report, signal_to_noise=9.0).regime.status == "outside"
    with pytest.raises(Unsupported, match="at='loss'"):
        translate("sgd", to="signsgd", lr=0.1, noise=report, at="slope")


def test_where_the_gradient_dominates_equal_rates_move_equally():
    found = translate("adam", to="signsgd", lr=1.0, signal_to_noise=50.0)
    assert found.regime.status == "outside"
    assert found.speed == pytest.approx(found.lr, rel=1e-3)
    assert translate("adam", to="adam", lr=0.5).lr == 0.5


def test_noise_cancels_without_sgd_and_that_is_said():
    found, plain = translate("adam", to="signsgd", lr=1.0, noise=0.5), translate("adam", to="signsgd", lr=1.0)
    assert found.lr == plain.lr
    assert set(found.cautions) - set(plain.cautions) == {
        "The noise std was not needed: it cancels between adam and signsgd."
    }


def test_two_rules_for_signum():
    linear = rescale("signum", lr=1e-3, momentum=0.99, batch_size=32, to_batch_size=128, keep_memory=True)
    assert (linear.lr, linear.momentum) == pytest.approx((4e-3, 0.96))
    root = rescale("signum", lr=1e-3, momentum=0.99, batch_size=32, to_batch_size=128, signal_to_noise=0.1)
    assert (root.lr, root.momentum) == pytest.approx((2e-3, 0.99))
    assert root.regime.status == "outside"  # the average is 14 times quieter than a batch
    quiet = math.sqrt(1.99 / 0.01 / 2)
    per_sample = math.erf(0.2 * quiet) / math.erf(0.1 * quiet) / 2  # twice the rate for four times the samples
    assert root.speed == pytest.approx(per_sample)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rescale("lion", lr=1, batch_size=1, to_batch_size=2), "rescale: no rule for optimizer 'lion'"),
        (lambda: rescale("sgd", lr=0, batch_size=1, to_batch_size=2), "`lr`"),
        (lambda: rescale("sgd", lr=1, batch_size=0, to_batch_size=2), "`batch_size`"),
        (lambda: rescale("sgd", lr=1, batch_size=1, to_batch_size=math.inf), "`to_batch_size`"),
        (lambda: rescale("sgd", lr=1, batch_size=1, to_batch_size=2, betas=(0.9, 0.9)), "`betas` is not an option"),
        (lambda: rescale("adam", lr=1, batch_size=1, to_batch_size=2, momentum=0.9), "`momentum` is not an option"),
        (lambda: rescale("adam", lr=1, batch_size=1, to_batch_size=2, keep_memory=True), "`keep_memory`"),
        (lambda: rescale("adam", lr=1, batch_size=1, to_batch_size=99), "at most"),
        (lambda: rescale("adam", lr=1, batch_size=1, to_batch_size=2, signal_to_noise="big"), "`signal_to_noise`"),
        (lambda: translate("sgd", to="adam", lr=0.1), "`noise` is needed"),
        (lambda: translate("adam", to="lion", lr=0.1), "translate: no rule"),
        (lambda: translate("adam", to="signum", lr=0.1, momentum=1.0), "betas|momentum"),
        (lambda: translate("adam", to="signsgd", lr=0.1, momentum=0.9), "`momentum` belongs"),
        (lambda: translate("sgd", to="adam", lr=0.1, betas=(0.9, 0.9), noise=1.0), "`betas` are those"),
        (lambda: translate("adam", to="signsgd", lr=0.1, at="speed"), "`at`"),
        (lambda: translate("sgd", to="adam", lr=0.1, noise=True), "`noise`"),
        (lambda: translate("adam", to="signsgd", lr=0.1, noise=math.nan), "`noise`"),
        (lambda: translate("adam", to="signsgd", lr=0.1, batch_size=-5.0), "`batch_size`"),
        (lambda: translate("adam", to="signsgd", lr=0.1, batch_size=-5.0, signal_to_noise=Report(0.1)), "`batch_size`"),
        (lambda: rescale("signum, memory kept", lr=1, batch_size=1, to_batch_size=2), "`keep_memory`"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()


@pytest.mark.parametrize(("mean", "status"), [(0.002, "inside"), (2.0, "outside")])
def test_a_real_report_on_gradients_of_known_ratio(mean, status, tmp_path):
    import torch

    from signscope.measure.measuring import gradient_noise
    from signscope.measure.noise_report import NoiseReport

    rows = torch.randn(1600, 40, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + mean / 4
    model = torch.nn.Linear(40, 1, bias=False).double()  # its gradient is the mean row of a batch: |z| = mean
    report = gradient_noise(
        model, lambda m, batch: (batch @ m.weight[0]).mean(), list(rows.split(16)), num_batches=100
    )  # fmt: skip
    report.save(tmp_path / "noise.json")
    again = NoiseReport.load(tmp_path / "noise.json")
    found = rescale("signsgd", lr=1e-3, batch_size=16, to_batch_size=32, signal_to_noise=again)
    assert found.regime.status == status
    assert found.regime.resolution == pytest.approx(0.1)
    coarse = rescale("signsgd", lr=1e-3, batch_size=16, to_batch_size=256, signal_to_noise=again)
    assert coarse.regime.status == ("not resolved" if status == "inside" else "outside")
