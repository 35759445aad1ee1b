"""Which parameters decay, the size of the learning rate, and the arithmetic of each optimiser."""

import io
import sys

import pytest
import torch
from torch import Tensor, nn

from service.config.errors import ConfigurationError
from service.config.optimization import AdamWConfig, LAMBConfig, OptimizerChoice, SGDConfig
from service.training.optimizers import (
    apply_configuration,
    build_optimizer,
    parameter_groups,
    peak_learning_rate,
)

CONFIGS = [
    pytest.param(SGDConfig(lr=0.1, weight_decay=0.01), id="sgd"),
    pytest.param(SGDConfig(lr=0.1, momentum=0, weight_decay=0.01), id="sgd-without-momentum"),
    pytest.param(AdamWConfig(lr=0.01, norm_weight_decay=0.1), id="adamw"),
    pytest.param(LAMBConfig(lr=0.01), id="lamb"),
]


def network(memory_format: torch.memory_format = torch.contiguous_format) -> nn.Module:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 3, bias=False), nn.Flatten()
    )
    return model.to(memory_format=memory_format)


def give_gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.empty_like(parameter)
        parameter.grad.copy_(torch.randn(parameter.shape, generator=generator))


def values(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


class Everything(nn.Module):
    """One layer of each sort, in an order that is not the alphabet's."""

    def __init__(self) -> None:
        super().__init__()
        self.zoom = nn.Linear(4, 3)
        self.conv = nn.Conv2d(3, 4, 3)
        self.batch = nn.BatchNorm2d(4)
        self.group = nn.GroupNorm(2, 4)
        self.layer = nn.LayerNorm((4, 5))
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.shared = nn.Linear(4, 3)
        self.shared.weight = self.zoom.weight


def test_decay_groups_are_exactly_the_weights_and_the_rest() -> None:
    config = SGDConfig(weight_decay=0.3, norm_weight_decay=0.2)
    model = Everything()
    decayed, rest = parameter_groups(model, config)
    assert [name for name, _ in decayed["params"]] == ["conv.weight", "zoom.weight"]
    assert [name for name, _ in rest["params"]] == [
        "batch.bias",
        "batch.weight",
        "conv.bias",
        "group.bias",
        "group.weight",
        "layer.bias",
        "layer.weight",
        "shared.bias",
        "zoom.bias",
    ]
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.3, 0.2)
    assert decayed["params"][0][1] is model.conv.weight


def test_parameters_by_name_learn_at_a_rate_of_their_own() -> None:
    model = nn.ModuleDict({"body": nn.Linear(2, 3), "head": nn.Linear(3, 2)})
    config = SGDConfig(lr=0.5, weight_decay=0.3, norm_weight_decay=0.2)
    optimizer = build_optimizer(model, config, 1, {"body.": 0.1, "body.bias": 4.0})
    rates = {
        name: (group["initial_lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for name in group["param_names"]
    }
    assert rates == {
        "head.weight": (0.5, 0.3),
        "head.bias": (0.5, 0.2),
        "body.weight": (0.05, 0.3),
        "body.bias": (2.0, 0.2),
    }
    # The first group is the one whose rate is logged.
    assert optimizer.param_groups[0]["initial_lr"] == 0.5
    apply_configuration(
        optimizer, model, config.model_copy(update={"lr": 1.0}), 1, {"body.": 0.1, "body.bias": 4.0}
    )
    assert [group["initial_lr"] for group in optimizer.param_groups] == [1.0, 1.0, 0.1, 4.0]


@pytest.mark.parametrize(
    ("batch_size", "reference", "expected"),
    [(256, None, 0.5), (1024, 256, 2.0), (64, 256, 0.125), (256, 256, 0.5)],
)
def test_learning_rate_grows_linearly_with_the_batch(
    batch_size: int, reference: int | None, expected: float
) -> None:
    config = SGDConfig(lr=0.5, reference_batch_size=reference)
    assert peak_learning_rate(config, batch_size) == expected
    for group in build_optimizer(network(), config, batch_size).param_groups:
        assert group["lr"] == group["initial_lr"] == expected


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_follows_its_formula(nesterov: bool, momentum: float) -> None:
    model = network()
    config = SGDConfig(lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=0.01)
    optimizer = build_optimizer(model, config, 1)
    w = [value.double() for value in values(model)]
    b = [torch.zeros_like(value) for value in w]
    for t in range(4):
        give_gradients(model, t)
        optimizer.step()
        for i, parameter in enumerate(model.parameters()):
            assert parameter.grad is not None
            # Without nesterov the step is b; with it g + μ·b, b being the new momentum.
            g = parameter.grad.double() + (0.01 if parameter.ndim > 1 else 0.0) * w[i]
            b[i] = momentum * b[i] + g
            w[i] = w[i] - 0.1 * (g + momentum * b[i] if nesterov else b[i])
    for parameter, expected in zip(model.parameters(), w, strict=True):
        torch.testing.assert_close(parameter.double(), expected, rtol=1e-5, atol=1e-6)


def test_momentum_from_zeros_equals_torchs_own_first_step() -> None:
    models = [network(), network()]
    ours = build_optimizer(models[0], SGDConfig(lr=0.1, weight_decay=0), 1)
    theirs = torch.optim.SGD(
        models[1].parameters(), lr=0.1, momentum=0.9, nesterov=True, fused=True
    )
    for t in range(3):
        for model, optimizer in zip(models, (ours, theirs), strict=True):
            give_gradients(model, t)
            optimizer.step()
        for own, other in zip(*(model.parameters() for model in models), strict=True):
            assert torch.equal(own, other)


def test_adamw_follows_its_formula() -> None:
    model = network()
    config = AdamWConfig(lr=0.01, beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.1)
    optimizer = build_optimizer(model, config, 1)
    w = [value.double() for value in values(model)]
    m = [torch.zeros_like(value) for value in w]
    v = [torch.zeros_like(value) for value in w]
    for t in range(1, 5):
        give_gradients(model, t)
        optimizer.step()
        for i, parameter in enumerate(model.parameters()):
            assert parameter.grad is not None
            g = parameter.grad.double()
            m[i] = 0.8 * m[i] + 0.2 * g
            v[i] = 0.95 * v[i] + 0.05 * g**2
            ratio = (m[i] / (1 - 0.8**t)) / ((v[i] / (1 - 0.95**t)).sqrt() + 1e-6)
            w[i] = w[i] * (1 - 0.01 * (0.1 if parameter.ndim > 1 else 0.0)) - 0.01 * ratio
    for parameter, expected in zip(model.parameters(), w, strict=True):
        torch.testing.assert_close(parameter.double(), expected, rtol=1e-5, atol=1e-6)


def test_lamb_equals_timms() -> None:
    timm_lamb = pytest.importorskip("timm.optim.lamb")
    models = [network(), network()]
    config = LAMBConfig(lr=0.01, weight_decay=0.05, norm_weight_decay=0.0)
    ours = build_optimizer(models[0], config, 1)
    weights = [p for p in models[1].parameters() if p.ndim > 1]
    vectors = [p for p in models[1].parameters() if p.ndim == 1]
    theirs = timm_lamb.Lamb(
        [{"params": weights, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}],
        lr=0.01,
        max_grad_norm=None,
    )
    for t in range(5):
        for model, optimizer in zip(models, (ours, theirs), strict=True):
            give_gradients(model, t)
            optimizer.step()
    for own, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-7)


def test_lamb_without_timm_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm.optim.lamb", None)
    monkeypatch.delitem(sys.modules, "service.training.lamb", raising=False)
    with pytest.raises(ConfigurationError, match=r"pip install 'service\[lamb\]'"):
        build_optimizer(network(), LAMBConfig(), 1)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_restored_optimizer_goes_on_with_the_same_bits(config: OptimizerChoice) -> None:
    model = network()
    optimizer = build_optimizer(model, config, 1)
    for t in range(3):
        give_gradients(model, t)
        optimizer.step()
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)

    resumed = network()
    resumed.load_state_dict(model.state_dict())
    resumed_optimizer = build_optimizer(resumed, config, 1)
    resumed_optimizer.load_state_dict(torch.load(file, weights_only=True))
    for t in range(3, 5):
        for each, its in ((model, optimizer), (resumed, resumed_optimizer)):
            give_gradients(each, t)
            its.step()
    for own, other in zip(model.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(own, other)


@pytest.mark.parametrize("config", CONFIGS)
def test_state_saved_in_another_memory_order_meets_the_right_weights(
    config: OptimizerChoice,
) -> None:
    models = [network(torch.channels_last), network(torch.contiguous_format)]
    optimizers = [build_optimizer(model, config, 1) for model in models]
    give_gradients(models[0], 0)
    optimizers[0].step()
    models[1].load_state_dict(models[0].state_dict())
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    for model, optimizer in zip(models, optimizers, strict=True):
        give_gradients(model, 1)
        optimizer.step()
    for own, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)


def test_the_state_of_another_network_is_refused_by_name() -> None:
    small = build_optimizer(nn.Sequential(nn.Linear(2, 2)), SGDConfig(), 1)
    other = build_optimizer(nn.ModuleDict({"head": nn.Linear(2, 2)}), SGDConfig(), 1)
    with pytest.raises(ValueError, match=r"another network: 0\.weight, head\.weight"):
        small.load_state_dict(other.state_dict())


def test_weight_decay_shrinks_only_its_own_group() -> None:
    model = network()
    before = values(model)
    optimizer = build_optimizer(model, SGDConfig(lr=0.5, weight_decay=0.2, momentum=0), 1)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter, old in zip(model.parameters(), before, strict=True):
        factor = 1 - 0.5 * 0.2 if parameter.ndim > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), old * factor)
