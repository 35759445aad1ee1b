"""Sets of 32 × 32 pictures, CIFAR and SVHN: where they come from and what is done to them."""

from typing import Annotated, Literal

from pydantic import Field

from service.config.base import Config, NonNegativeInt, PositiveFloat, PositiveInt, Probability
from service.config.data import (
    NoAugmentation,
    PicturesConfig,
    RandAugmentConfig,
    TrivialAugmentConfig,
)


class SmallAutoAugmentConfig(Config):
    """AutoAugment (arXiv 1805.09501): the policies found on CIFAR-10 and on SVHN."""

    kind: Literal["auto_augment"] = "auto_augment"
    """The policy."""
    policy: Literal["auto", "cifar10", "svhn"] = "auto"
    """Set that the policy was found on; auto takes svhn's for the kind svhn, cifar10's for all
    others."""


SmallAugmentationConfig = Annotated[
    NoAugmentation | RandAugmentConfig | SmallAutoAugmentConfig | TrivialAugmentConfig,
    Field(discriminator="kind"),
]


class SmallTrainPicturesConfig(Config):
    """What training sees of a picture."""

    augmentation: SmallAugmentationConfig = NoAugmentation()
    """Policy applied before the crop and the flip."""
    padding: Annotated[int, Field(ge=0, le=16)] = 4
    """Black pixels added on each side before the random crop of 32 × 32; 0 for no crop."""
    flip: Literal["auto"] | Probability = "auto"
    """Probability of a horizontal flip; auto is 0.5, and 0 for svhn, whose digits have no mirror
    images."""
    cutout: Annotated[int, Field(ge=0, le=32)] = 0
    """Side of the square that cutout (arXiv 1708.04552) blanks with the mean colour after all else,
    pixels; 0 for none."""
    repeats: PositiveInt = 1
    """Repeated augmentation (arXiv 1902.05509): views of each chosen sample; an epoch keeps its
    length."""


class SmallEvaluationPicturesConfig(Config):
    """How evaluation takes the pictures, which it sees as they are."""

    batch_size: PositiveInt = 256
    """Pictures in a batch of one worker."""


class SmallPicturesConfig(Config):
    """What all sets of 32 × 32 pictures share."""

    train: SmallTrainPicturesConfig = SmallTrainPicturesConfig()
    """Training pictures."""
    evaluation: SmallEvaluationPicturesConfig = SmallEvaluationPicturesConfig()
    """Evaluation pictures."""
    train_pictures: PositiveInt | None = None
    """Size of a reduced training set, the same number of each class, such as 4000; null for all."""
    subset_seed: NonNegativeInt = 0
    """Seed of the choice of a reduced training set; the same seed chooses the same pictures."""
    mean: tuple[float, float, float] = (0.4914, 0.4822, 0.4465)
    """Mean of each colour channel, red, green, blue, of values in [0, 1]."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.2470, 0.2435, 0.2616)
    """Standard deviation of each colour channel."""
    loading_processes: Literal["auto"] | NonNegativeInt = "auto"
    """Processes of a worker that apply a policy; auto takes the worker's spare cores. Without a
    policy there are none."""
    prefetch_batches: PositiveInt = 4
    """Batches each loading process keeps ready."""
    loading_timeout: PositiveFloat | None = 300.0
    """Seconds to wait for a batch of the loading processes before they count as hanging, and Ray
    starts the workers again; null for no bound."""


AnyPicturesConfig = PicturesConfig | SmallPicturesConfig
"""What is done to pictures, large or small."""


class CIFAR10DataConfig(SmallPicturesConfig):
    """CIFAR-10 as its authors publish it for Python."""

    kind: Literal["cifar10"] = "cifar10"
    """Where pictures come from."""
    root: str = "data"
    """Folder that holds `cifar-10-batches-py/`."""
    download: bool = False
    """Whether to download the set into `root` where it is missing (163 MiB)."""


class CIFAR100DataConfig(SmallPicturesConfig):
    """CIFAR-100, the 100 fine labels, as its authors publish it for Python."""

    kind: Literal["cifar100"] = "cifar100"
    """Where pictures come from."""
    root: str = "data"
    """Folder that holds `cifar-100-python/`."""
    download: bool = False
    """Whether to download the set into `root` where it is missing (161 MiB)."""
    mean: tuple[float, float, float] = (0.5071, 0.4865, 0.4409)
    """Mean of each colour channel, red, green, blue, of values in [0, 1]."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.2673, 0.2564, 0.2762)
    """Standard deviation of each colour channel."""


class SVHNDataConfig(SmallPicturesConfig):
    """SVHN, cropped digits, without its extra training pictures."""

    kind: Literal["svhn"] = "svhn"
    """Where pictures come from."""
    root: str = "data"
    """Folder that holds `train_32x32.mat` and `test_32x32.mat`."""
    download: bool = False
    """Whether to download the set into `root` where it is missing (235 MiB)."""
    mean: tuple[float, float, float] = (0.4377, 0.4438, 0.4728)
    """Mean of each colour channel, red, green, blue, of values in [0, 1]."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.1980, 0.2010, 0.1970)
    """Standard deviation of each colour channel."""


class ParquetDataConfig(SmallPicturesConfig):
    """Parquet files as the data sets `uoft-cs/cifar10` and `uoft-cs/cifar100` have them.

    Column `img` holds encoded pictures, column `label` or `fine_label` their labels.
    """

    kind: Literal["parquet"] = "parquet"
    """Where pictures come from."""
    root: str
    """Folder, or address in an object store such as `s3://bucket/cifar10`, that holds
    `train-*.parquet` and `test-*.parquet`."""
    cache_folder: str | None = None
    """Folder on each node for the files of an object store, which are copied there once; null takes
    the one for data sets, below the storage path."""


SmallDataConfig = Annotated[
    CIFAR10DataConfig | CIFAR100DataConfig | SVHNDataConfig | ParquetDataConfig,
    Field(
        discriminator="kind",
        # Another set keeps what is done to pictures, but has a mean and a deviation of its own.
        json_schema_extra={
            "kept": [
                *(name for name in SmallPicturesConfig.model_fields if name not in ("mean", "std")),
                "root",
                "download",
            ]
        },
    ),
]
