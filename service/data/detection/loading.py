"""Streams of batches of pictures with objects, made in this process or in loading processes.

They are like those of classification: what a batch holds depends on its place in the stream and on
nothing else, and one DataLoader lives as long as the run.
"""

from collections.abc import Generator

import numpy as np

from service.config.detection_data import ScenesConfig
from service.config.errors import ConfigurationError
from service.data.detection.batch import DetectionBatch
from service.data.detection.coco import DetectionSet
from service.data.detection.views import DetectionEvaluationViews, DetectionTrainingViews
from service.data.loading import evaluation_requests, load, training_requests
from service.data.order import SampleOrder, evaluation_share, worker_positions


def detection_training_batches(
    pictures: DetectionSet,
    config: ScenesConfig,
    order: SampleOrder,
    *,
    masks: bool,
    start: int,
    batch_size: int,
    accumulation: int,
    rank: int,
    world_size: int,
    loading_processes: int,
) -> Generator[DetectionBatch, None, None]:
    """Starts loading this worker's micro-batches from a stream position on, without end.

    Args are those of `service.data.loading.training_batches`, and `masks`: whether objects get
    masks.

    Raises:
        ConfigurationError: The batch is too small for the workers and micro-batches, or objects
            are to be pasted without masks.
        DamagedPictureError: While iterating: a picture cannot be used and may not be skipped; names
            it.
        LoadingError: While iterating: a loading process died, or they hang.
    """
    if order.size != len(pictures):
        raise ValueError(f"the order has {order.size} samples, the set {len(pictures)}")
    if config.train.copy_paste and not masks:
        raise ConfigurationError(
            "data.train.copy_paste: objects are pasted by their masks, and this detector has none; "
            "set it to 0, or take model.kind=mask_rcnn"
        )
    positions = worker_positions(
        start=start,
        batch_size=batch_size,
        accumulation=accumulation,
        rank=rank,
        world_size=world_size,
    )
    views = DetectionTrainingViews(pictures, config, masks=masks)
    requests = training_requests(order, positions)
    return load(views, requests, config.prefetch_batches, loading_processes, config.loading_timeout)


def detection_evaluation_batches(
    pictures: DetectionSet,
    config: ScenesConfig,
    *,
    rank: int,
    world_size: int,
    loading_processes: int,
) -> Generator[DetectionBatch, None, None]:
    """Starts loading this worker's share of the evaluation pictures, each exactly once.

    A share is taken from wide pictures to tall ones, so that little is padded; `indices` tell which
    they are. Batches hold `evaluation.batch_size` pictures, the last one what is left.

    Raises:
        DamagedPictureError: While iterating: a picture cannot be used and may not be skipped; names
            it.
        LoadingError: While iterating: a loading process died, or they hang.
    """
    share = evaluation_share(len(pictures), rank, world_size)
    widths, heights = pictures.pictures.sizes[share].T
    share = share[np.argsort(heights / widths, kind="stable")]
    views = DetectionEvaluationViews(pictures, config)
    requests = evaluation_requests(share, config.evaluation.batch_size)
    return load(views, requests, config.prefetch_batches, loading_processes, config.loading_timeout)
