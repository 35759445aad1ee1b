"""Views become a normalised, padded batch; detections stay in the views' pixels."""

import pytest
import torch
from torch import Tensor
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from service.detection.input import ViewInput

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def views_of(*sizes: tuple[int, int]) -> list[Tensor]:
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]


def test_the_batch_is_torchvisions() -> None:
    views = views_of((64, 97), (64, 70), (64, 64))
    batch, targets = ViewInput(MEAN, STD)(views)
    theirs, _ = GeneralizedRCNNTransform(64, 1333, MEAN, STD)([view / 255 for view in views])
    assert targets is None
    assert batch.image_sizes == [(64, 97), (64, 70), (64, 64)] == theirs.image_sizes
    assert batch.tensors.shape == theirs.tensors.shape == (3, 3, 64, 128)
    torch.testing.assert_close(batch.tensors, theirs.tensors, rtol=1e-5, atol=1e-6)


def test_values_and_padding() -> None:
    view = torch.full((3, 33, 5), 255, dtype=torch.uint8)
    batch, _ = ViewInput((0.5, 0.0, 1.0), (0.5, 0.25, 2.0))([view])
    assert batch.tensors.shape == (1, 3, 64, 32)
    expected = torch.tensor([1.0, 4.0, 0.0]).view(3, 1, 1).expand(3, 33, 5)
    torch.testing.assert_close(batch.tensors[0, :, :33, :5], expected)
    assert batch.tensors.abs().sum() == batch.tensors[0, :, :33, :5].abs().sum()


def test_views_may_be_parts_of_a_padded_batch() -> None:
    padded = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    parts = [padded[0, :, :50, :90], padded[1, :, :64, :40]]
    transform = ViewInput(MEAN, STD)
    batch, _ = transform(parts)
    expected, _ = transform([part.clone() for part in parts])
    assert torch.equal(batch.tensors, expected.tensors)


def test_autocast_does_not_round_the_batch() -> None:
    views = views_of((32, 32))
    transform = ViewInput(MEAN, STD)
    expected, _ = transform(views)
    with torch.autocast("cpu", torch.bfloat16):
        batch, _ = transform(views)
    assert batch.tensors.dtype == torch.float32
    assert torch.equal(batch.tensors, expected.tensors)


def test_targets_and_detections_pass() -> None:
    transform = ViewInput(MEAN, STD)
    targets = [{"boxes": torch.tensor([[1.5, 2.0, 3.0, 4.0]])}]
    assert transform(views_of((32, 32)), targets)[1] is targets
    found = [{"boxes": torch.rand(2, 4), "masks": torch.rand(2, 1, 28, 28)}]
    assert transform.postprocess(found, [(20, 30)], [(20, 30)]) is found


def test_it_adds_nothing_to_the_state_dict() -> None:
    assert not ViewInput(MEAN, STD).state_dict()


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="a detector takes uint8 pictures"):
        ViewInput(MEAN, STD)([torch.rand(3, 32, 32)])
