"""Regularisers' strengths over a run, in the backbone and on the pyramid's maps."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from service.config.detector import DetectorChoice
from service.config.durations import Duration
from service.detection.detectors import build_detector
from service.detection.strength_ramps import StrengthRamps, strength_ramps
from service.models import ResidualNetwork
from service.regularization import DropBlock2d, RandomDrop, ShakeDrop, linear_decay
from service.training.length import RunLength

# Five steps an epoch, ten in all.
LENGTH = RunLength(samples_per_epoch=20, batch_size=4, duration=Duration(2, "ep"))
OVER_AN_EPOCH = {"over": "1ep"}
Describe = Callable[..., DetectorChoice]


def built(config: DetectorChoice) -> tuple[nn.Module, StrengthRamps]:
    detector = build_detector(config, 3, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    return detector, strength_ramps(detector, config)


def strengths_of(detector: nn.Module) -> list[float]:
    body = detector.get_submodule("backbone.body")
    assert isinstance(body, ResidualNetwork)
    units = [one for one in body.modules() if isinstance(one, ShakeDrop | RandomDrop)]
    return [float(unit.p) for unit in units]


def decayed(p_l: float) -> list[float]:
    return pytest.approx([linear_decay(block, 8, p_l) for block in range(1, 9)])


@pytest.mark.parametrize("kind", ["shakedrop", "random_drop"])
def test_the_backbones_strength_follows_its_ramp(kind: str, describe: Describe) -> None:
    regularizer = {"kind": kind, "p_l": 0.2, "ramp": OVER_AN_EPOCH}
    detector, ramps = built(describe(backbone={"regularizer": regularizer}))
    for step, p_l in {0: 1.0, 2: 0.6, 4: 0.2, 9: 0.2, 1: 0.8}.items():
        ramps.move_to(step, LENGTH)
        assert strengths_of(detector) == decayed(p_l)


def test_frozen_blocks_compute_with_their_final_strength(describe: Describe) -> None:
    regularizer = {"kind": "shakedrop", "p_l": 0.2, "ramp": OVER_AN_EPOCH}
    config = describe(trained_stages=2, backbone={"regularizer": regularizer})
    detector, ramps = built(config)
    final = [linear_decay(block, 8, 0.2) for block in range(1, 9)]
    for step, p_l in {0: 1.0, 2: 0.6}.items():
        ramps.move_to(step, LENGTH)
        moved = [linear_decay(block, 8, p_l) for block in range(1, 9)]
        assert strengths_of(detector) == pytest.approx([*final[:4], *moved[4:]])


def test_drop_block_on_the_pyramid(describe: Describe) -> None:
    drop = {"drop_prob": 0.4, "ramp": OVER_AN_EPOCH}
    detector, ramps = built(describe("retinanet", pyramid_drop_block=drop))
    unit = detector.get_submodule("backbone.drop_block")
    assert isinstance(unit, DropBlock2d)
    assert float(unit.drop_prob) == pytest.approx(0.4)
    for step, strength in {0: 0.0, 1: 0.1, 4: 0.4, 9: 0.4}.items():
        ramps.move_to(step, LENGTH)
        assert float(unit.drop_prob) == pytest.approx(strength)
    # It has its own ramp; the backbone has none.
    assert strengths_of(detector) == decayed(0.5)


def test_drop_block_in_backbone_and_pyramid(describe: Describe) -> None:
    config = describe(
        "retinanet",
        backbone={"regularizer": {"kind": "drop_block", "drop_prob": 0.2, "ramp": OVER_AN_EPOCH}},
        pyramid_drop_block={"drop_prob": 0.4},
    )
    detector, ramps = built(config)
    ramps.move_to(2, LENGTH)
    units = [one for one in detector.modules() if isinstance(one, DropBlock2d)]
    # The stage before the last has a quarter of the last one's strength.
    expected = {0.4, 0.1, 0.025}
    assert {round(float(unit.drop_prob), 4) for unit in units} == expected


def test_without_ramps_nothing_moves(describe: Describe) -> None:
    detector, ramps = built(describe(backbone={"regularizer": {"kind": "none"}}))
    ramps.move_to(0, LENGTH)
    assert strengths_of(detector) == []


def test_a_change_leads_to_other_strengths(describe: Describe) -> None:
    def config(p_l: float, drop_prob: float) -> DetectorChoice:
        regularizer = {"kind": "shakedrop", "p_l": p_l, "ramp": OVER_AN_EPOCH}
        drop = {"drop_prob": drop_prob}
        return describe("retinanet", backbone={"regularizer": regularizer}, pyramid_drop_block=drop)

    detector, ramps = built(config(0.2, 0.4))
    ramps.move_to(2, LENGTH)
    ramps.change(config(0.6, 0.1))
    unit = detector.get_submodule("backbone.drop_block")
    assert isinstance(unit, DropBlock2d)
    assert float(unit.drop_prob) == pytest.approx(0.1)
    assert strengths_of(detector) == decayed(0.6)
    ramps.move_to(2, LENGTH)
    assert strengths_of(detector) == decayed(0.8)
    ramps.move_to(4, LENGTH)
    assert strengths_of(detector) == decayed(0.6)


def test_another_regulariser_is_refused(describe: Describe) -> None:
    _, ramps = built(describe())
    with pytest.raises(ValueError, match="only strengths can change"):
        ramps.change(describe(backbone={"regularizer": {"kind": "random_drop"}}))


def test_ramps_survive_a_move_to_another_place(describe: Describe) -> None:
    # Moving a detector replaces its buffers.
    regularizer = {"kind": "random_drop", "p_l": 0.2, "ramp": OVER_AN_EPOCH}
    detector, ramps = built(describe(trained_stages=2, backbone={"regularizer": regularizer}))
    detector.to(torch.float64)
    ramps.move_to(0, LENGTH)
    assert strengths_of(detector)[4:] == [1.0] * 4


def test_networks_of_others_have_no_ramps(describe: Describe) -> None:
    foreign = nn.Module()
    foreign.backbone = nn.Identity()
    with pytest.raises(TypeError, match="not a detector of this service"):
        strength_ramps(foreign, describe())
