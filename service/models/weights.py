"""Starting from trained weights: a checkpoint, a safetensors file, or a torchvision state dict."""

import pickle
import re
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from service.config.errors import ConfigurationError

_CHECKPOINT_FILE = "model.safetensors"
_CLASSIFIER = "fc."
# Files older than PyTorch 0.4.1 lack batch counters, which momentum-based statistics do not read.
COUNTER = ".num_batches_tracked"


@dataclass(frozen=True)
class LoadReport:
    """What became of each tensor of the network and of the file, by key.

    Only the classifier's tensors, and batch counters that old files lack, can be anything but
    matched.
    """

    matched: tuple[str, ...]
    """The network took the file's values."""
    missing: tuple[str, ...]
    """The file lacks them; the network keeps its values."""
    unexpected: tuple[str, ...]
    """The network lacks them; they were ignored."""
    reinitialised: tuple[str, ...]
    """The classifier has another size; the network keeps its values."""

    def __str__(self) -> str:
        parts = [f"{len(self.matched)} tensors matched"]
        for kind in ("missing", "unexpected", "reinitialised"):
            keys = getattr(self, kind)
            if keys:
                parts.append(f"{len(keys)} {kind} ({_shortened(keys)})")
        return ", ".join(parts)


def load_weights(network: nn.Module, path: str) -> LoadReport:
    """Loads trained weights into the network, in place.

    A classifier of another size starts anew: the network's own `fc` stays as it is, and the report
    says so.

    Args:
        network: A network whose classifier, if it has one, is called `fc`.
        path: A checkpoint folder (with `model.safetensors`), a `.safetensors` file, or a state dict
            as torchvision has it (`.pth`, `.pt`).

    Raises:
        ConfigurationError: The file is missing, damaged, holds pickled objects, or belongs to
            another network. The network is then as it was.
    """
    own, state = network.state_dict(), read_weights(Path(path))
    check_same_network(path, own, state)
    # Classifiers are taken whole or not at all.
    differs = _shapes(own, classifier=True) != _shapes(state, classifier=True)
    reinitialised = [key for key in _shapes(own, classifier=True) if differs and key in state]
    matched = [key for key in own if key in state and key not in reinitialised]
    network.load_state_dict({key: state[key] for key in matched}, strict=False)
    return LoadReport(
        matched=tuple(matched),
        missing=tuple(key for key in own if key not in state),
        unexpected=tuple(key for key in state if key not in own),
        reinitialised=tuple(reinitialised),
    )


def check_same_network(path: str, own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Checks that a file holds the weights of a network, whatever its classifier.

    Args:
        path: Where the file is, for the message.
        own: The network's state dict.
        state: The file's tensors.

    Raises:
        ConfigurationError: The two differ in more than the classifier and batch counters.
    """
    ours, theirs = _shapes(own, classifier=False), _shapes(state, classifier=False)
    missing = [key for key in ours if key not in theirs and not key.endswith(COUNTER)]
    unexpected = [key for key in theirs if key not in ours]
    reshaped = [key for key in ours if key in theirs and ours[key] != theirs[key]]
    parts = []
    if missing:
        parts.append(f"{len(missing)} of {len(own)} tensors missing ({_shortened(missing)})")
    if unexpected:
        parts.append(f"{len(unexpected)} unexpected ({_shortened(unexpected)})")
    if reshaped:
        key = reshaped[0]
        sizes = f"{key} is {theirs[key]}, the network's {ours[key]}"
        parts.append(f"{len(reshaped)} of another shape ({sizes})")
    if parts:
        raise ConfigurationError(
            f"model.weights: {path}: checkpoint of another model: {'; '.join(parts)}"
        )


def _shapes(state: Mapping[str, Tensor], *, classifier: bool) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the classifier's tensors, or of all others, by key."""
    return {
        key: tuple(value.shape)
        for key, value in state.items()
        if key.startswith(_CLASSIFIER) == classifier
    }


def read_weights(path: Path) -> dict[str, Tensor]:
    """Returns the tensors that a file or folder holds, by key, on the CPU.

    Args:
        path: A checkpoint folder, a `.safetensors` file, or a state dict (`.pth`, `.pt`).

    Raises:
        ConfigurationError: It is missing, damaged, of an unknown kind, or holds pickled objects.
    """
    file = path / _CHECKPOINT_FILE if path.is_dir() else path
    if not file.is_file():
        what = f"the folder holds no {_CHECKPOINT_FILE}" if path.is_dir() else "no such file"
        raise ConfigurationError(f"model.weights: {path}: {what}")
    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    if file.suffix in {".pth", ".pt"}:
        return _read_state_dict(file)
    raise ConfigurationError(
        f"model.weights: {file}: unknown kind of file; give a checkpoint folder, a .safetensors "
        "file or a state dict (.pth, .pt)"
    )


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise _unreadable(file, error) from error


def _read_state_dict(file: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            # What is warned of here (a foreign pickle) ends in one of the errors below.
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it holds a pickled {found[1]}" if found else "damaged, or holds pickled objects"
        raise ConfigurationError(
            f"model.weights: {file}: refused: {what}, and reading pickles can run any code; save a "
            "state dict alone: torch.save(network.state_dict(), file)"
        ) from error
    except Exception as error:
        # Bytes that are no state dict can fail in any way: KeyError, EOFError, RuntimeError, ...
        raise _unreadable(file, error) from error
    tensors = content if isinstance(content, Mapping) else {}
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise ConfigurationError(
            f"model.weights: {file}: not a state dict, which maps names to tensors and to nothing "
            "else; save it with torch.save(network.state_dict(), file)"
        )
    return dict(tensors)


def _shortened(keys: Sequence[str]) -> str:
    return ", ".join(keys[:2]) + (", …" if len(keys) > 2 else "")


def _unreadable(file: Path, error: Exception) -> ConfigurationError:
    reason = textwrap.shorten(f"{type(error).__name__} {error}", width=120, placeholder=" …")
    return ConfigurationError(f"model.weights: {file}: damaged, cannot be read: {reason}")
