"""`pipelines/evaluate.py`."""

import argparse
import importlib.metadata
import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.config.arguments import parsed
from service.config.errors import ConfigurationError
from service.config.failures import refuse, report
from service.data.decoding import DamagedPictureError
from service.inference.command import parser
from service.inference.evaluation import Evaluation, evaluate_trained
from service.inference.machine import best_device
from service.inference.trained import Trained, open_trained
from service.storage.atomic import whole_file, whole_folder
from service.tracking.address import redact

_EXAMPLE = (
    "python pipelines/evaluate.py --checkpoint runs/resnet50/step_00450000 data.root=/data/imagenet"
)
_PACKAGES = ("service", "torch", "torchvision", "torchcodec", "numpy", "pycocotools")


def evaluate(arguments: Sequence[str]) -> int:
    """Does what a command line asks for.

    Returns:
        The exit status: 0 if all went well, 1 if the work failed, 2 for input that cannot be used.
    """
    try:
        return _evaluate(_parse(arguments))
    except ConfigurationError as error:
        return refuse(error)
    except DamagedPictureError as error:
        return refuse(ConfigurationError(f"data: {error}"))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        return report(error, "the evaluation")


def _evaluate(options: argparse.Namespace) -> int:
    _check_output(options.output, overwrite=options.overwrite)
    trained = open_trained(options.checkpoint, options.overrides, options.weights)
    print(f"{trained.folder}: {trained.weights} weights", flush=True)
    with _files_folder(options.output) as folder:
        evaluation = evaluate_trained(trained, folder, _warn)
    logged = _logged(trained, evaluation)
    print(f"{evaluation.pictures} pictures of {evaluation.source}")
    for name, value in evaluation.figures.items():
        ending = f"   in training {logged[name]:.4f}" if name in logged else ""
        print(f"{name:<18}{value:>10.4f}{ending}")
    if options.output is not None:
        content = json.dumps(_content(options, trained, evaluation, logged), indent=2)
        with whole_file(options.output) as partial:
            partial.write_text(content + "\n", encoding="utf-8")
        print(f"written to {options.output}")
    return 0


def files_folder(output: Path) -> Path:
    """Returns the folder of what a detector's evaluation leaves, beside the file of figures."""
    return output.with_name(f"{output.stem}-files")


def _content(
    options: argparse.Namespace,
    trained: Trained,
    evaluation: Evaluation,
    logged: dict[str, float],
) -> dict[str, Any]:
    """Returns what the file of figures holds."""
    return {
        "figures": evaluation.figures,
        "in_training": logged,
        "categories": evaluation.categories,
        "checkpoint": {
            "address": redact(options.checkpoint),
            "folder": str(trained.folder),
            "weights": trained.weights,
            "sha256": trained.sha256,
        },
        "overrides": [redact(one) for one in options.overrides],
        "data": {
            "source": evaluation.source,
            "pictures": evaluation.pictures,
            "digest": evaluation.digest,
        },
        "device": best_device().type,
        "precision": trained.config.training.precision,
        "versions": {"python": platform.python_version(), **dict(_versions())},
    }


def _logged(trained: Trained, evaluation: Evaluation) -> dict[str, float]:
    """Returns what training measured of the same weights, by the names of figures."""
    prefix = "val/ema_" if trained.weights == "ema" else "val/"
    measured = trained.metrics
    return {
        name: measured[prefix + name] for name in evaluation.figures if prefix + name in measured
    }


def _versions() -> Iterator[tuple[str, str]]:
    for package in _PACKAGES:
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield package, "not installed"


def _check_output(output: Path | None, *, overwrite: bool) -> None:
    if output is None:
        return
    if output.is_dir() or not output.parent.is_dir():
        what = "is a folder" if output.is_dir() else f"there is no folder {output.parent}"
        raise ConfigurationError(f"--output: {output}: {what}; give a file in a folder")
    # Only what this program wrote may be replaced: beside files that it did not write, neither.
    for there in (output, files_folder(output)):
        if there.exists() and not (overwrite and _is_own(output)):
            raise ConfigurationError(
                f"--output: {there} is there; give another name, or add --overwrite if an "
                "evaluation wrote it"
            )


def _is_own(output: Path) -> bool:
    """Returns whether a file is of an earlier evaluation."""
    try:
        content = json.loads(output.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"figures", "checkpoint"} <= content.keys()


@contextmanager
def _files_folder(output: Path | None) -> Iterator[Path]:
    """Gives a folder for files, which are kept if there is an output and anything in it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        yield folder
        if output is None or not any(folder.iterdir()):
            return
        shutil.rmtree(files_folder(output), ignore_errors=True)
        with whole_folder(files_folder(output)) as partial:
            shutil.copytree(folder, partial, dirs_exist_ok=True)


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    made = parser("Evaluates a checkpoint, on the data of its training or on others.", _EXAMPLE)
    made.add_argument(
        "overrides",
        nargs="*",
        metavar="key.path=value",
        help="any field of the checkpoint's configuration, such as data.root=… or "
        "data.evaluation.batch_size=8",
    )
    made.add_argument("--output", type=Path, metavar="FILE", help="a JSON file of the figures")
    return parsed(made, arguments)
