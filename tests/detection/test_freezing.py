"""Frozen stages compute as in evaluation; trained ones are regularised; statistics by policy."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from service.config.optimization import AveragingConfig
from service.models import ResidualNetwork
from service.regularization import DropBlock2d, RandomDrop, ShakeDrop, linear_decay
from service.training.averaging import MovingAverage

Build = Callable[..., nn.Module]
Targets = list[dict[str, Tensor]]

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
# Strengths at which no pass equals another by chance.
REGULARIZERS: dict[str, dict[str, object]] = {
    "shakedrop": {"kind": "shakedrop", "p_l": 0.1, "alpha": {"low": -1, "high": 1}},
    "random_drop": {"kind": "random_drop", "p_l": 0.3},
    "drop_block": {"kind": "drop_block", "stages": 4, "drop_prob": 0.5, "earlier_factor": 1.0},
}
ORDERS: dict[str, dict[str, object]] = {
    "post_activation": {"order": "post_activation"},
    "pre_activation": {"order": "pre_activation"},
    "pyramidnet": {"kind": "pyramidnet", "alpha": 8},
}


def body_of(detector: nn.Module) -> ResidualNetwork:
    body = detector.get_submodule("backbone.body")
    assert isinstance(body, ResidualNetwork)
    return body


def stage_modules(body: ResidualNetwork, stage: str) -> list[nn.Module]:
    """The layers of a stage: those of the stem together, the tail's with the last stage."""
    names = body.stem_names if stage == "stem" else (stage,)
    if stage == STAGES[-1]:
        names += body.tail_names
    return [body.get_submodule(name) for name in names]


def output_of(detector: nn.Module, stage: str, pictures: Tensor) -> Tensor:
    """A stage's output in a pass of the backbone."""
    found: list[Tensor] = []
    last = stage_modules(body_of(detector), stage)[-1]
    handle = last.register_forward_hook(lambda *call: found.append(call[2]))
    detector.get_submodule("backbone")(pictures)
    handle.remove()
    return found[0]


def norms_of(module: nn.Module) -> list[_BatchNorm]:
    return [one for one in module.modules() if isinstance(one, _BatchNorm)]


def lively(detector: nn.Module) -> nn.Module:
    """The detector with normalisation that is not at its trivial start."""
    for module in norms_of(detector):
        nn.init.uniform_(module.weight, 0.5, 1.5)
        nn.init.normal_(module.running_mean, std=0.5)
        nn.init.uniform_(module.running_var, 0.5, 1.5)
    return detector


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("trained", range(6))
def test_which_stages_are_frozen(trained: int, order: str, build: Build) -> None:
    detector = build(trained_stages=trained, batch_norm="trained", backbone=ORDERS[order]).train()
    for index, stage in enumerate(STAGES):
        learns = index >= len(STAGES) - trained
        for layer in stage_modules(body_of(detector), stage):
            assert {p.requires_grad for p in layer.parameters()} <= {learns}, stage
            assert {module.training for module in layer.modules()} == {learns}, stage
    rest = [p for name, p in detector.named_parameters() if not name.startswith("backbone.body.")]
    assert all(parameter.requires_grad for parameter in rest)


class TestFrozenStages:
    @pytest.mark.parametrize("order", ORDERS)
    @pytest.mark.parametrize("regularizer", REGULARIZERS)
    def test_output_in_training_is_that_of_evaluation_bit_for_bit(
        self, regularizer: str, order: str, build: Build
    ) -> None:
        backbone = {**ORDERS[order], "regularizer": REGULARIZERS[regularizer]}
        detector = lively(build(trained_stages=2, batch_norm="trained", backbone=backbone))
        pictures = torch.randn(2, 3, 64, 64)
        expected = output_of(detector.eval(), "layer2", pictures)
        detector.train()
        assert torch.equal(output_of(detector, "layer2", pictures), expected)
        assert torch.equal(output_of(detector, "layer2", pictures), expected)
        # The stage after it is regularised, and each pass draws anew.
        one, other = (output_of(detector, "layer3", pictures) for _ in range(2))
        assert not torch.equal(one, other)

    def test_no_graph_is_kept(self, build: Build) -> None:
        detector = build(trained_stages=2).train()
        pictures = torch.randn(2, 3, 64, 64)
        for stage, grows in {"stem": False, "layer2": False, "layer3": True}.items():
            output = output_of(detector, stage, pictures)
            assert (output.grad_fn is not None) == output.requires_grad == grows, stage

    def test_nothing_of_them_changes(
        self, build: Build, views: list[Tensor], targets: Targets
    ) -> None:
        detector = lively(build(trained_stages=2, batch_norm="trained")).train()
        body = body_of(detector)
        before = {name: value.clone() for name, value in body.state_dict().items()}
        learning = [p for p in detector.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(learning, lr=0.01)
        torch.stack(list(detector(views, targets).values())).sum().backward()
        optimizer.step()
        for name, value in body.state_dict().items():
            trains = name.startswith(("layer3.", "layer4."))
            assert torch.equal(value, before[name]) != trains, name


class TestTrainedStages:
    def test_shakedrop_has_its_configured_strengths(self, build: Build) -> None:
        regularizer = {
            "kind": "shakedrop",
            "p_l": 0.3,
            "alpha": {"low": -0.5, "high": 0.75},
            "beta": {"low": 0.25, "high": 0.5},
        }
        detector = build(trained_stages=2, backbone={"regularizer": regularizer}).train()
        units = [one for one in body_of(detector).modules() if isinstance(one, ShakeDrop)]
        assert [unit.training for unit in units] == [False] * 4 + [True] * 4
        for block, unit in enumerate(units, start=1):
            assert float(unit.p) == pytest.approx(linear_decay(block, 8, 0.3))
            assert unit.alpha.tolist() == [-0.5, 0.75]
            assert unit.beta.tolist() == [0.25, 0.5]

    @pytest.mark.parametrize("regularizer", REGULARIZERS)
    def test_frozen_normalisation_leaves_the_regulariser_in_training(
        self, regularizer: str, build: Build
    ) -> None:
        backbone = {"regularizer": REGULARIZERS[regularizer]}
        detector = build(trained_stages=5, batch_norm="frozen", backbone=backbone).train()
        body = body_of(detector)
        kinds = (ShakeDrop, RandomDrop, DropBlock2d)
        assert all(one.training for one in body.modules() if isinstance(one, kinds))
        pictures = torch.randn(2, 3, 64, 64)
        before = {name: value.clone() for name, value in body.state_dict().items()}
        one, other = (output_of(detector, "layer4", pictures) for _ in range(2))
        assert not torch.equal(one, other)
        assert all(torch.equal(value, before[name]) for name, value in body.state_dict().items())


class TestBatchNormalisation:
    def test_frozen(self, build: Build, views: list[Tensor], targets: Targets) -> None:
        detector = build(heads="v2", trained_stages=3, batch_norm="frozen").train()
        own = norms_of(body_of(detector))
        others = [norm for norm in norms_of(detector) if norm not in own]
        assert not any(norm.training or norm.weight.requires_grad for norm in own)
        # Those of pyramid and heads learn under every policy.
        assert others
        assert all(norm.training and norm.weight.requires_grad for norm in others)
        torch.stack(list(detector(views, targets).values())).sum().backward()
        assert all(norm.weight.grad is None and norm.bias.grad is None for norm in own)
        assert all(int(norm.num_batches_tracked) == 0 for norm in own)
        convolution = body_of(detector).get_submodule("layer4.0.conv1")
        assert convolution.get_parameter("weight").grad is not None

    def test_trained(self, build: Build, views: list[Tensor], targets: Targets) -> None:
        detector = build(trained_stages=3, batch_norm="trained").train()
        detector(views, targets)
        body = body_of(detector)
        counts = {
            stage: {
                int(norm.num_batches_tracked)
                for layer in stage_modules(body, stage)
                for norm in norms_of(layer)
            }
            for stage in STAGES
        }
        assert counts == {"stem": {0}, "layer1": {0}, "layer2": {1}, "layer3": {1}, "layer4": {1}}

    def test_synchronised_alone_stays_as_it_is(self, build: Build) -> None:
        detector = build(heads="v2", batch_norm="synchronised")
        assert {type(norm) for norm in norms_of(detector)} == {nn.BatchNorm2d}

    @pytest.mark.usefixtures("process_group")
    def test_synchronised_among_workers(self, build: Build) -> None:
        detector = build(heads="v2", trained_stages=3, batch_norm="synchronised").train()
        assert {type(norm) for norm in norms_of(detector)} == {nn.SyncBatchNorm}
        heads = norms_of(detector.get_submodule("roi_heads"))
        assert heads
        assert all(norm.training for norm in heads)
        body = body_of(detector)
        frozen = [*norms_of(body.get_submodule("bn1")), *norms_of(body.get_submodule("layer1"))]
        assert not any(norm.training or norm.weight.requires_grad for norm in frozen)
        assert all(norm.training for norm in norms_of(body.get_submodule("layer2")))
        # Its keys are those of a network without workers.
        single = build(heads="v2", trained_stages=3, batch_norm="trained")
        assert list(detector.state_dict()) == list(single.state_dict())


class TestModesAndCopies:
    @pytest.mark.parametrize("batch_norm", ["frozen", "trained"])
    def test_every_way_back_to_training(self, batch_norm: str, build: Build) -> None:
        detector = build(trained_stages=2, batch_norm=batch_norm)
        expected = {name: one.training for name, one in detector.train().named_modules()}
        assert not all(expected.values())
        detector.eval()
        assert not any(one.training for one in detector.modules())
        ways: list[Callable[[], nn.Module]] = [
            detector.train,
            lambda: detector.train(False).train(True),
            lambda: copy.deepcopy(detector),
            lambda: copy.deepcopy(detector.eval()).train(),
        ]
        for way in ways:
            assert {name: one.training for name, one in way().named_modules()} == expected

    def test_a_copy_keeps_what_is_frozen(self, build: Build) -> None:
        detector = build(trained_stages=2)
        twin = copy.deepcopy(detector)
        expected = {name: p.requires_grad for name, p in detector.named_parameters()}
        assert {name: p.requires_grad for name, p in twin.named_parameters()} == expected

    def test_the_moving_average_detects_as_the_detector(
        self, build: Build, views: list[Tensor], targets: Targets
    ) -> None:
        detector = build(trained_stages=2)
        average = MovingAverage(detector, AveragingConfig(decay=0.5, warm_up=False))
        with torch.no_grad():
            expected, found = detector.eval()(views), average.module(views)
            for one, other in zip(expected, found, strict=True):
                assert all(torch.equal(one[name], other[name]) for name in one)
            for parameter in detector.parameters():
                parameter.add_(parameter.requires_grad)
        average.update(0, torch.zeros(()))
        moved = dict(average.module.named_parameters())
        for name, parameter in detector.named_parameters():
            difference = (parameter - moved[name]).detach()
            expected_difference = 0.5 if parameter.requires_grad else 0.0
            torch.testing.assert_close(
                difference, torch.full_like(difference, expected_difference), rtol=0, atol=1e-5
            )


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("kind", "heads"),
    [("mask_rcnn", "v1"), ("mask_rcnn", "v2"), ("faster_rcnn", "v1"), ("retinanet", "v2")],
)
@pytest.mark.parametrize("trained", [0, 3])
def test_ddp_waits_for_no_parameter_in_vain(
    trained: int,
    kind: str,
    heads: str,
    order: str,
    build: Build,
    views: list[Tensor],
    targets: Targets,
    no_targets: Targets,
) -> None:
    detector = build(
        kind, heads=heads, trained_stages=trained, batch_norm="frozen", backbone=ORDERS[order]
    )
    parallel = DistributedDataParallel(detector)
    # DDP complains at the pass after one in which a parameter got no gradient; pictures without
    # objects leave the mask head nothing to learn from.
    for objects in (no_targets, targets, no_targets, targets):
        losses = parallel(views, objects)
        torch.stack(list(losses.values())).sum().backward()
        learning = [p for p in detector.parameters() if p.requires_grad]
        assert all(p.grad is not None and p.grad.isfinite().all() for p in learning)
    assert all(p.grad is None for p in detector.parameters() if not p.requires_grad)
