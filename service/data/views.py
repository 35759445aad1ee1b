"""What makes the batches of a split, by what its pictures are."""

from service.config.small_data import AnyPicturesConfig, SmallPicturesConfig
from service.data.augmentation import EvaluationView, TrainingView
from service.data.batch import Views
from service.data.decoded import DecodedPictures
from service.data.decoded_views import SmallEvaluationViews, SmallTrainingViews
from service.data.pictures import Pictures

AnyViews = Views | SmallTrainingViews | SmallEvaluationViews
"""Makes batches on request; `needs_processes` says whether that is work for several processes."""


def training_views(pictures: Pictures, config: AnyPicturesConfig) -> AnyViews:
    """Returns what makes random views.

    Raises:
        TypeError: The configuration is for pictures of the other kind.
    """
    if isinstance(pictures, DecodedPictures) and isinstance(config, SmallPicturesConfig):
        return SmallTrainingViews(pictures, config)
    if isinstance(pictures, DecodedPictures) or isinstance(config, SmallPicturesConfig):
        raise _mismatch(pictures, config)
    return Views(pictures, TrainingView(config), skips=config.on_error == "skip")


def evaluation_views(pictures: Pictures, config: AnyPicturesConfig) -> AnyViews:
    """Returns what makes the views that evaluation sees.

    Raises:
        TypeError: The configuration is for pictures of the other kind.
    """
    if isinstance(pictures, DecodedPictures) and isinstance(config, SmallPicturesConfig):
        return SmallEvaluationViews(pictures)
    if isinstance(pictures, DecodedPictures) or isinstance(config, SmallPicturesConfig):
        raise _mismatch(pictures, config)
    return Views(pictures, EvaluationView(config), skips=config.on_error == "skip")


def _mismatch(pictures: Pictures, config: AnyPicturesConfig) -> TypeError:
    return TypeError(f"{type(config).__name__} is not for {type(pictures).__name__}")
