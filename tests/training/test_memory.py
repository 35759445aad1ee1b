"""Exhausted memory is one line with what can be changed."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toy import Recorder, ToyBatch, ToyTask, local_worker, settings

from service.training.loop import train
from service.training.memory import OutOfMemoryError


class HungryTask(ToyTask):
    """Asks for more memory than any machine has, or fails as a GPU would."""

    def __init__(self, *args: object, error: Exception | None) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # passed on
        self._error = error

    def loss(self, model: nn.Module, batch: ToyBatch) -> tuple[Tensor, Mapping[str, Tensor]]:
        if self._error is not None:
            raise self._error
        return torch.empty(2**58, dtype=torch.uint8).sum(), {}


@pytest.mark.parametrize(
    "error", [None, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")]
)
def test_exhausted_memory_names_what_can_be_changed(
    tmp_path: Path, error: Exception | None
) -> None:
    how = settings(accumulation=2)
    task = HungryTask(how.training, error=error)
    with pytest.raises(OutOfMemoryError) as found:
        train(task, local_worker(tmp_path, Recorder(), how), how)
    text = str(found.value)
    assert text.startswith("out of memory on cpu of worker 0 with 5 samples at a time (10 a step")
    assert "raise training.accumulation to 4" in text
    assert "training.precision=bf16" in text
    assert "\n" not in text


def test_other_errors_stay_as_they_are(tmp_path: Path) -> None:
    how = settings()
    task = HungryTask(how.training, error=RuntimeError("expected a tensor"))
    with pytest.raises(RuntimeError, match=r"^expected a tensor$"):
        train(task, local_worker(tmp_path, Recorder(), how), how)
