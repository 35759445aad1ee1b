"""Strengths: by depth when a network is built, and set anew by a schedule."""

from collections.abc import Callable

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from service.config.model import ModelConfig
from service.config.regularizer import (
    DropBlockConfig,
    PlainSumConfig,
    RandomDropConfig,
    ShakeDropConfig,
    ShakeShakeConfig,
)
from service.models import ResidualNetwork, build_network, resolved, set_strength
from service.models.strength import apply_strengths, strengths
from service.regularization import DropBlock2d, RandomDrop, ShakeDrop

Tiny = Callable[..., ModelConfig]

KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "shakedrop": ("p_l", {"kind": "shakedrop"}),
    "shakedrop_b": ("p_l", {"kind": "shakedrop", "placement": "branch"}),
    "random_drop": ("p_l", {"kind": "random_drop"}),
    "drop_block": ("drop_prob", {"kind": "drop_block", "stages": 3, "earlier_factor": 0.3}),
}


def found(network: ResidualNetwork) -> list[float]:
    """The strength of every unit, first to last."""
    units = [m for m in network.modules() if isinstance(m, ShakeDrop | RandomDrop | DropBlock2d)]
    return [float(u.drop_prob if isinstance(u, DropBlock2d) else u.p) for u in units]


@pytest.mark.parametrize("config", [ShakeDropConfig(p_l=0.2), RandomDropConfig(p_l=0.2)])
def test_linear_decay_counts_the_blocks_of_all_stages(
    config: ShakeDropConfig | RandomDropConfig,
) -> None:
    expected = [1 - (block / 7) * 0.8 for block in range(1, 8)]
    assert strengths(config, [2, 4, 1]) == pytest.approx(expected)
    assert strengths(config, [2, 4, 1])[-1] == 0.2


@pytest.mark.parametrize(
    ("stages", "expected"),
    [(1, [None, None, None, 0.4]), (2, [None, None, 0.1, 0.4]), (3, [None, 0.1, 0.1, 0.4])],
)
def test_drop_block_acts_in_the_last_stages(stages: int, expected: list[float | None]) -> None:
    config = DropBlockConfig(drop_prob=0.4, earlier_factor=0.25, stages=stages)
    assert strengths(config, [1, 1, 1, 1]) == expected
    # All blocks of a stage are alike.
    assert strengths(config, [1, 2, 1, 3]) == [expected[s] for s in (0, 1, 1, 2, 3, 3, 3)]


@pytest.mark.parametrize("config", [PlainSumConfig(), ShakeShakeConfig()])
def test_others_have_no_strength(config: PlainSumConfig | ShakeShakeConfig) -> None:
    assert strengths(config, [2, 1]) == [None] * 3


@pytest.mark.parametrize("value", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["resnet", "cifar_pyramidnet", "two_branches"])
def test_a_strength_set_is_a_strength_built(tiny: Tiny, name: str, kind: str, value: float) -> None:
    field, regularizer = KINDS[kind]
    network = build_network(tiny(name, regularizer=regularizer), classes=2)
    buffers = {key: id(buffer) for key, buffer in network.named_buffers()}
    before = found(network)
    set_strength(network, value)
    other = build_network(tiny(name, regularizer={**regularizer, field: value}), classes=2)
    assert found(network) == found(other) != before
    # In place: nothing that holds a buffer loses it.
    assert {key: id(buffer) for key, buffer in network.named_buffers()} == buffers


def test_a_schedule_moves_a_compiled_network_without_compiling_anew(tiny: Tiny) -> None:
    torch._dynamo.reset()
    drop = {"kind": "drop_block", "drop_prob": 0.5, "block_size": 2}
    network = build_network(tiny("cifar_resnet", regularizer=drop), classes=2)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(network, backend=counter, fullgraph=True)
    pictures = torch.randn(2, 3, 16, 16)
    outputs = []
    for value in (0.0, 0.25, 0.5):
        set_strength(network, value)
        torch.manual_seed(1)
        outputs.append(network(pictures))
        torch.manual_seed(1)
        torch.testing.assert_close(compiled(pictures), outputs[-1])
    assert counter.frame_count == 1
    assert not torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[1], outputs[2])


def test_nothing_is_read_from_the_device(tiny: Tiny) -> None:
    # Meta tensors have no values: reading one on the host raises.
    for _, regularizer in KINDS.values():
        with torch.device("meta"):
            set_strength(build_network(tiny("resnet", regularizer=regularizer), classes=2), 0.25)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("kind", ["shakedrop", "drop_block"])
def test_no_probability_is_refused(tiny: Tiny, kind: str, value: float) -> None:
    network = build_network(tiny("resnet", regularizer={"kind": kind}), classes=2)
    before = found(network)
    with pytest.raises(ValueError, match=r"a strength lies in \[0, 1\]"):
        set_strength(network, value)
    assert found(network) == before


@pytest.mark.parametrize("kind", ["none", "shake_shake"])
def test_a_regulariser_without_strength_is_refused(tiny: Tiny, kind: str) -> None:
    network = build_network(tiny("shake_resnet", regularizer={"kind": kind}), classes=2)
    with pytest.raises(ValueError, match=f"the regulariser {kind} has no strength to set"):
        set_strength(network, 0.5)


# Fields with which a network is built, and other strengths.
CHANGES: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "shakedrop": (
        {"kind": "shakedrop", "p_l": 0.9},
        {
            "p_l": 0.3,
            "alpha": {"low": -0.5, "high": 0.25},
            "beta": {"low": 0.125, "high": 0.75},
        },
    ),
    "shakedrop_b": (
        {"kind": "shakedrop", "placement": "branch", "level": "image"},
        {"p_l": 0.0, "alpha": {"low": 0.5, "high": 1.5}, "beta": {"low": -1.0, "high": -1.0}},
    ),
    "random_drop": ({"kind": "random_drop"}, {"p_l": 0.125}),
    "drop_block": (
        {"kind": "drop_block", "stages": 3, "earlier_factor": 0.3},
        {"drop_prob": 0.25, "earlier_factor": 0.5},
    ),
    "shake_shake": ({"kind": "shake_shake"}, {}),
    "none": ({"kind": "none"}, {}),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_strengths_applied_are_strengths_built(tiny: Tiny, kind: str) -> None:
    built, changes = CHANGES[kind]
    network = build_network(tiny("two_branches", regularizer=built), classes=2)
    other_config = resolved(tiny("two_branches", regularizer={**built, **changes}))
    other = build_network(other_config, classes=2)
    other.load_state_dict(network.state_dict())
    before = {key: (id(b), b.data_ptr(), b.clone()) for key, b in network.named_buffers()}
    apply_strengths(network, other_config.regularizer)
    after = dict(network.named_buffers())
    for key, buffer in other.named_buffers():
        assert torch.equal(after[key], buffer), key
        # In place: nothing that holds a buffer loses it.
        assert before[key][:2] == (id(after[key]), after[key].data_ptr())
    assert any(not torch.equal(after[key], old) for key, (_, _, old) in before.items()) == bool(
        changes
    )
    # What is computed from them follows: the coefficient of evaluation depends on P_L and α.
    pictures = torch.randn(2, 3, 16, 16)
    for mode in (True, False):
        outputs = []
        for each in (network, other):
            torch.manual_seed(1)
            outputs.append(each.train(mode)(pictures))
        assert torch.equal(*outputs)


def test_every_block_gets_its_own_strength(tiny: Tiny) -> None:
    network = build_network(tiny("resnet", regularizer={"kind": "shakedrop"}), classes=2)
    config = resolved(tiny("resnet", regularizer={"kind": "shakedrop", "p_l": 0.2})).regularizer
    assert isinstance(config, ShakeDropConfig)
    alpha = config.alpha.model_copy(update={"low": -2.0, "high": 1.0})
    apply_strengths(network, config.model_copy(update={"alpha": alpha}))
    units = [unit for unit in network.modules() if isinstance(unit, ShakeDrop)]
    assert len(units) == 8
    for block, unit in enumerate(units, start=1):
        p = 1 - block / 8 * 0.8
        assert float(unit.p) == pytest.approx(p)
        branch = torch.full((1, 1, 1, 1), 3.0)
        assert float(unit.eval()(branch)) == pytest.approx(3 * (p + (1 - p) * -0.5))


def test_a_schedule_goes_on_from_the_strengths_applied(tiny: Tiny) -> None:
    drop = {"kind": "drop_block", "stages": 2, "drop_prob": 0.5, "earlier_factor": 0.25}
    network = build_network(tiny("resnet", regularizer=drop), classes=2)
    changed = tiny("resnet", regularizer={**drop, "earlier_factor": 0.5}).regularizer
    apply_strengths(network, changed)
    set_strength(network, 0.25)
    assert network.regularizer == changed
    assert set(found(network)) == {0.125, 0.25}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"kind": "random_drop"}, "only strengths can change"),
        ({"kind": "shakedrop", "level": "batch"}, "only strengths can change"),
        ({"kind": "shakedrop", "p_l": 0.1}, "alpha has an open end"),
    ],
)
def test_what_is_no_strength_cannot_be_applied(
    tiny: Tiny, other: dict[str, object], message: str
) -> None:
    network = build_network(tiny("resnet", regularizer={"kind": "shakedrop"}), classes=2)
    before = found(network)
    with pytest.raises(ValueError, match=message):
        apply_strengths(network, tiny("resnet", regularizer=other).regularizer)
    assert found(network) == before
