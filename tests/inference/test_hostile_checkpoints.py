"""Checkpoints that somebody made to do harm, their manifests in order."""

from pathlib import Path
from typing import Any

import pytest
import torch

from service.config.cifar import CIFARConfig
from service.config.errors import ConfigurationError
from service.config.loading import to_yaml
from service.inference.trained import open_trained
from service.training.checkpoint import CheckpointContent, write_checkpoint

SOUND = to_yaml(CIFARConfig())


def refused(folder: Path, config: str, metadata: dict[str, Any]) -> str:
    content = CheckpointContent({"a": torch.ones(1)}, None, {}, config, {}, metadata)
    write_checkpoint(folder / "step_00000001", content)
    with pytest.raises(ConfigurationError) as caught:
        open_trained(str(folder / "step_00000001"), [f"storage.path={folder}"])
    message = str(caught.value)
    assert message.startswith("--checkpoint: ")
    assert message.isprintable()
    return message


@pytest.mark.parametrize(
    "config",
    [
        "!!python/object/apply:os.system ['touch canary']",
        "!!bool maybe",
        "!!timestamp x",
        "a: &a [*a]",
        "[" * 500,
        "5",
        "",
        "data: {kind: [a]}",
        "data: {kind: {a: b}}",
        "model: {kind: &k {a: *k}}",
        "base: /etc/hostname",
        "? [a]\n: b",
        '"a\\nb": 1',
    ],
)
def test_a_configuration_is_never_more_than_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "config.yaml: " in refused(tmp_path, config, {"task": "classification"})
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("task", [None, ["classification"], {"a": "b\n"}, "segmentation", 5])
def test_an_unknown_task_is_named(tmp_path: Path, task: object) -> None:
    message = refused(tmp_path, SOUND, {"task": task})
    assert "metadata.json: task is " in message
