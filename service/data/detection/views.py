"""Making batches of views from the places of their pictures and the seeds of their views."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from service.config.detection_data import ScenesConfig
from service.data.batch import Request, callers_generator_kept
from service.data.decoding import DamagedPictureError
from service.data.detection.batch import DetectionBatch, stacked
from service.data.detection.coco import DetectionSet
from service.data.detection.copy_paste import View, pasted
from service.data.detection.objects import Objects
from service.data.detection.orientation import decode_annotated
from service.data.detection.scaling import Placement, draw_placement, fitted
from service.data.detection.view_objects import view_objects
from service.data.patience import read_patiently
from service.data.skipping import Failure, not_skipped

BLANK_SIDE = 32
"""Sides of the view that stands for a picture which evaluation cannot use, pixels."""


class DetectionTrainingViews(Dataset[DetectionBatch | DamagedPictureError]):
    """Makes batches of random views.

    A view depends on its picture, its seed and, with copy-paste, the pictures that the seed draws.
    Where pictures may be skipped, the next usable one stands for one that cannot be used, under the
    same seed; no other view changes.

    Args:
        pictures: The training pictures.
        config: What is done to them.
        masks: Whether objects get masks.
    """

    def __init__(self, pictures: DetectionSet, config: ScenesConfig, *, masks: bool) -> None:
        self.pictures = pictures
        self.config = config
        self.masks = masks
        strength = config.train.photometric_distortion
        self.distortion = v2.RandomPhotometricDistort(p=strength) if strength else None
        self.padding = [round(255 * channel) for channel in config.mean]

    def __getitem__(self, request: Request) -> DetectionBatch | DamagedPictureError:
        failures: list[Failure] = []
        found = []
        try:
            with callers_generator_kept():
                for index, seed in zip(
                    request.indices.tolist(), request.seeds.tolist(), strict=True
                ):
                    found.append(self._usable(index, seed, failures, paste=True))
        except DamagedPictureError as error:
            return error
        views = [view for _, view in found]
        return stacked(
            [view.picture for view in views],
            [view.objects for view in views],
            [index for index, _ in found],
            failures,
        )

    def _usable(
        self, index: int, seed: int, failures: list[Failure], *, paste: bool
    ) -> tuple[int, View]:
        """Returns the view of a picture or, where they may be skipped, of the next usable one.

        Adds to `failures` each picture that cannot be used.

        Raises:
            DamagedPictureError: The picture cannot be used and may not be skipped, or none can.
        """
        count = len(self.pictures)
        for place in range(index, index + count):
            try:
                view = self._view(place % count, seed)
            except DamagedPictureError as error:
                if self.config.on_error == "fail":
                    raise not_skipped(error) from error
                failures.append(Failure(place % count, str(error)))
            else:
                return place % count, self._with_others(view, failures) if paste else view
        raise DamagedPictureError(f"none of the {count} pictures can be used: {failures[-1].text}")

    def _view(self, index: int, seed: int) -> View:
        """Returns a view of one picture alone."""
        torch.default_generator.manual_seed(seed)
        picture = _decoded(self.pictures, index)
        height, width = picture.shape[1:]
        train = self.config.train
        placement = draw_placement(train.scale, train.flip, height, width)
        annotated = self.pictures.annotations(index)
        return View(
            _placed(picture, placement, self.padding, self.distortion),
            view_objects(annotated, placement, (height, width), masks=self.masks),
        )

    def _with_others(self, view: View, failures: list[Failure]) -> View:
        """Pastes objects of another picture, which is drawn, in with the configured probability."""
        if not torch.rand(()) < self.config.train.copy_paste:
            return view
        other = int(torch.randint(len(self.pictures), ()))
        seed = int(torch.randint(2**63 - 1, ()))
        _, partner = self._usable(other, seed, failures, paste=False)
        return pasted(view, partner)


class DetectionEvaluationViews(Dataset[DetectionBatch | DamagedPictureError]):
    """Makes batches of the views that evaluation sees, without objects.

    Args:
        pictures: The evaluation pictures.
        config: What is done to them.
    """

    def __init__(self, pictures: DetectionSet, config: ScenesConfig) -> None:
        self.pictures = pictures
        self.config = config

    def __getitem__(self, request: Request) -> DetectionBatch | DamagedPictureError:
        failures: list[Failure] = []
        indices = request.indices.tolist()
        try:
            views = [self._view(index, failures) for index in indices]
        except DamagedPictureError as error:
            return error
        nothing = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), None)
        return stacked(views, [nothing] * len(views), indices, failures)

    def _view(self, index: int, failures: list[Failure]) -> Tensor:
        """Returns the view of a picture; a blank one for a picture that may be skipped."""
        evaluation = self.config.evaluation
        try:
            picture = _decoded(self.pictures, index)
        except DamagedPictureError as error:
            if self.config.on_error == "fail":
                raise not_skipped(error) from error
            failures.append(Failure(index, str(error)))
            return torch.zeros((3, BLANK_SIDE, BLANK_SIDE), dtype=torch.uint8)
        height, width = picture.shape[1:]
        placement = fitted(height, width, evaluation.short_side, evaluation.longest)
        resized: Tensor = functional.resize(picture, list(placement.size), antialias=True)
        return resized


def _decoded(pictures: DetectionSet, index: int) -> Tensor:
    """Returns a picture, uint8 (3, h, w), in the orientation of its annotations.

    Raises:
        DamagedPictureError: It cannot be used; names it.
    """
    entry = pictures.pictures[index]
    try:
        return decode_annotated(read_patiently(pictures.read, index), entry.width, entry.height)
    except (OSError, DamagedPictureError) as error:
        place = f"{pictures.source}/{entry.file}"
        reason = getattr(error, "strerror", None) or error
        raise DamagedPictureError(f"{place} cannot be used: {reason}") from error


def _placed(
    picture: Tensor,
    placement: Placement,
    padding: list[int],
    distortion: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """Returns the pixels of a view; only what is no padding is distorted."""
    (height, width), (high, wide) = placement.size, placement.canvas
    cropped = functional.crop(
        picture, placement.top, placement.left, placement.height, placement.width
    )
    # The same for each pixel, so it is done where there are fewer of them.
    enlarged = height * width > placement.height * placement.width
    if distortion is not None and enlarged:
        cropped = distortion(cropped)
    view: Tensor = functional.resize(cropped, [height, width], antialias=True)
    if distortion is not None and not enlarged:
        view = distortion(view)
    if placement.size != placement.canvas:
        view = functional.pad(view, [0, 0, wide - width, high - height], fill=padding)
    return functional.horizontal_flip(view) if placement.flip else view
