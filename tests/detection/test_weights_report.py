"""The table of what became of a file's tensors."""

import pytest

from service.detection.weights_report import by_part

BODY = "backbone.body."


def test_a_table_for_people() -> None:
    report = by_part(
        matched=[f"{BODY}conv1.weight", f"{BODY}layer2.0.conv1.weight", "rpn.head.conv.0.0.bias"],
        missing=[f"roi_heads.mask_head.{n}.0.weight" for n in range(5)],
        unexpected=[f"{BODY}fc.weight", "epoch"],
        reinitialised=["roi_heads.box_predictor.cls_score.weight"],
    )
    assert (
        str(report)
        == """\
part        matched  missing  unexpected  reinitialised
stem              1        0           0              0
layer2            1        0           0              0
rpn               1        0           0              0
box head          0        0           0              1
mask head         0        5           0              0
classifier        0        0           1              0
other             0        0           1              0
box head, reinitialised: roi_heads.box_predictor.cls_score.weight
mask head, missing: roi_heads.mask_head.0.0.weight, roi_heads.mask_head.1.0.weight, \
roi_heads.mask_head.2.0.weight, … (2 more)
classifier, unexpected: backbone.body.fc.weight
other, unexpected: epoch"""
    )


@pytest.mark.parametrize(
    ("key", "part"),
    [
        (f"{BODY}bn1.weight", "stem"),
        (f"{BODY}layer4.1.bn2.bias", "layer4"),
        (f"{BODY}last_bn.weight", "tail"),
        (f"{BODY}fc.bias", "classifier"),
        ("backbone.fpn.inner_blocks.0.0.weight", "pyramid"),
        ("rpn.head.cls_logits.weight", "rpn"),
        ("roi_heads.box_head.fc6.weight", "box head"),
        ("roi_heads.mask_predictor.conv5_mask.weight", "mask head"),
        ("head.classification_head.cls_logits.weight", "classification head"),
        ("head.regression_head.bbox_reg.weight", "regression head"),
        ("optimizer.step", "other"),
    ],
)
def test_parts(key: str, part: str) -> None:
    assert by_part([key], [], [], [])[part].matched == (key,)


def test_a_part_that_is_not_there() -> None:
    with pytest.raises(KeyError, match="mask head"):
        by_part([f"{BODY}conv1.weight"], [], [], [])["mask head"]
