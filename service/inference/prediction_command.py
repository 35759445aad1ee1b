"""`pipelines/predict.py`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from service.config.arguments import fraction, parsed, positive
from service.config.coco import COCOConfig
from service.config.errors import ConfigurationError
from service.config.failures import refuse, report
from service.data.packing import PackedStrings
from service.data.progress import Progress
from service.detection.drawings import SCORE
from service.inference.classes import ClassFile, ClassPredictor
from service.inference.command import parser
from service.inference.inputs import listed_pictures
from service.inference.machine import best_device
from service.inference.networks import Classifier, Detector
from service.inference.objects import ObjectFiles, ObjectPredictor
from service.inference.output import PREDICTIONS, OutputFolder
from service.inference.predicting import predictions
from service.inference.trained import Trained, open_trained

_EXAMPLE = (
    "python pipelines/predict.py --checkpoint runs/mask_rcnn/step_00090000 photos "
    "--output predictions"
)


def predict(arguments: Sequence[str]) -> int:
    """Does what a command line asks for.

    Returns:
        The exit status: 0 if any picture could be read, 1 if none could or the work failed, 2 for
        input that cannot be used.
    """
    try:
        return _predict(_parse(arguments))
    except ConfigurationError as error:
        return refuse(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        return report(error, "the prediction")


def _predict(options: argparse.Namespace) -> int:
    output = OutputFolder(options.output, PREDICTIONS, overwrite=options.overwrite)
    files = listed_pictures(options.inputs, options.lists, options.output)
    place = [f"storage.path={options.storage}", f"tracking.uri={options.uri}"]
    trained = open_trained(options.checkpoint, place, options.weights)
    _check(options, trained)
    print(f"{trained.folder}: {trained.weights} weights, {len(files)} pictures", flush=True)
    with output, Progress(len(files)) as progress:
        written = _write(output.path, trained, files, options, progress)
        if not written:
            output.discard()
    failed = len(files) - written
    ending = f"; {failed} could not be used" if failed else ""
    where = f"; results in {options.output}" if written else "; nothing is written"
    print(f"{written} of {len(files)} pictures predicted{ending}{where}")
    return 0 if written else 1


def _check(options: argparse.Namespace, trained: Trained) -> None:
    """Raises ConfigurationError for options that the kind of network does not know."""
    if isinstance(trained.config, COCOConfig):
        if options.format == "csv":
            raise ConfigurationError(
                "--format: csv has no place for boxes and masks; leave it at jsonl for a detector"
            )
    elif options.score is not None or options.no_pictures:
        name = "--score" if options.score is not None else "--no-pictures"
        raise ConfigurationError(
            f"{name}: is for detectors, and this is a classifier; leave it away"
        )


def _write(
    folder: Path,
    trained: Trained,
    files: PackedStrings,
    options: argparse.Namespace,
    progress: Progress,
) -> int:
    """Predicts and writes; returns for how many pictures."""
    config, device = trained.config, best_device()
    batch_size = options.batch_size or config.data.evaluation.batch_size
    written = 0
    if isinstance(config, COCOConfig):
        score = SCORE if options.score is None else options.score
        detector = ObjectPredictor(
            Detector(trained, device), files, None if options.no_pictures else score
        )
        masks = config.model.kind == "mask_rcnn"
        with ObjectFiles(folder, trained.categories, ("box", "mask") if masks else ("box",)) as out:
            for found in predictions(files, detector, batch_size, progress):
                out.write(found)
                written += 1
        return written
    classifier = ClassPredictor(Classifier(trained, device), files)
    with ClassFile(folder, options.format) as lines:
        for named in predictions(files, classifier, batch_size, progress):
            lines.write(named)
            written += 1
    return written


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    made = parser("Names what pictures show, or finds the objects in them.", _EXAMPLE)
    made.add_argument("inputs", nargs="*", type=Path, metavar="INPUT", help="pictures and folders")
    made.add_argument(
        "--list",
        action="append",
        default=[],
        type=Path,
        dest="lists",
        metavar="FILE",
        help="a text file with a path in each line",
    )
    made.add_argument(
        "--output", required=True, type=Path, metavar="FOLDER", help="folder of the results"
    )
    made.add_argument(
        "--format", choices=("jsonl", "csv"), default="jsonl", help="of a classifier's results"
    )
    made.add_argument(
        "--score", type=fraction, help=f"least score of objects that are drawn ({SCORE:g})"
    )
    made.add_argument("--no-pictures", action="store_true", help="draw nothing")
    made.add_argument(
        "--batch-size",
        type=positive,
        help="pictures of a forward pass; as in training's evaluation",
    )
    made.add_argument("--storage", default="runs", help="folder of all runs, for runs:/ (runs)")
    made.add_argument("--uri", default="auto", help="MLflow server, for runs:/; auto: as the runs'")
    return parsed(made, arguments)
