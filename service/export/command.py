"""`pipelines/export.py`."""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.config.errors import ConfigurationError
from service.config.failures import ended
from service.config.versions import versions
from service.data.packing import PackedStrings
from service.export.classifier import Original, original
from service.export.files import (
    EXPORT,
    FORMATS,
    RECORD,
    Format,
    classifier_files,
    detector_files,
    is_detector,
)
from service.export.onnx_file import check_packages
from service.export.options import parse
from service.export.pictures import detection_views, samples
from service.export.serving import served_model
from service.inference.command import given_pictures, opened, say, warn
from service.inference.output import OutputFolder
from service.inference.trained import Trained, storage_folder
from service.tracking.address import redact, resolve_uri
from service.tracking.origin import origin_of
from service.tracking.registering import Registration, check_registry, register

_PACKAGES = ("service", "torch", "torchvision", "safetensors", "onnx", "onnxscript", "onnxruntime")
_NO_GRAPH = (
    "--format: {} is for classifiers: torch.export cannot follow a detector, whose non-maximum "
    "suppression goes one way or another by how many boxes it finds "
    "(GuardOnDataDependentSymNode in torchvision.ops.batched_nms); take safetensors"
)


def export(arguments: Sequence[str]) -> int:
    """Does what a command line asks for.

    Returns:
        The exit status: 0 if all went well, 1 if the work failed, 2 for input that cannot be used.
    """
    return ended(lambda: _export(parse(arguments)), "the export")


def _export(options: argparse.Namespace) -> int:
    output = OutputFolder(options.output, EXPORT, overwrite=options.overwrite)
    given = given_pictures(options) if options.inputs or options.lists else None
    trained = opened(options)
    formats = _formats(options, trained)
    registration = _registration(options, trained)
    if registration is not None:
        check_registry(registration)
    say(f"{trained.folder}: {trained.weights} weights, to {', '.join(formats)}")
    with output:
        record = _record(trained)
        if is_detector(trained):
            views = detection_views(trained, given, warn)
            record["files"] = detector_files(trained, output.path, views, say)
        else:
            record |= _classifier(trained, output.path, formats, given, registration)
        _write_json(output.path / RECORD, record)
    print(f"written to {options.output}")
    return 0


def _classifier(
    trained: Trained,
    folder: Path,
    formats: Sequence[Format],
    given: PackedStrings | None,
    registration: Registration | None,
) -> dict[str, Any]:
    """Writes and perhaps registers a classifier; returns what the record says of it."""
    known = original(trained, samples(trained, given, warn))
    record = {
        "files": classifier_files(known, folder, formats, say),
        "pictures": known.pictures.source,
        **known.described,
    }
    if registration is not None:
        record["registered"] = _registered(known, folder, registration)
    return record


def _registered(known: Original, folder: Path, registration: Registration) -> dict[str, Any]:
    say("writing the MLflow model …")
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "model"
        found = served_model(known, folder, model)
        say(f"served: {found}")
        version = register(model, registration)
    alias = registration.alias
    say(f"registered as {version.address}{f', alias {alias}' if alias else ''}")
    return {"address": version.address, "alias": alias, "compared": asdict(found)}


def _formats(options: argparse.Namespace, trained: Trained) -> list[Format]:
    """Returns what is written, and checks that it can be.

    Raises:
        ConfigurationError: The kind of network, or this machine, has no such form.
    """
    asked: set[Format] = set(options.formats or ())
    if is_detector(trained):
        others = sorted(asked - {"safetensors"})
        if others:
            raise ConfigurationError(_NO_GRAPH.format(others[0]))
        if options.register is not None:
            raise ConfigurationError(
                "--register: serves classifiers by ONNX, which detectors cannot be exported to; "
                "register a detector's checkpoint folder with MLflow instead"
            )
        return ["safetensors"]
    if options.register is not None:
        asked |= {"safetensors", "onnx"} if asked else set(FORMATS)
    formats = [one for one in FORMATS if one in asked or not asked]
    if "onnx" in formats:
        check_packages()
    return formats


def _registration(options: argparse.Namespace, trained: Trained) -> Registration | None:
    if options.register is None:
        if options.alias is not None:
            raise ConfigurationError("--alias: names a registered version; add --register NAME")
        return None
    storage = storage_folder(trained.config)
    tracking = trained.config.tracking
    uri = resolve_uri(tracking, storage, nodes=1)
    return Registration(
        uri=uri,
        storage=storage,
        experiment=tracking.experiment,
        name=options.register,
        alias=options.alias,
        origin=origin_of(trained.address, trained.folder, trained.metadata),
        description=f"{trained.weights} weights {trained.sha256[:12]}",
    )


def _record(trained: Trained) -> dict[str, Any]:
    return {
        "format": 1,
        "checkpoint": {
            "address": redact(trained.address),
            "weights": trained.weights,
            "sha256": trained.sha256,
        },
        "precision": {"evaluation": trained.config.training.precision, "export": "fp32"},
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(_PACKAGES),
    }


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
