"""Pictures to measure with: somebody's own, or drawn ones of a photograph's size."""

from pathlib import Path

from service.config.data import DrawnDataConfig
from service.config.errors import ConfigurationError
from service.data.drawing.tree import draw_pictures

_JPEG = (".jpg", ".jpeg")
_SIDE = 500
"""Longer side of a drawn picture, pixels; that of ImageNet's are on average as large."""
_DRAWN = 64
_CLASSES = 4


def photographs(root: Path | None, count: int, scratch: Path) -> list[Path]:
    """Returns the paths of `count` JPEG files, some of them more than once if there are fewer.

    Args:
        root: Folder that holds them at any depth; None for drawn ones.
        count: How many.
        scratch: Folder for the drawn ones.

    Raises:
        ConfigurationError: There are none.
    """
    if root is None:
        root = scratch / "drawn"
        draw_pictures(
            root,
            DrawnDataConfig(
                classes=_CLASSES,
                train_pictures=min(count, _DRAWN),
                evaluation_pictures=1,
                picture_size=_SIDE,
            ),
        )
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in _JPEG)
    if not found:
        raise ConfigurationError(f"--root: no JPEG files in {root}")
    # Spread over all classes, which follow one another.
    return [found[place * len(found) // count % len(found)] for place in range(count)]


def tree_of(files: list[Path], folder: Path) -> Path:
    """Makes a folder of class folders with links to pictures, as ImageFolder reads it.

    Args:
        files: The pictures.
        folder: Where; must not exist.
    """
    for number, file in enumerate(files):
        place = folder / f"class{number % _CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:08d}.jpg").symlink_to(file.resolve())
    return folder
