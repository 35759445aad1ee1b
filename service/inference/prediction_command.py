"""`pipelines/predict.py`."""

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from service.config.arguments import fraction, parsed, positive
from service.config.coco import COCOConfig
from service.config.errors import ConfigurationError
from service.config.failures import ended
from service.data.packing import PackedStrings
from service.data.progress import Progress
from service.detection.drawings import SCORE
from service.detection.evaluation.results import Kind
from service.inference.classes import ClassFiles, ClassPredictor
from service.inference.command import add_pictures, add_places, given_pictures, opened, parser, say
from service.inference.machine import best_device
from service.inference.networks import Classifier, Detector
from service.inference.objects import ObjectFiles, ObjectPredictor
from service.inference.output import PREDICTIONS, OutputFolder
from service.inference.predicting import predictions
from service.inference.trained import Trained

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
    return ended(lambda: _predict(_parse(arguments)), "the prediction")


def _predict(options: argparse.Namespace) -> int:
    output = OutputFolder(options.output, PREDICTIONS, overwrite=options.overwrite)
    files = given_pictures(options)
    trained = opened(options)
    _check(options, trained)
    say(f"{trained.folder}: {trained.weights} weights, pictures: {len(files)}")
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
    if options.score is not None and not isinstance(trained.config, COCOConfig):
        raise ConfigurationError(
            "--score: is for detectors, and this is a classifier; leave it away"
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
        drawn = None if options.pictures is False else score
        detector = ObjectPredictor(Detector(trained, device), files, drawn)
        masks = config.model.kind == "mask_rcnn"
        kinds: tuple[Kind, ...] = ("box", "mask") if masks else ("box",)
        with closing(ObjectFiles(folder, trained.categories, kinds, options.format)) as out:
            for found in predictions(files, detector, batch_size, progress):
                out.write(found)
                written += 1
        return written
    classifier = ClassPredictor(Classifier(trained, device), files, draw=options.pictures is True)
    with closing(ClassFiles(folder, options.format)) as lines:
        for named in predictions(files, classifier, batch_size, progress):
            lines.write(named)
            written += 1
    return written


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    made = parser("Names what pictures show, or finds the objects in them.", _EXAMPLE)
    add_pictures(made, "pictures and folders")
    add_places(made, "results", "runs:/ and models:/")
    made.add_argument(
        "--format", choices=("jsonl", "csv"), default="jsonl", help="of the results (jsonl)"
    )
    made.add_argument(
        "--score", type=fraction, help=f"least score of objects that are drawn ({SCORE:g})"
    )
    made.add_argument(
        "--pictures",
        action=argparse.BooleanOptionalAction,
        help="draw the results into copies of the pictures; a detector does unless told otherwise",
    )
    made.add_argument(
        "--batch-size",
        type=positive,
        help="pictures of a forward pass; as in training's evaluation",
    )
    return parsed(made, arguments)
