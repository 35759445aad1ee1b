"""Drawn pictures: deterministic, safe with several writers, and telling classes apart."""

import colorsys
import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.config.data import DrawnDataConfig
from service.config.errors import ConfigurationError
from service.data.drawing.rendering import coverage, render
from service.data.drawing.scene import Thing, draw_scene
from service.data.drawing.shapes import CLUTTER, SHAPES
from service.data.drawing.tree import draw_pictures, drawn_root

CONFIG = DrawnDataConfig(classes=4, train_pictures=10, evaluation_pictures=6, picture_size=40)


def content(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def thing(shape: str, radius: float = 30.0, angle: float = 0.0, x: float = 40.0) -> Thing:
    return Thing(shape, (x, 40.0), radius, angle, (255, 0, 0), "plain", (0, 0, 0), 0.5)


def mask(shape: str, radius: float = 30.0, angle: float = 0.0) -> np.ndarray:
    canvas = np.zeros((80, 80))
    rows, columns, covered = coverage(thing(shape, radius, angle), 80, 80)
    canvas[rows, columns] = covered
    return canvas


def test_the_same_parameters_draw_the_same_bytes(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "one", CONFIG)
    draw_pictures(tmp_path / "two", CONFIG)
    one = content(tmp_path / "one")
    assert one == content(tmp_path / "two")
    assert len(set(one.values())) == 16


def test_a_picture_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "few", CONFIG)
    draw_pictures(tmp_path / "many", CONFIG.model_copy(update={"train_pictures": 14}))
    assert content(tmp_path / "few").items() <= content(tmp_path / "many").items()


def test_the_tree_is_like_that_of_imagenet(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "set", CONFIG)
    classes = sorted(path.name for path in (tmp_path / "set/train").iterdir())
    assert classes == sorted(list(SHAPES)[:4])
    assert len(list((tmp_path / "set/train").rglob("*.jpg"))) == 10
    assert len(list((tmp_path / "set/val").rglob("*.jpg"))) == 6
    sizes = set()
    for path in (tmp_path / "set").rglob("*.jpg"):
        with Image.open(path) as picture:
            assert picture.format == "JPEG"
            assert max(picture.size) == 40
            sizes.add(picture.size)
    assert len(sizes) > 5


@pytest.mark.parametrize(
    "change",
    [
        {"classes": 5},
        {"train_pictures": 11},
        {"evaluation_pictures": 7},
        {"picture_size": 41},
        {"drawing_seed": 1},
    ],
)
def test_other_drawings_have_other_folders(change: dict[str, int]) -> None:
    cache = Path("cache")
    assert drawn_root(cache, CONFIG.model_copy(update=change)) != drawn_root(cache, CONFIG)


def test_the_treatment_of_pictures_does_not_change_the_folder() -> None:
    cache = Path("cache")
    other = CONFIG.model_copy(update={"interpolation": "bicubic"})
    assert drawn_root(cache, other) == drawn_root(cache, CONFIG)


def test_another_seed_draws_other_pictures(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "one", CONFIG)
    draw_pictures(tmp_path / "two", CONFIG.model_copy(update={"drawing_seed": 1}))
    one, two = content(tmp_path / "one"), content(tmp_path / "two")
    assert one.keys() == two.keys()
    assert not set(one.values()) & set(two.values())


def test_a_set_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    draw_pictures(tmp_path / "set", CONFIG)
    assert list((tmp_path / "set").iterdir()) == []


def test_fewer_pictures_than_classes_are_refused(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"train_pictures": 3})
    with pytest.raises(ConfigurationError, match=r"data\.train_pictures: 3 .* 4 classes"):
        draw_pictures(tmp_path / "set", config)


def drawer(root: Path, pictures: int) -> subprocess.Popen[bytes]:
    """Starts a process that draws once it is told to; it says when it is ready."""
    program = (
        "import sys; from pathlib import Path\n"
        "from service.config.data import DrawnDataConfig\n"
        "from service.data.drawing.tree import draw_pictures\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"draw_pictures(Path(sys.argv[1]), DrawnDataConfig(train_pictures={pictures}, "
        "evaluation_pictures=6, picture_size=40))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_two_processes_draw_one_set(tmp_path: Path) -> None:
    both = [drawer(tmp_path / "set", 200) for _ in range(2)]
    for process in both:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in both:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert len(content(tmp_path / "set")) == 206


@pytest.mark.faults
def test_a_killed_drawing_leaves_no_half_set(tmp_path: Path) -> None:
    process = drawer(tmp_path / "set", 20_000)
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".*/train/disc/*.jpg")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(tmp_path.glob(".*/train/disc/*.jpg"))
    assert not (tmp_path / "set").exists()
    draw_pictures(tmp_path / "set", CONFIG)
    assert len(content(tmp_path / "set")) == 16


@pytest.mark.parametrize("shape", [*SHAPES, *CLUTTER])
def test_a_shape_lies_in_its_circle(shape: str) -> None:
    x, y = np.meshgrid(np.arange(80) + 0.5 - 40, np.arange(80) + 0.5 - 40)
    covered = mask(shape)
    assert covered.max() == 1
    assert covered[np.hypot(x, y) > 31].max() == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_scale_and_rotation_keep_a_shape(shape: str) -> None:
    """Its area follows the radius squared within 3 %; a full turn in three parts gives it back."""
    area = mask(shape).sum() / 30**2
    for radius in (15.0, 36.0):
        assert mask(shape, radius).sum() / radius**2 == pytest.approx(area, rel=0.03)
    for angle in (0.3, 2.0):
        assert mask(shape, angle=angle).sum() / 30**2 == pytest.approx(area, rel=0.03)


def test_known_areas() -> None:
    """Closed forms in units of the squared radius; pixels are right within 1 %."""
    closed = {
        "disc": np.pi * 0.85**2,
        "square": 1.4**2,
        "triangle": 3 * 3**0.5 / 4,
        "ring": np.pi * (0.9**2 - 0.5**2),
        "cross": 0.54 * 1.84 * 2 - 0.54**2,
    }
    for shape, area in closed.items():
        assert mask(shape).sum() / 30**2 == pytest.approx(area, rel=0.01)


def test_no_two_classes_look_alike_at_any_rotation() -> None:
    """The best overlap (intersection over union) of two classes over 36 rotations is below 0.85."""
    upright = {shape: mask(shape) for shape in SHAPES}
    for shape in SHAPES:
        for angle in np.linspace(0, 2 * np.pi, 36, endpoint=False):
            turned = mask(shape, angle=angle)
            for other in SHAPES.keys() - {shape}:
                both = np.minimum(turned, upright[other]).sum()
                either = np.maximum(turned, upright[other]).sum()
                assert both / either < 0.85, (shape, other)


def test_objects_can_be_seen() -> None:
    """Object and background differ by over 30 grey levels on average, in nine scenes of ten."""
    visible = []
    for number in range(60):
        scene = draw_scene("square", 80, np.random.default_rng(number))
        scene = dataclasses.replace(scene, before=())
        rows, columns, covered = coverage(scene.objects[0], scene.width, scene.height)
        pixels = render(scene).astype(float)
        inside = np.zeros((scene.height, scene.width), bool)
        inside[rows, columns] = covered > 0.5
        contrast = np.abs(pixels[inside].mean(0) - pixels[~inside].mean(0)).max()
        visible.append(contrast > 30)
    assert np.mean(visible) > 0.9


@pytest.mark.parametrize("shape", SHAPES)
def test_colour_is_a_hint_and_no_more(shape: str) -> None:
    """Three objects of four have their class's hue within 0.1; of the others, a fifth by chance.

    5 standard errors about 0.75 + 0.25 × 0.2, the second term known within 0.1.
    """
    count = 300
    near = 0
    for number in range(count):
        colour = draw_scene(shape, 80, np.random.default_rng(number)).objects[0].colour
        hue, _, _ = colorsys.rgb_to_hsv(*colour)
        distance = abs(hue - list(SHAPES).index(shape) / len(SHAPES))
        near += min(distance, 1 - distance) < 0.1
    assert abs(near / count - 0.8) < 0.025 + 5 * (0.8 * 0.2 / count) ** 0.5


def test_an_object_lies_mostly_inside_and_nearly_upright() -> None:
    """Of a square, at least 60 % of its area; tilted by 36 degrees at most."""
    for number in range(100):
        scene = draw_scene("square", 80, np.random.default_rng(number))
        square = scene.objects[0]
        _, _, covered = coverage(square, scene.width, scene.height)
        assert covered.sum() > 0.6 * 1.4**2 * square.radius**2
        assert abs(square.angle) <= np.pi / 5


def test_a_thing_over_the_border_is_clipped() -> None:
    rows, columns, covered = coverage(thing("disc", x=0.0), 80, 80)
    assert columns.start == 0
    assert covered.shape == (rows.stop - rows.start, columns.stop - columns.start)
    assert covered.sum() == pytest.approx(np.pi * (0.85 * 30) ** 2 / 2, rel=0.02)


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="no shape is called 'blob'"):
        draw_scene("blob", 80, np.random.default_rng(0))


def test_tiny_pictures_are_drawn() -> None:
    for number in range(20):
        scene = draw_scene("arrow", 16, np.random.default_rng(number))
        assert render(scene).shape == (scene.height, scene.width, 3)
