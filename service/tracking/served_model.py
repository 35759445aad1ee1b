"""A classifier as an MLflow model that `mlflow models serve` answers from.

Nothing in its folder is pickled: it holds a script, which MLflow runs, and files that other
programs read.
"""

import importlib
import importlib.metadata
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from service.config.errors import RunError
from service.tracking.client import set_defaults

SCRIPT = Path(__file__).with_name("served_classifier.py")
"""What MLflow runs where the model is served."""
PICTURE = "picture"
"""The column of encoded pictures."""
PACKAGES = ("mlflow", "numpy", "onnxruntime", "pandas", "pillow")
"""What the script needs."""
_TOP = 5


def write_served_model(
    folder: Path, onnx: Path, checkpoint: Path, example: bytes, described: Mapping[str, Any]
) -> None:
    """Writes an MLflow model.

    Args:
        folder: Where; it must not be there.
        onnx: The network as ONNX, with its description.
        checkpoint: Folder of the same network as a checkpoint, which goes with it.
        example: An encoded picture.
        described: Class names and preprocessing, for people and programs that read them.
    """
    import pandas as pd

    with _pyfunc() as pyfunc:
        pyfunc.save_model(
            folder,
            python_model=str(SCRIPT),
            artifacts={"onnx": str(onnx), "checkpoint": str(checkpoint)},
            signature=_signature(),
            input_example=pd.DataFrame({PICTURE: [example]}),
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in PACKAGES],
            metadata=dict(described),
        )
        _forget_paths(folder)


def served_answers(folder: Path, pictures: Sequence[bytes], top: int) -> list[dict[str, float]]:
    """Returns what a model's folder answers, loaded as a server loads it.

    Args:
        folder: What `write_served_model` wrote.
        pictures: Encoded pictures.
        top: How many classes of each.

    Returns:
        For each picture the probabilities by class, the likeliest first.

    Raises:
        RunError: It cannot answer; says of which picture.
    """
    import pandas as pd
    from mlflow.exceptions import MlflowException

    with _pyfunc() as pyfunc:
        model = pyfunc.load_model(str(folder))
        try:
            answers = model.predict(pd.DataFrame({PICTURE: list(pictures)}), params={"top": top})
        except MlflowException as error:
            reason = str(error).splitlines()[-1]
            raise RunError(f"--register: the served model does not answer: {reason}") from error
    return [{one["class"]: one["probability"] for one in row["classes"]} for row in answers]


@contextmanager
def _pyfunc() -> Iterator[ModuleType]:
    """Gives MLflow's module of models that are Python functions, which warns of its own code."""
    set_defaults()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
        yield importlib.import_module("mlflow.pyfunc")


def _forget_paths(folder: Path) -> None:
    """Leaves no path of this machine in a model's description; MLflow looks in the folder."""
    from mlflow.models import Model

    model = Model.load(str(folder))
    flavor = model.flavors["python_function"]
    flavor["model_code_path"] = SCRIPT.name
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    model.save(str(folder / "MLmodel"))


def _signature() -> Any:  # noqa: ANN401  # MLflow's, which is imported late
    from mlflow.models import ModelSignature
    from mlflow.types import DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array, ColSpec, Object, Property

    named = Object([Property("class", DataType.string), Property("probability", DataType.double)])
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, PICTURE)]),
        outputs=Schema([ColSpec(Array(named), "classes")]),
        params=ParamSchema([ParamSpec("top", DataType.long, _TOP)]),
    )
