"""Hugging Face Trainer: one-gradient methods as they are, two-gradient methods through the adapter."""

import pytest
import torch
from torch import nn

from signscope import optim
from signscope._core.errors import InvalidInput

transformers = pytest.importorskip("transformers", reason="the extra `hf` (transformers, accelerate) is not installed")
pytest.importorskip("accelerate", reason="the extra `hf` (transformers, accelerate) is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x, labels):
        return {"loss": (self.layers(x) - labels).square().mean()}


def rows():
    gen = torch.Generator().manual_seed(0)
    return [{"x": torch.randn(4, generator=gen), "labels": torch.randn(1, generator=gen)} for _ in range(24)]


def arguments(folder, **changes):
    options = {"num_train_epochs": 2, "per_device_train_batch_size": 4, "save_strategy": "no", "report_to": []}
    options |= {"use_cpu": True, "disable_tqdm": True, "max_grad_norm": 0.0, "lr_scheduler_type": "constant"}
    return transformers.TrainingArguments(output_dir=str(folder), **{**options, **changes})


@pytest.mark.parametrize("cls", [optim.SignSGD, optim.Signum, optim.Lion, optim.EFSignSGD])
def test_one_gradient_methods_by_class_and_options(tmp_path, cls):
    model = Net()
    before = [p.detach().clone() for p in model.parameters()]
    trainer = transformers.Trainer(
        model, arguments(tmp_path), train_dataset=rows(), optimizer_cls_and_kwargs=(cls, {"lr": 0.01})
    )
    trainer.train()
    assert trainer.optimizer.optimizer.counters["steps"] == 12
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("accumulation", [1, 3])
def test_two_gradient_methods_through_the_adapter_equal_a_plain_loop(tmp_path, accumulation):
    from signscope.optim.trainer import ReplayTrainer

    seen = []

    class Recording(ReplayTrainer):
        def training_step(self, model, inputs, *rest, **more):
            seen.append({k: v.clone() for k, v in inputs.items()})
            return super().training_step(model, inputs, *rest, **more)

    model = Net()
    trainer = Recording(
        model,
        arguments(tmp_path, gradient_accumulation_steps=accumulation),
        train_dataset=rows(),
        optimizer_cls_and_kwargs=(optim.SSVR, {"lr": 0.01, "beta": 0.3}),
    )
    trainer.train()
    assert trainer.optimizer.optimizer.counters["gradient_calls"] == 1 + 2 * (12 // accumulation - 1)
    twin = Net()
    opt = optim.SSVR(twin.parameters(), lr=0.01, beta=0.3)

    def on(batch):
        def closure():
            loss = twin(**batch)["loss"]
            loss.backward()
            return loss

        return closure

    for start in range(0, len(seen), accumulation):
        opt.step([on(batch) for batch in seen[start : start + accumulation]])
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_resumed_training_is_uninterrupted(tmp_path):
    from signscope.optim.trainer import ReplayTrainer

    ends = []
    for resume in (None, str(tmp_path / "checkpoint-6")):
        model = Net()
        trainer = ReplayTrainer(
            model,
            arguments(tmp_path, save_strategy="steps", save_steps=6),
            train_dataset=rows(),
            optimizer_cls_and_kwargs=(optim.SSVR, {"lr": 0.01, "beta": 0.3}),
        )
        trainer.train(resume_from_checkpoint=resume)
        ends.append([p.detach().clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_what_the_adapter_cannot_do_is_refused(tmp_path):
    from signscope.optim.trainer import ReplayTrainer

    with pytest.raises(InvalidInput, match=r"max_grad_norm=1.0 would clip one gradient of two"):
        ReplayTrainer(Net(), arguments(tmp_path, max_grad_norm=1.0), train_dataset=rows())
    half = arguments(tmp_path)
    half.fp16 = True  # on a CPU the arguments themselves refuse it
    with pytest.raises(InvalidInput, match="fp16 needs a loss scale between two passes"):
        ReplayTrainer(Net(), half, train_dataset=rows())
    trainer = ReplayTrainer(Net(), arguments(tmp_path), train_dataset=rows())
    with pytest.raises(InvalidInput, match="the optimizer is AdamW"):
        trainer.train()
