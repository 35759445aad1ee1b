"""The values that differ from the defaults are all that is needed to have a configuration again."""

from pathlib import Path
from typing import Any

import pytest

from service.config.cifar import CIFARConfig
from service.config.coco import COCOConfig
from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.config.loading import load, to_yaml
from service.config.run import RunConfig
from service.config.yaml_reading import read_yaml
from service.inspection.configurations import differences, leaves, schema_of

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
RECIPES: dict[str, type[RunConfig]] = {
    "imagenet/drawn.yaml": ImageNetConfig,
    "imagenet/resnet50.yaml": ImageNetConfig,
    "imagenet/resnet50_a3_shakedrop.yaml": ImageNetConfig,
    "cifar/shake26_2x32d_shake_shake_image.yaml": CIFARConfig,
    "cifar/pyramidnet110_a270_drop_block_mixup.yaml": CIFARConfig,
    "coco/mask_rcnn_resnet50_lsj_400ep.yaml": COCOConfig,
    "coco/retinanet_resnet50_torchvision_v2.yaml": COCOConfig,
}
GIVEN = ("data.root=/data", "name=a-run")


def nested(values: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *sections, name = path.split(".")
        below = tree
        for section in sections:
            below = below.setdefault(section, {})
        below[name] = value
    return tree


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_differences_make_the_configuration_again(recipe: str) -> None:
    given = GIVEN if "drawn" not in recipe else GIVEN[1:]
    config = load(RECIPES[recipe], [CONFIGS / recipe], given)
    tree = read_yaml(to_yaml(config))
    schema = schema_of(tree)
    assert schema is RECIPES[recipe]
    changed = differences(tree)
    assert load(schema, (), (), nested(changed)) == config
    assert len(changed) < len(leaves(tree)) / 2


@pytest.mark.parametrize("recipe", ["imagenet/drawn.yaml", "cifar/pyramidnet272_a200_mixup.yaml"])
def test_no_difference_is_told_in_vain(recipe: str) -> None:
    schema = ImageNetConfig if recipe.startswith("imagenet") else CIFARConfig
    config = load(schema, [CONFIGS / recipe], ["optimizer.kind=adamw", "name=a-run"])
    changed = differences(read_yaml(to_yaml(config)))
    for path in changed:
        others = {name: value for name, value in changed.items() if name != path}
        try:
            assert load(schema, (), (), nested(others)) != config, path
        except ConfigurationError:
            continue  # a kind, without which its fields are unknown, or a required field


def test_a_kind_is_told_with_what_was_given_of_it() -> None:
    config = load(ImageNetConfig, (), ["optimizer.kind=adamw", "optimizer.lr=0.5"])
    assert differences(read_yaml(to_yaml(config))) == {
        "optimizer.kind": "adamw",
        "optimizer.lr": 0.5,
    }


@pytest.mark.parametrize("tree", [{}, {"model": 3}, {"model": {"kind": ["resnet"]}}, {"a": {}}])
def test_foreign_configurations_are_no_error(tree: dict[str, Any]) -> None:
    assert differences(tree) == leaves(tree)
