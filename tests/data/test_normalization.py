"""Normalisation of a batch."""

import torch

from service.data.normalization import Normalization

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_every_level_of_every_channel_has_its_closed_form() -> None:
    pictures = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(2, 3, 16, 16)
    values = Normalization(MEAN, STD)(pictures)
    mean = torch.tensor(MEAN, dtype=torch.float64).view(3, 1, 1)
    std = torch.tensor(STD, dtype=torch.float64).view(3, 1, 1)
    torch.testing.assert_close(
        values.double(), (pictures.double() / 255 - mean) / std, rtol=0, atol=1e-6
    )
    assert values.dtype == torch.float32


def test_half_precision_is_rounded_once() -> None:
    pictures = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    normalize = Normalization(MEAN, STD)
    assert torch.equal(normalize(pictures, torch.bfloat16), normalize(pictures).bfloat16())


def test_the_memory_order_is_as_asked_whatever_came_in() -> None:
    pictures = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    normalize = Normalization(MEAN, STD)
    for given in (pictures, pictures.to(memory_format=torch.channels_last)):
        for order in (torch.contiguous_format, torch.channels_last):
            values = normalize(given, memory_format=order)
            assert values.is_contiguous(memory_format=order)
            assert torch.equal(values, normalize(pictures))


def test_the_constants_move_with_the_module_and_stay_out_of_checkpoints() -> None:
    normalize = Normalization(MEAN, STD)
    assert normalize.state_dict() == {}
    assert normalize.to("meta").scale.device.type == "meta"
