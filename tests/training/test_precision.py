"""What `training.precision: auto` becomes."""

from pathlib import Path

import pytest
import torch

from service.config.errors import ConfigurationError
from service.config.training import TrainingConfig
from service.training.precision import decided, multiplies_bf16
from service.training.wrapping import autocast

AUTO = TrainingConfig(precision="auto")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu sse2 avx2 avx512f avx512_bf16", True),
        ("fpu amx_tile amx_bf16", True),
        ("fpu avx512f avx512_vnni", False),
        ("fpu avx512_bf16_like", False),
    ],
)
def test_a_processor_is_known_by_its_flags(tmp_path: Path, flags: str, expected: bool) -> None:
    description = tmp_path / "cpuinfo"
    description.write_text(f"processor\t: 0\nmodel name\t: Some\nflags\t\t: {flags}\n\n" * 2)
    assert multiplies_bf16(on_gpu=False, processor=description) is expected


def test_what_nothing_is_known_of_computes_in_fp32(tmp_path: Path) -> None:
    assert not multiplies_bf16(on_gpu=False, processor=tmp_path / "absent")
    unusual = tmp_path / "cpuinfo"
    unusual.write_text("processor: 0\n")
    assert not multiplies_bf16(on_gpu=False, processor=unusual)


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_a_machine_without_gpus_has_none_with_bf16() -> None:
    assert not multiplies_bf16(on_gpu=True)


def test_auto_is_bf16_in_its_memory_order_or_fp32() -> None:
    fast = decided(AUTO, {"a": True, "b": True})
    assert (fast.precision, fast.channels_last) == ("bf16", True)
    slow = decided(AUTO, {"a": False})
    assert (slow.precision, slow.channels_last) == ("fp32", False)
    assert decided(AUTO.model_copy(update={"channels_last": True}), {"a": False}).channels_last


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_what_is_named_stays(precision: str) -> None:
    given = TrainingConfig.model_validate({"precision": precision})
    assert decided(given, {"a": True, "b": False}) == given


def test_different_machines_are_named() -> None:
    with pytest.raises(ConfigurationError, match=r"^training\.precision: .* fp32 on 10\.0\.0\.7; "):
        decided(AUTO, {"10.0.0.6": True, "10.0.0.7": False})


def test_nothing_computes_before_it_is_decided() -> None:
    with pytest.raises(ConfigurationError, match=r"^training\.precision: auto is decided"):
        autocast(torch.device("cpu"), AUTO)
