"""How evaluation treats a picture, as data: what using a trained network later needs."""

from typing import Any

from service.config.small_data import AnyPicturesConfig, SmallPicturesConfig
from service.data.decoded import SIDE


def preprocessing(config: AnyPicturesConfig) -> dict[str, Any]:
    """Returns the steps by name, the same ones for all kinds of pictures.

    The shorter side becomes `resize` pixels by `interpolation`, the central `size` × `size` pixels
    are taken, and values in [0, 1] are normalised with `mean` and `std`.
    """
    if isinstance(config, SmallPicturesConfig):
        geometry: dict[str, Any] = {"resize": SIDE, "size": SIDE, "interpolation": "bilinear"}
    else:
        evaluation = config.evaluation
        geometry = {
            "resize": evaluation.resize,
            "size": evaluation.size,
            "interpolation": config.interpolation,
        }
    return {**geometry, "mean": list(config.mean), "std": list(config.std)}
