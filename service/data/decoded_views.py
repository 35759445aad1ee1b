"""Batches of small pictures that are in memory."""

import torch
from torch.utils.data import Dataset

from service.config.small_data import SmallPicturesConfig
from service.data.augmentation import small_policy
from service.data.batch import Batch, Request
from service.data.decoded import DecodedPictures
from service.data.random_crops import draw_crops


class SmallEvaluationViews(Dataset[Batch]):
    """Makes batches of pictures as they are.

    Args:
        pictures: Where the pictures come from.
    """

    needs_processes = False

    def __init__(self, pictures: DecodedPictures) -> None:
        self._pictures = pictures

    def __getitem__(self, request: Request) -> Batch:
        return _gathered(self._pictures, request)


class SmallTrainingViews(Dataset[Batch]):
    """Makes batches whose crops are drawn but left to the device, see `Batch.crops`.

    A view depends on its picture and its seed and on nothing else.

    Args:
        pictures: Where the pictures come from.
        config: What is done to them.
    """

    def __init__(self, pictures: DecodedPictures, config: SmallPicturesConfig) -> None:
        self._pictures = pictures
        self._config = config
        # Random through torch's global generator, as in `service.data.batch`.
        self._policy = small_policy(config)
        self.needs_processes = self._policy is not None

    def __getitem__(self, request: Request) -> Batch:
        batch = _gathered(self._pictures, request, self._config)
        if self._policy is not None:
            # In the training process itself the generator is the caller's, dropout's for one.
            with torch.random.fork_rng(devices=[]):
                for picture, seed in zip(batch.pictures, request.seeds.tolist(), strict=True):
                    torch.default_generator.manual_seed(seed)
                    picture.copy_(self._policy(picture))
        return batch


def _gathered(
    pictures: DecodedPictures, request: Request, training: SmallPicturesConfig | None = None
) -> Batch:
    """Copies the requested pictures; for training with the draws of their crops."""
    return Batch(
        torch.from_numpy(pictures.pictures[request.indices]),
        torch.from_numpy(pictures.labels[request.indices]),
        torch.from_numpy(request.indices),
        None if training is None else draw_crops(training, request.seeds),
    )
