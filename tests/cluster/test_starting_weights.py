"""What a detector takes over from the configuration of the checkpoint it starts from."""

from pathlib import Path

import pytest

from service.cluster.starting_weights import with_weights
from service.config.coco import COCOConfig
from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.config.loading import load, to_yaml
from service.config.model import ResNetConfig
from service.config.regularizer import ShakeDropConfig
from service.models.resolution import resolved_run

TRAINED = (
    "model.depth=34",
    "model.width=16",
    "model.order=pre_activation",
    "model.classes=7",
    "model.regularizer.p_l=0.3",
    "model.regularizer.beta.high=0.5",
    "model.regularizer.level=channel",
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The configuration of a classifier's checkpoint; nothing here reads its weights."""
    config = resolved_run(load(ImageNetConfig, overrides=TRAINED))
    folder = tmp_path / "step_00000010"
    folder.mkdir()
    (folder / "config.yaml").write_text(to_yaml(config))
    return folder


def detector(weights: object, tmp_path: Path, *options: str) -> COCOConfig:
    own = (f"storage.path={tmp_path}", f"model.weights={weights}", "model.trained_stages=3")
    return with_weights(
        lambda beneath, more: load(COCOConfig, [], [*own, *options, *more], beneath)
    )


def test_the_backbone_is_the_checkpoints_network(checkpoint: Path, tmp_path: Path) -> None:
    backbone = detector(checkpoint, tmp_path).model.backbone
    assert isinstance(backbone, ResNetConfig)
    assert (backbone.depth, backbone.width, backbone.order) == (34, 16, "pre_activation")
    assert (backbone.classes, backbone.weights) == (None, None)
    regularizer = backbone.regularizer
    assert isinstance(regularizer, ShakeDropConfig)
    assert (regularizer.p_l, regularizer.level) == (0.3, "channel")
    assert (regularizer.alpha.low, regularizer.alpha.high) == (-1, 1)
    assert (regularizer.beta.low, regularizer.beta.high) == (0, 0.5)


def test_what_is_given_wins(checkpoint: Path, tmp_path: Path) -> None:
    one = "model.backbone.regularizer.p_l=0.8"
    regularizer = detector(checkpoint, tmp_path, one).model.backbone.regularizer
    assert isinstance(regularizer, ShakeDropConfig)
    assert (regularizer.p_l, regularizer.beta.high) == (0.8, 0.5)
    none = "model.backbone.regularizer.kind=none"
    assert detector(checkpoint, tmp_path, none).model.backbone.regularizer.kind == "none"


def test_a_recipe_that_names_the_method_leaves_its_strengths_to_the_checkpoint(
    checkpoint: Path, tmp_path: Path
) -> None:
    recipe = Path(__file__).parents[2] / "configs/coco/mask_rcnn_resnet50_shakedrop_1x.yaml"
    own = ["data.root=/data", f"model.weights={checkpoint}", f"storage.path={tmp_path}"]
    config = with_weights(lambda beneath, more: load(COCOConfig, [recipe], [*own, *more], beneath))
    regularizer = config.model.backbone.regularizer
    assert isinstance(regularizer, ShakeDropConfig)
    assert (regularizer.p_l, regularizer.level) == (0.3, "channel")
    # What the recipe says of the network stands; other weights than its own are refused later.
    assert isinstance(config.model.backbone, ResNetConfig)
    assert (config.model.backbone.depth, config.model.backbone.width) == (50, 16)


def test_a_detectors_checkpoint_brings_its_heads(checkpoint: Path, tmp_path: Path) -> None:
    first = detector(checkpoint, tmp_path, "model.kind=faster_rcnn", "model.box_head_width=64")
    folder = tmp_path / "detector"
    folder.mkdir()
    (folder / "config.yaml").write_text(to_yaml(resolved_run(first)))
    second = detector(folder, tmp_path, "model.score_threshold=0.2").model
    assert (second.kind, second.score_threshold) == ("faster_rcnn", 0.2)
    assert getattr(second, "box_head_width", None) == 64
    assert second.backbone == resolved_run(first).model.backbone
    assert second.weights == str(folder)


def test_other_weights_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "resnet50.pth").touch()
    config = detector(tmp_path / "resnet50.pth", tmp_path)
    assert config.model.backbone == load(COCOConfig).model.backbone


def test_a_checkpoint_names_no_files_to_build_on(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("model: {depth: 101}")
    file = checkpoint / "config.yaml"
    file.write_text(f"base: {tmp_path / 'other.yaml'}\n{file.read_text()}")
    backbone = detector(checkpoint, tmp_path).model.backbone
    assert isinstance(backbone, ResNetConfig)
    assert backbone.depth == 34


@pytest.mark.parametrize("text", ["", "model: 5", "model:", "[1]", "!!bool maybe", "{" * 500])
def test_a_checkpoint_that_describes_no_model_is_named(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "config.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"odd/config\.yaml: ") as caught:
        detector(folder, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_network_for_small_pictures_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "cifar"
    folder.mkdir()
    (folder / "config.yaml").write_text("model: {kind: cifar_resnet, depth: 20}\n")
    with pytest.raises(ConfigurationError, match=r"^model\.backbone\.kind: must be one of resnet"):
        detector(folder, tmp_path)
