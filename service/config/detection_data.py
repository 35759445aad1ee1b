"""Pictures with objects: where they come from and what is done to them on the way to the device."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from service.config.base import (
    Config,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Probability,
)

Side = Annotated[int, Field(ge=16, le=4096)]


class ShortSideConfig(Config):
    """Resizing by the shorter side, to one of several lengths: multi-scale jitter."""

    kind: Literal["short_side"] = "short_side"
    """The resizing."""
    sides: Annotated[tuple[Side, ...], Field(min_length=1)] = (800,)
    """Lengths of the shorter side, pixels; one is drawn for each view."""
    longest: Side = 1333
    """Most pixels of the longer side."""


class LargeScaleJitterConfig(Config):
    """Large-scale jitter (arXiv 2012.07177): resize by a random factor, crop or pad to a square."""

    kind: Literal["large_scale_jitter"] = "large_scale_jitter"
    """The resizing."""
    size: Side = 1024
    """Side of the square, pixels."""
    low: PositiveFloat = 0.1
    """Least factor, relative to fitting the picture into the square."""
    high: PositiveFloat = 2.0
    """Greatest factor."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low must not exceed high (got low {self.low}, high {self.high})")
        return self


class DetectionTrainConfig(Config):
    """What training sees of a picture."""

    scale: Annotated[ShortSideConfig | LargeScaleJitterConfig, Field(discriminator="kind")] = (
        ShortSideConfig()
    )
    """How large."""
    flip: Probability = 0.5
    """Probability of a horizontal flip."""
    photometric_distortion: Probability = 0.0
    """Probability of a random change of brightness, contrast, saturation and hue (arXiv
    1512.02325)."""
    copy_paste: Probability = 0.0
    """Probability that objects of another picture are pasted in (arXiv 2012.07177); needs masks."""
    empty_pictures: Literal["keep", "leave_out"] = "keep"
    """Pictures without objects: negatives, or left out."""
    group_by_aspect_ratio: bool = True
    """Make batches of pictures that are all wide or all tall, which wastes less on padding."""


class DetectionEvaluationConfig(Config):
    """What evaluation sees of a picture."""

    short_side: Side = 800
    """Length of the shorter side, pixels."""
    longest: Side = 1333
    """Most pixels of the longer side."""
    batch_size: PositiveInt = 1
    """Pictures in a batch of one worker. Those of a batch are padded to one size, which moves
    detections a little: only with 1 are the figures the same for any number of workers."""
    pictures_shown: NonNegativeInt = 8
    """Evaluation pictures that are drawn with their objects and detections."""


class ScenesConfig(Config):
    """What all sources of pictures with objects share."""

    train: DetectionTrainConfig = DetectionTrainConfig()
    """Training pictures."""
    evaluation: DetectionEvaluationConfig = DetectionEvaluationConfig()
    """Evaluation pictures."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Mean of each colour channel, red, green, blue, of values in [0, 1]."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.229, 0.224, 0.225)
    """Standard deviation of each colour channel."""
    on_error: Literal["fail", "skip"] = "fail"
    """A picture that cannot be read or decoded: end the run, or go on without it."""
    max_skipped_fraction: Probability = 0.01
    """Largest share of a split that may be skipped."""
    loading_processes: Literal["auto"] | NonNegativeInt = "auto"
    """Processes that decode and augment for each worker; auto leaves one core to the training
    process."""
    prefetch_batches: PositiveInt = 2
    """Batches that each loading process prepares ahead."""
    loading_timeout: PositiveFloat | None = 300.0
    """Seconds to wait for a batch of the loading processes before they count as hanging, and Ray
    starts the workers again; null for no bound."""


class DrawnScenesConfig(ScenesConfig):
    """A built-in set of drawn scenes in COCO layout: shapes, a crowd, and empty pictures."""

    kind: Literal["drawn"] = "drawn"
    """Where pictures come from."""
    classes: Annotated[int, Field(ge=2, le=10)] = 3
    """Kinds of shapes."""
    train_pictures: PositiveInt = 240
    """Pictures in the training split."""
    evaluation_pictures: PositiveInt = 60
    """Pictures in the evaluation split."""
    picture_size: Annotated[int, Field(ge=32, le=1024)] = 128
    """Longer side of a picture, pixels."""
    drawing_seed: NonNegativeInt = 0
    """Seed of the drawings; the same seed draws the same bytes."""


class COCODataConfig(ScenesConfig):
    """Pictures and annotations as COCO has them."""

    kind: Literal["coco"] = "coco"
    """Where pictures come from."""
    root: str
    """Folder that holds the pictures' folders and `annotations/`."""
    train_pictures: str = "train2017"
    """Folder of the training pictures below `root`."""
    evaluation_pictures: str = "val2017"
    """Folder of the evaluation pictures below `root`."""
    train_annotations: str = "annotations/instances_train2017.json"
    """Annotation file of the training split, below `root`; the category list comes from it."""
    evaluation_annotations: str = "annotations/instances_val2017.json"
    """Annotation file of the evaluation split, below `root`."""


DetectionDataConfig = Annotated[
    DrawnScenesConfig | COCODataConfig,
    Field(
        discriminator="kind",
        # `data.root=…` alone means COCO's layout; another source keeps the treatment of pictures.
        json_schema_extra={
            "implied_kind": {"root": "coco"},
            "kept": list(ScenesConfig.model_fields),
        },
    ),
]
