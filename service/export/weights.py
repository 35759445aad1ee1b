"""A checkpoint without its optimiser: weights, configuration, names and preprocessing.

The weights have torchvision's keys. With the files beside them they are a checkpoint, which
evaluation, prediction and `model.weights` take.
"""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import yaml

from service.config.errors import RunError
from service.inference.strengths import position, ramps_up
from service.inference.trained import Trained, open_trained
from service.tracking.origin import RUN_KEY, origin_of
from service.training.checkpoint_files import CONFIG, METADATA, METRICS, MODEL
from service.training.manifest import flushed, write_manifest

FILES = (MODEL, CONFIG, METADATA, METRICS)
"""What a manifest lists."""

_ELSEWHERE = ("cluster", "storage", "tracking")
"""Parts of a configuration that say where a run was made, perhaps with addresses of a company."""
_AVERAGE = "val/ema_"


def write_weights(folder: Path, trained: Trained) -> None:
    """Writes the files of a checkpoint to an existing folder, the chosen weights among them."""
    tree = trained.config.model_dump(mode="json", exclude=set(_ELSEWHERE))
    metadata = {
        **trained.metadata,
        "source_sha256": trained.sha256,
        "step": trained.step,
        RUN_KEY: origin_of(trained.address, trained.folder, trained.metadata).keys[0],
    }
    if ramps_up(trained):
        metadata["position"] = position(trained)
    tensors = {key: one.contiguous() for key, one in trained.state.items()}
    # Not `save_file`, whose files nobody else may read.
    (folder / MODEL).write_bytes(safetensors.torch.save(tensors, {"format": "pt"}))
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    (folder / CONFIG).write_text(text, "utf-8")
    _write_json(folder / METADATA, metadata)
    _write_json(folder / METRICS, _metrics(trained))
    write_manifest(folder, {name: flushed(folder / name) for name in FILES})


def check_weights(folder: Path, trained: Trained) -> Trained:
    """Reads what was written and returns it.

    Raises:
        RunError: It is not what was to be written.
    """
    place = f"tracking.uri={trained.config.tracking.uri}"
    again = open_trained(str(folder), [place], "model")
    same = again.state.keys() == trained.state.keys() and all(
        torch.equal(again.state[key], one) for key, one in trained.state.items()
    )
    parts = ("data", "model", "training")
    if not same or any(
        getattr(again.config, part) != getattr(trained.config, part) for part in parts
    ):
        raise RunError("safetensors: what was written reads back differently; nothing is kept")
    return again


def _metrics(trained: Trained) -> dict[str, float]:
    """Returns what training measured of these weights, under the names that weights have."""
    own = {n: one for n, one in trained.metrics.items() if not n.startswith(_AVERAGE)}
    if trained.weights == "model":
        return own
    averages = {n: one for n, one in trained.metrics.items() if n.startswith(_AVERAGE)}
    others = {n: one for n, one in own.items() if not n.startswith("val/")}
    return others | {f"val/{n.removeprefix(_AVERAGE)}": one for n, one in averages.items()}


def _write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2), "utf-8")
