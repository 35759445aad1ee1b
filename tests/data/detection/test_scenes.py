"""Drawn scenes in COCO layout: the same bytes each time, and annotations that fit the pictures."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.config.detection_data import DrawnScenesConfig
from service.data.detection.scenes import draw_scenes, scenes_root
from service.data.detection.segmentations import masks_of
from service.data.detection.splits import DetectionSplits, open_detection_splits
from service.data.drawing.scene import Thing
from service.data.drawing.several import Gathering, draw_gathering
from service.data.drawing.shapes import SHAPES
from service.data.drawing.visibility import outline, visible_masks, visible_shares

CONFIG = DrawnScenesConfig(classes=10, train_pictures=40, evaluation_pictures=10, picture_size=96)
SMALL = DrawnScenesConfig(train_pictures=12, evaluation_pictures=5, picture_size=40)


def content(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def gatherings() -> list[Gathering]:
    """The training scenes of `CONFIG`."""
    return [
        draw_gathering(number, tuple(SHAPES), 96, np.random.default_rng((0, False, number)))
        for number in range(40)
    ]


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> DetectionSplits:
    return open_detection_splits(CONFIG, tmp_path_factory.mktemp("scenes"), masks=True)


def test_the_set_is_sound(splits: DetectionSplits) -> None:
    assert (len(splits.train), len(splits.evaluation)) == (40, 10)
    assert [category.name for category in splits.train.categories] == list(SHAPES)
    assert splits.train.findings == ()
    assert splits.evaluation.findings == ()
    for index, entry in enumerate(splits.train.pictures):
        with Image.open(io.BytesIO(splits.train.read(index))) as picture:
            assert picture.format == "JPEG"
            assert picture.size == (entry.width, entry.height)
            assert max(picture.size) == 96


def test_there_are_crowds_empty_pictures_and_all_kinds_of_outlines(splits: DetectionSplits) -> None:
    stored = splits.train.stored
    assert stored.crowds.sum() == 5
    counts = [len(splits.train.annotations(index)[0]) for index in range(40)]
    assert [index for index, count in enumerate(counts) if count == 0] == [9, 19, 29, 39]
    assert max(counts) >= 4
    assert set(stored.labels.tolist()) == set(range(1, 11))
    kinds = {
        type(segmentation)
        for index in range(40)
        for segmentation in splits.train.annotations(index)[2]
    }
    assert kinds == {list, dict}


def test_annotations_fit_what_can_be_seen(splits: DetectionSplits) -> None:
    """Masks overlap with the visible pixels by 88 % and more, boxes fit them within 2 pixels.

    The tips of stars and triangles cover less than half of their pixels.
    """
    for index, gathering in enumerate(gatherings()):
        entry = splits.train.pictures[index]
        boxes, labels, segmentations = splits.train.annotations(index)
        masks = masks_of(segmentations, entry.height, entry.width).astype(bool)
        things = gathering.scene.objects[gathering.crowd :]
        _, seen = visible_masks(gathering.scene)
        assert len(things) == len(labels)
        for thing, visible, label, box, mask in zip(
            things, seen[gathering.crowd :], labels, boxes, masks, strict=True
        ):
            assert list(SHAPES)[label - 1] == thing.shape
            assert (mask & visible).sum() / (mask | visible).sum() > 0.88
            rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
            edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            assert np.abs(box - edges).max() < 2


def test_the_area_is_that_of_the_mask(splits: DetectionSplits) -> None:
    """Within a pixel for each two pixels of the outline's length, about 4 √area."""
    truth = splits.train.ground_truth()["annotations"]
    for entry in splits.train.pictures:
        rows = [row for row in truth if row["image_id"] == entry.id]
        masks = masks_of([row["segmentation"] for row in rows], entry.height, entry.width)
        for row, mask in zip(rows, masks, strict=True):
            assert abs(row["area"] - mask.sum()) <= 2 * row["area"] ** 0.5
            if row["iscrowd"]:
                assert row["area"] == mask.sum()


def test_of_every_object_at_least_half_can_be_seen() -> None:
    shares = [share for gathering in gatherings() for share in visible_shares(gathering.scene)]
    assert min(shares) >= 0.5
    assert sum(share < 1 for share in shares) > 10


def test_nothing_unannotated_looks_like_an_object() -> None:
    for gathering in gatherings():
        clutter = (*gathering.scene.behind, *gathering.scene.before)
        assert all(thing.shape in ("bar", "corner") for thing in clutter)
        crowd = gathering.scene.objects[: gathering.crowd]
        assert len({thing.shape for thing in crowd}) <= 1


@pytest.mark.parametrize("shape", SHAPES)
def test_outlines_are_those_of_the_shapes(shape: str) -> None:
    """Drawn as a mask an outline overlaps with the drawn shape by more than 97 %, also tilted."""
    for angle in (0.0, 0.4):
        thing = Thing(shape, (50.0, 48.0), 40.0, angle, (255, 0, 0), "plain", (0, 0, 0), 0.5)
        corners = outline(thing)
        if corners is None:
            assert shape in ("ring", "crescent")
            continue
        scene = gatherings()[0].scene
        scene = type(scene)(100, 100, scene.background, (), (thing,), (), 0)
        (drawn,) = masks_of([[corners.reshape(-1).tolist()]], 100, 100)
        ((whole,), _) = visible_masks(scene)
        assert (whole & (drawn == 1)).sum() / (whole | (drawn == 1)).sum() > 0.97


def test_what_is_in_front_hides_what_is_behind() -> None:
    scene = gatherings()[0].scene
    behind, before = (
        Thing("square", (x, 20.0), 20.0, 0.0, (255, 0, 0), "plain", (0, 0, 0), 0.5)
        for x in (20.0, 34.0)
    )
    scene = type(scene)(60, 40, scene.background, (), (behind, before), (), 0)
    # Squares with sides of 28 pixels: the rear one keeps 14 of its 28 columns.
    assert visible_shares(scene) == [0.5, 1.0]


def test_the_same_parameters_draw_the_same_bytes(tmp_path: Path) -> None:
    draw_scenes(tmp_path / "one", SMALL)
    draw_scenes(tmp_path / "two", SMALL)
    one = content(tmp_path / "one")
    assert one == content(tmp_path / "two")
    assert len(one) == 12 + 5 + 2
    draw_scenes(tmp_path / "other", SMALL.model_copy(update={"drawing_seed": 1}))
    other = content(tmp_path / "other")
    assert other.keys() == one.keys()
    assert not set(other.values()) & set(one.values())


def test_a_picture_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    draw_scenes(tmp_path / "few", SMALL)
    draw_scenes(tmp_path / "many", SMALL.model_copy(update={"train_pictures": 15}))
    few, many = content(tmp_path / "few"), content(tmp_path / "many")
    assert {name for name in few if few[name] != many[name]} == {
        "annotations/instances_train2017.json"
    }


@pytest.mark.parametrize(
    "change",
    [
        {"classes": 4},
        {"train_pictures": 11},
        {"evaluation_pictures": 7},
        {"picture_size": 41},
        {"drawing_seed": 1},
    ],
)
def test_other_scenes_have_other_folders(change: dict[str, int]) -> None:
    cache = Path("cache")
    assert scenes_root(cache, SMALL.model_copy(update=change)) != scenes_root(cache, SMALL)


def test_the_treatment_of_pictures_does_not_change_the_folder() -> None:
    other = SMALL.model_copy(update={"prefetch_batches": 5})
    assert scenes_root(Path("cache"), other) == scenes_root(Path("cache"), SMALL)


def test_a_set_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    draw_scenes(tmp_path / "set", SMALL)
    assert list((tmp_path / "set").iterdir()) == []


def test_tiny_pictures_are_drawn(tmp_path: Path) -> None:
    config = DrawnScenesConfig(
        classes=10, train_pictures=60, evaluation_pictures=1, picture_size=32
    )
    splits = open_detection_splits(config, tmp_path, masks=True)
    assert splits.train.findings == ()
    assert splits.train.stored.boxes[:, 2:].min() > 2


def test_two_processes_draw_one_set(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from service.config.detection_data import DrawnScenesConfig\n"
        "from service.data.detection.scenes import draw_scenes\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "draw_scenes(Path(sys.argv[1]), DrawnScenesConfig(train_pictures=100, "
        "evaluation_pictures=5, picture_size=40))\n"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "set")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in both:
        process.communicate(b"\n", timeout=60)
        assert process.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert len(content(tmp_path / "set")) == 107
