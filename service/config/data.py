"""Pictures: where they come from and what is done to them on the way to the device."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from service.config.base import (
    Config,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Probability,
    Range,
)


class NoAugmentation(Config):
    """Crop and flip alone."""

    kind: Literal["none"] = "none"
    """The policy."""


class RandAugmentConfig(Config):
    """RandAugment (arXiv 1909.13719): a fixed number of operations of one strength."""

    kind: Literal["rand_augment"] = "rand_augment"
    """The policy."""
    operations: PositiveInt = 2
    """Operations applied to each picture, N."""
    magnitude: Annotated[int, Field(ge=0, le=30)] = 9
    """Strength of each operation, M, on a scale of 0 to 30."""


class AutoAugmentConfig(Config):
    """AutoAugment (arXiv 1805.09501): the policy found on ImageNet."""

    kind: Literal["auto_augment"] = "auto_augment"
    """The policy."""


class TrivialAugmentConfig(Config):
    """TrivialAugment Wide (arXiv 2103.10158): one operation of a random strength."""

    kind: Literal["trivial_augment"] = "trivial_augment"
    """The policy."""


AugmentationConfig = Annotated[
    NoAugmentation | RandAugmentConfig | AutoAugmentConfig | TrivialAugmentConfig,
    Field(discriminator="kind"),
]


class TrainPicturesConfig(Config):
    """What training sees of a picture."""

    size: Annotated[int, Field(ge=8, le=1024)] = 224
    """Side of the random crop after resizing, pixels."""
    crop_area: Range = Range(low=0.08, high=1.0)
    """Share of the picture's area that the random crop covers, in (0, 1]."""
    crop_ratio: Range = Range(low=0.75, high=4 / 3)
    """Width over height of the random crop before resizing."""
    flip: Probability = 0.5
    """Probability of a horizontal flip."""
    augmentation: AugmentationConfig = NoAugmentation()
    """Policy applied after the crop and the flip."""
    random_erasing: Probability = 0.0
    """Probability that a random rectangle is blanked (arXiv 1708.04896), filled with the mean
    colour."""
    repeats: PositiveInt = 1
    """Repeated augmentation (arXiv 1902.05509): views of each chosen sample; an epoch keeps its
    length."""

    @model_validator(mode="after")
    def _crop_is_possible(self) -> Self:
        if not 0 < self.crop_area.low <= self.crop_area.high <= 1:
            area = self.crop_area
            raise ValueError(f"crop_area must lie in (0, 1] (got low {area.low}, high {area.high})")
        if self.crop_ratio.low <= 0:
            raise ValueError(f"crop_ratio must be positive (got low {self.crop_ratio.low})")
        return self


class EvaluationPicturesConfig(Config):
    """What evaluation sees of a picture."""

    resize: Annotated[int, Field(ge=8, le=2048)] = 256
    """Shorter side after resizing, pixels."""
    size: Annotated[int, Field(ge=8, le=2048)] = 224
    """Side of the central crop, pixels; at most `resize`."""
    batch_size: PositiveInt = 64
    """Pictures in a batch of one worker."""

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.size > self.resize:
            raise ValueError(
                f"size must not exceed resize (got size {self.size}, resize {self.resize})"
            )
        return self


class PicturesConfig(Config):
    """What all sources of pictures share."""

    train: TrainPicturesConfig = TrainPicturesConfig()
    """Training pictures."""
    evaluation: EvaluationPicturesConfig = EvaluationPicturesConfig()
    """Evaluation pictures."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """Resampling of every resize, with antialiasing."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Mean of each colour channel, red, green, blue, of values in [0, 1]."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.229, 0.224, 0.225)
    """Standard deviation of each colour channel."""
    on_error: Literal["fail", "skip"] = "fail"
    """A picture that cannot be read or decoded: end the run, or go on without it."""
    max_skipped_fraction: Probability = 0.01
    """Largest share of a split that may be skipped."""
    loading_processes: Literal["auto"] | NonNegativeInt = "auto"
    """Processes of a worker that decode and augment; auto takes the worker's spare cores."""
    prefetch_batches: PositiveInt = 4
    """Batches each loading process keeps ready."""
    loading_timeout: PositiveFloat | None = 300.0
    """Seconds to wait for a batch of the loading processes before they count as hanging, and Ray
    starts the workers again; null for no bound."""


class DrawnDataConfig(PicturesConfig):
    """A built-in set of drawn pictures: shapes with texture, colour, clutter and changing scale."""

    kind: Literal["drawn"] = "drawn"
    """Where pictures come from."""
    classes: Annotated[int, Field(ge=2, le=10)] = 10
    """Kinds of shapes."""
    train_pictures: PositiveInt = 3000
    """Pictures in the training split."""
    evaluation_pictures: PositiveInt = 500
    """Pictures in the evaluation split."""
    picture_size: Annotated[int, Field(ge=16, le=512)] = 80
    """Longer side of a picture, pixels."""
    drawing_seed: NonNegativeInt = 0
    """Seed of the drawings; the same seed draws the same bytes."""


class StreamedPicturesConfig(PicturesConfig):
    """A root: a folder, or an address from which pictures come while training goes on."""

    cache_folder: str | None = None
    """Folder on each node for what is kept of an object store: indices, and shards up to
    `data.cache_gib`; null takes the one for data sets, below the storage path."""
    cache_gib: NonNegativeFloat = 0.0
    """Most GiB of a data set's shards that each node copies to `data.cache_folder` while it trains,
    the first ones first; 0 for none."""


class FolderDataConfig(StreamedPicturesConfig):
    """A tree of pictures as ImageNet has it: `train/<class>/*` and `val/<class>/*`."""

    kind: Literal["folder"] = "folder"
    """Where pictures come from."""
    root: str
    """Folder that holds `train/` and `val/`; the class list and the label order come from
    `train/`. Where that holds tar shards, as `pipelines/prepare.py` writes them, they are read; in
    an object store (`s3://bucket/imagenet`) only those."""


class ShardsDataConfig(StreamedPicturesConfig):
    """WebDataset tar shards, `train/*.tar` and `val/*.tar`: a picture and a `.cls` each."""

    kind: Literal["shards"] = "shards"
    """Where pictures come from."""
    root: str
    """Folder, or address in an object store such as `s3://bucket/imagenet`, that holds `train/` and
    `val/`; a byte index is kept beside the shards."""


DataConfig = Annotated[
    DrawnDataConfig | FolderDataConfig | ShardsDataConfig,
    Field(
        discriminator="kind",
        # `data.root=…` alone means a folder; another source keeps the treatment of pictures, and
        # the root if it has one: `data.root=… data.kind=shards` is the same in either order.
        json_schema_extra={
            "implied_kind": {"root": "folder"},
            "kept": [*StreamedPicturesConfig.model_fields, "root"],
        },
    ),
]
