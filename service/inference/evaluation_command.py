"""`pipelines/evaluate.py`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from service.config.arguments import parsed, positive
from service.config.coco import COCOConfig
from service.config.errors import ConfigurationError
from service.config.failures import ended
from service.config.showing import shown
from service.inference.command import parser, say, warn
from service.inference.evaluation import CALIBRATION_ERROR, Evaluation, evaluate_trained
from service.inference.evaluation_output import FiguresOutput
from service.inference.evaluation_record import How, described, log
from service.inference.resolution import at_resolution
from service.inference.trained import Trained, open_trained
from service.tracking.evaluations import plain_name

_EXAMPLE = (
    "python pipelines/evaluate.py --checkpoint runs/resnet50/step_00450000 data.root=/data/imagenet"
)
_MEANINGS = {
    "loss": "mean negative log likelihood, nats",
    CALIBRATION_ERROR: "expected, 15 bins, %",
}


def evaluate(arguments: Sequence[str]) -> int:
    """Does what a command line asks for.

    Returns:
        The exit status: 0 if all went well, 1 if the work failed, 2 for input that cannot be used.
    """
    return ended(lambda: _evaluate(_parse(arguments)), "the evaluation")


def _evaluate(options: argparse.Namespace) -> int:
    output = FiguresOutput(options.output, overwrite=options.overwrite)
    trained = _opened(options)
    how = How.asked(options, trained)
    say(f"{trained.folder}: {trained.weights} weights{how.in_words()}")
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        evaluation = evaluate_trained(trained, folder, warn, flip=options.flip)
        content = described(how, trained, evaluation)
        _print(evaluation, content["in_training"])
        written = output.write(content, folder)
        if written is not None:
            say(written)
        if not options.no_log:
            say(log(how, trained, content, folder))
    return 0


def _opened(options: argparse.Namespace) -> Trained:
    """Returns the checkpoint, as it shall be evaluated."""
    trained = open_trained(options.checkpoint, options.overrides, options.weights)
    if options.flip and isinstance(trained.config, COCOConfig):
        raise ConfigurationError(
            "--flip: is for classifiers, and this is a detector; leave it away"
        )
    return trained if options.resolution is None else at_resolution(trained, options.resolution)


def _print(evaluation: Evaluation, before: dict[str, float]) -> None:
    say(f"{evaluation.pictures} pictures of {evaluation.source}")
    for name, value in evaluation.figures.items():
        ending = f"   in training {before[name]:.4f}" if name in before else ""
        meaning = f"   ({_MEANINGS[name]})" if name in _MEANINGS else ""
        say(f"{name:<18}{value:>10.4f}{ending}{meaning}")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    made = parser("Evaluates a checkpoint, on the data of its training or on others.", _EXAMPLE)
    made.add_argument(
        "overrides",
        nargs="*",
        metavar="key.path=value",
        help="any field of the checkpoint's configuration, such as data.root=… or "
        "data.evaluation.batch_size=8",
    )
    made.add_argument(
        "--flip",
        action="store_true",
        help="show a classifier each picture's mirror image too, and take the mean of both "
        "probabilities",
    )
    made.add_argument(
        "--resolution",
        type=positive,
        metavar="PIXELS",
        help="side of a classifier's crop, or a detector's shorter side; what goes with it is "
        "scaled in proportion",
    )
    made.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="a JSON file of the figures; tables and pictures go to a folder beside it",
    )
    made.add_argument(
        "--name",
        type=_name,
        help="what the pictures are called in MLflow, evaluation/NAME/top1 (the data's name, and "
        "how it was evaluated otherwise than in training)",
    )
    made.add_argument(
        "--no-log", action="store_true", help="leave the MLflow run of the training as it is"
    )
    return parsed(made, arguments)


def _name(text: str) -> str:
    if text != plain_name(text):
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is no name: use up to 100 letters, digits, _ - ."
        )
    return text
