"""The hand-computed paths of the specification, to the printed digits."""

import pytest
import torch

from signscope import optim


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def scalar_run(opt, param, slopes, samples, *, buffer):
    seen = []
    for a, s in zip(slopes, samples, strict=True):

        def closure(a=a, s=s):
            loss = (a * param**2 / 2 - s * param).sum()
            loss.backward()
            return loss

        x = param.item()
        opt.zero_grad()
        opt.step(closure)
        seen.append((x, opt.state[param][buffer].item()))
    return torch.tensor(seen)


SAMPLES = (0.5, -0.2, 0.3, 0.1)


@pytest.mark.parametrize(
    ("slopes", "v"),
    [((1, 1, 1, 1), (0.5, 0.575, 0.48125, 0.4359375)), ((1, 2, 0.5, 1.5), (0.5, 0.725, 0.53125, 0.5234375))],
)
def test_ssvr(slopes, v):
    param = torch.nn.Parameter(torch.ones(1))
    seen = scalar_run(optim.SSVR([param], lr=0.1, beta=0.25), param, slopes, SAMPLES, buffer="v")
    assert torch.allclose(seen, torch.tensor([[1, v[0]], [0.9, v[1]], [0.8, v[2]], [0.7, v[3]]]), rtol=1e-14)


def test_signum():
    param = torch.nn.Parameter(torch.ones(1))
    seen = scalar_run(optim.Signum([param], lr=0.1, beta=0.25), param, (1, 1, 1, 1), SAMPLES, buffer="momentum_buffer")
    assert torch.allclose(seen[:, 1], torch.tensor([0.5, 0.65, 0.6125, 0.609375]), rtol=1e-14)


def test_ssvr_fs():
    param = torch.nn.Parameter(torch.ones(1))

    def component(i):
        loss = ((1.0, 3.0)[i] * param**2 / 2 - (0.5, -0.5)[i] * param).sum()
        loss.backward()
        return loss

    opt = optim.SSVRFS(
        [param], lr=0.1, beta=0.5, period=2, full_gradient=lambda: (component(0), component(1), param.grad.div_(2))[0]
    )
    seen = []
    for i in (None, 0, 1, 1, 0):
        x = param.item()
        opt.step(lambda i=i: component(i))
        seen.append((x, opt.state[param]["v"].item(), 2 * x))
    expected = [(1, 2, 2), (0.9, 1.9, 1.8), (0.8, 1.6, 1.6), (0.7, 1.3, 1.4), (0.6, 1.2, 1.2)]
    assert torch.allclose(torch.tensor(seen), torch.tensor(expected), rtol=1e-14)
    assert opt.counters["full_gradients"] == 3
    assert opt.counters["gradient_calls"] == 3 + 2 + 3 + 2  # at a checkpoint the anchor is the current point


def test_ef_signsgd():
    param, grads = torch.nn.Parameter(torch.zeros(3)), torch.tensor([[1, -2, 0.5], [-0.5, 1, 1], [0, 0.3, -2]])
    opt, expected = (
        optim.EFSignSGD([param], lr=0.1),
        [
            (-0.116667, 0.116667, -0.116667),
            (-0.077778, 0.077778, -0.155556),
            (0.002593, -0.002593, -0.075185),
        ],
    )
    for t, x in enumerate(expected):
        param.grad = grads[t].clone()
        opt.step()
        assert torch.allclose(param.detach(), torch.tensor(x), atol=5e-7)
        left = param.detach() - opt.state[param]["error"]
        assert torch.allclose(left, -0.1 * grads[: t + 1].sum(0), atol=1e-15)


def test_lion():
    param = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
    opt = optim.Lion([param], lr=0.01, weight_decay=0.1)
    table = [
        ((1, 0.2), (0.989, -1.009), (0.01, 0.002)),
        ((-3, 0.1), (0.998011, -1.017991), (-0.0201, 0.00298)),
        ((-8, -0.3), (1.007013, -1.006973), (-0.099899, -0.0000498)),
    ]
    for grad, x, m in table:
        param.grad = torch.tensor(grad)
        opt.step()
        assert torch.allclose(param.detach(), torch.tensor(x), atol=5e-7)
        assert torch.allclose(opt.state[param]["momentum_buffer"], torch.tensor(m), atol=5e-10)


def stationary(beta, *, same_sample):
    """Mean square of v at a fixed point of unit noise (lr = 0), with one or two samples per step."""
    size, gen = 20_000, torch.Generator().manual_seed(0)
    param = torch.nn.Parameter(torch.zeros(size))
    opt = optim.SSVR([param], lr=0.0, beta=beta, check_every=None)
    for _ in range(int(8 / beta)):
        noise = [torch.randn(size, generator=gen) for _ in range(2)]

        def closure(noise=noise):
            sample = noise[0] if same_sample else noise.pop()
            loss = (sample * param).sum()
            loss.backward()
            return loss

        opt.step(closure)
    square = opt.state[param]["v"].square()
    return square.mean(), square.std() / size**0.5


@pytest.mark.parametrize("beta", [0.3, 0.1])
def test_stationary_variance_of_ssvr_needs_the_same_sample(beta):
    for same, theory in ((True, beta / (2 - beta)), (False, (1 + (1 - beta) ** 2) / (beta * (2 - beta)))):
        mean, stderr = stationary(beta, same_sample=same)
        assert abs(mean - theory) < 4.5 * stderr


def test_without_noise_ssvr_holds_the_exact_gradient():
    gen = torch.Generator().manual_seed(2)
    param = torch.nn.Parameter(torch.randn(50, generator=gen))

    def closure():
        loss = (torch.cos(param) + param**2).sum()
        loss.backward()
        return loss

    opt = optim.SSVR([param], lr=0.01, beta=0.03)
    for _ in range(40):
        opt.step(closure)
        x = opt.state[param]["x_prev"]
        assert torch.allclose(opt.state[param]["v"], 2 * x - torch.sin(x), atol=1e-12)


def test_with_one_component_ssvr_fs_holds_the_exact_gradient():
    param = torch.nn.Parameter(torch.linspace(-1, 1, 7))

    def closure():
        loss = (torch.cos(param) + param**2).sum()
        loss.backward()
        return loss

    opt = optim.SSVRFS([param], lr=0.01, beta=0.03, period=5, full_gradient=closure)
    for _ in range(17):
        opt.step(closure)
        x = opt.state[param]["x_prev"]
        assert torch.allclose(opt.state[param]["v"], 2 * x - torch.sin(x), atol=1e-12)


def test_error_of_ssvr_follows_its_recursion_and_stays_below_the_bound():
    """E e^2 of (5.2), with noise 2 xi + zeta x / 2 per coordinate: sigma^2 = 4 + x^2 / 4, and M is 1/2."""
    dim, beta, lr, num_steps, gen = 256, 0.05, 0.02, 600, torch.Generator().manual_seed(0)
    param = torch.nn.Parameter(torch.full((dim,), 3.0))
    opt = optim.SSVR([param], lr=lr, beta=beta, check_every=None)
    errors, expected, before = [], [], None
    for _ in range(num_steps):
        noise = torch.randn(2, dim, generator=gen)

        def closure(noise=noise):
            param.grad = (_slope(param) + 2 * noise[0] + 0.5 * noise[1] * param).detach()
            return 0.0

        x = param.detach().clone()
        opt.step(closure)
        errors.append((opt.state[param]["v"] - _slope(x)).square().sum())
        if before is None:
            variance = 4 + x**2 / 4
        else:
            variance = (1 - beta) ** 2 * variance + 4 * beta**2 + (x - (1 - beta) * before) ** 2 / 4
        expected.append(variance.sum())
        before = x
    late = slice(100, None)  # forgetting the first gradient takes 1 / beta steps
    measured, predicted = (torch.stack(series)[late].mean() for series in (errors, expected))
    assert measured.item() == pytest.approx(predicted.item(), rel=4.5 * (2 / (dim * num_steps * beta)) ** 0.5)
    sigma2 = dim * (4 + 9 / 4)
    bound = (2 * beta**2 * sigma2 + 2 * (1 - beta) ** 2 * dim * 0.25 * lr**2) / (beta * (2 - beta))
    assert measured < bound
    assert measured > 0.3 * bound


def _slope(x):
    return 0.2 * x + 0.9 * torch.sin(1.5 * x)
