"""The configuration of `pipelines/coco.py`."""

from typing import Self

from pydantic import model_validator

from service.config.detection_data import DetectionDataConfig, DrawnScenesConfig
from service.config.detector import DetectorChoice, MaskRCNNConfig
from service.config.run import RunConfig
from service.config.training import CheckpointConfig, TrackingConfig


class COCOConfig(RunConfig):
    """Object detection on COCO and on data laid out like it."""

    model: DetectorChoice = MaskRCNNConfig(trained_stages=5, batch_norm="trained")
    """The detector."""
    data: DetectionDataConfig = DrawnScenesConfig()
    """The pictures."""
    checkpoint: CheckpointConfig = CheckpointConfig(metric="val/box_ap")
    """Checkpoints."""
    tracking: TrackingConfig = TrackingConfig(experiment="coco")
    """MLflow."""

    @property
    def synchronised_norm_field(self) -> str | None:
        """Path of the field that asks for batch normalisation over all workers, if one does."""
        return "model.batch_norm" if self.model.batch_norm == "synchronised" else None

    @model_validator(mode="after")
    def _compiles_nothing(self) -> Self:
        if self.training.compile:
            raise ValueError(
                "training.compile: the number of a detector's proposals changes with each batch, "
                "and each would be compiled anew; set it to false"
            )
        return self

    @model_validator(mode="after")
    def _pastes_by_masks(self) -> Self:
        if self.data.train.copy_paste and self.model.kind != "mask_rcnn":
            raise ValueError(
                "data.train.copy_paste: objects are pasted by their masks, and this detector has "
                "none; set it to 0, or take model.kind=mask_rcnn"
            )
        return self

    @model_validator(mode="after")
    def _one_place_for_synchronised_norms(self) -> Self:
        if self.training.sync_batch_norm:
            raise ValueError(
                "training.sync_batch_norm: give model.batch_norm=synchronised for a detector"
            )
        return self
