"""Starting from files: what is taken, what is left, what is refused."""

import argparse
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from service.config.errors import ConfigurationError
from service.config.model import ResNetConfig
from service.models import LoadReport, ResidualNetwork, build_network, load_weights

State = dict[str, Tensor]


def network(classes: int = 5, **fields: object) -> ResidualNetwork:
    small = {"depth": 18, "width": 4, "stem": "small", **fields}
    return build_network(ResNetConfig.model_validate(small), classes)


def as_folder(state: State, root: Path) -> Path:
    folder = root / "checkpoint"
    folder.mkdir()
    save_file(state, folder / "model.safetensors")
    return folder


def as_safetensors(state: State, root: Path) -> Path:
    save_file(state, root / "weights.safetensors")
    return root / "weights.safetensors"


def as_pth(state: State, root: Path) -> Path:
    torch.save(state, root / "weights.pth")
    return root / "weights.pth"


def as_old_pth(state: State, root: Path) -> Path:
    """The format of torchvision's first files, without batch counters."""
    kept = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save(kept, root / "old.pth", _use_new_zipfile_serialization=False)
    return root / "old.pth"


def refusal(path: Path | str, into: ResidualNetwork | None = None) -> str:
    """The one line that refuses the file; the network keeps every value."""
    target = network() if into is None else into
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(ConfigurationError) as error:
        load_weights(target, str(path))
    assert all(torch.equal(before[key], value) for key, value in target.state_dict().items())
    message = str(error.value)
    assert message.startswith(f"model.weights: {path}")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("save", [as_folder, as_safetensors, as_pth])
def test_every_kind_of_file_gives_the_same_network(
    tmp_path: Path, save: Callable[[State, Path], Path]
) -> None:
    source, target = network(), network()
    report = load_weights(target, str(save(source.state_dict(), tmp_path)))
    assert report == LoadReport(tuple(source.state_dict()), (), (), ())
    for key, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[key], value)
    assert str(report) == f"{len(source.state_dict())} tensors matched"


def test_files_without_batch_counters_load(tmp_path: Path) -> None:
    source, target = network(), network()
    report = load_weights(target, str(as_old_pth(source.state_dict(), tmp_path)))
    assert len(report.missing) == 20  # normalisations of a ResNet-18
    assert all(key.endswith("num_batches_tracked") for key in report.missing)
    assert torch.equal(target.conv1.weight, source.conv1.weight)


def test_torchvisions_file_starts_a_shakedrop_network(tmp_path: Path) -> None:
    theirs = torchvision.models.resnet18(num_classes=5)
    ours = build_network(ResNetConfig(depth=18, order="post_activation"), classes=5)
    report = load_weights(ours, str(as_pth(theirs.state_dict(), tmp_path)))
    assert len(report.matched) == len(theirs.state_dict())
    assert torch.equal(ours.fc.weight, theirs.fc.weight)


def test_half_precision_weights_keep_the_networks_type(tmp_path: Path) -> None:
    source, target = network().half(), network()
    load_weights(target, str(as_safetensors(source.state_dict(), tmp_path)))
    assert target.conv1.weight.dtype == torch.float32
    assert torch.equal(target.conv1.weight, source.conv1.weight.float())


class TestClassifier:
    def test_another_size_starts_anew(self, tmp_path: Path) -> None:
        source, target = network(classes=1000), network(classes=5)
        own = target.fc.weight.clone()
        report = load_weights(target, str(as_pth(source.state_dict(), tmp_path)))
        assert report.reinitialised == ("fc.weight", "fc.bias")
        assert torch.equal(target.fc.weight, own)
        assert torch.equal(target.conv1.weight, source.conv1.weight)
        assert str(report).endswith("2 reinitialised (fc.weight, fc.bias)")

    def test_a_file_without_one_is_a_backbone(self, tmp_path: Path) -> None:
        state = {k: v for k, v in network().state_dict().items() if not k.startswith("fc.")}
        report = load_weights(network(), str(as_pth(state, tmp_path)))
        assert report.missing == ("fc.weight", "fc.bias")

    def test_a_network_without_one_ignores_the_files(self, tmp_path: Path) -> None:
        target = network()
        path = as_pth(target.state_dict(), tmp_path)
        target.fc = torch.nn.Identity()  # type: ignore[assignment]  # what a detector's backbone does
        assert load_weights(target, str(path)).unexpected == ("fc.weight", "fc.bias")

    def test_half_a_classifier_is_not_taken(self, tmp_path: Path) -> None:
        state = network().state_dict()
        del state["fc.bias"]
        target = network()
        own = target.fc.weight.clone()
        report = load_weights(target, str(as_pth(state, tmp_path)))
        assert (report.missing, report.reinitialised) == (("fc.bias",), ("fc.weight",))
        assert torch.equal(target.fc.weight, own)


class TestOtherModels:
    def test_another_depth(self, tmp_path: Path) -> None:
        message = refusal(as_pth(network(depth=34).state_dict(), tmp_path))
        assert "checkpoint of another model: 96 unexpected (layer1.2.conv1.weight" in message

    def test_another_block(self, tmp_path: Path) -> None:
        message = refusal(as_pth(network(depth=18).state_dict(), tmp_path), network(depth=50))
        assert "tensors missing (layer1.0.conv3.weight, layer1.0.bn3.weight, …)" in message

    def test_another_width(self, tmp_path: Path) -> None:
        message = refusal(as_pth(network(width=8).state_dict(), tmp_path))
        assert (
            "of another shape (conv1.weight is (8, 3, 3, 3), the network's (4, 3, 3, 3))" in message
        )

    def test_another_order(self, tmp_path: Path) -> None:
        message = refusal(as_pth(network(order="pre_activation").state_dict(), tmp_path))
        assert "checkpoint of another model" in message
        assert "last_bn.weight" in message or "bn3.weight" in message


class Executable:
    """Reading its pickle would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


class TestDamagedAndForeignFiles:
    def test_missing_file(self, tmp_path: Path) -> None:
        assert "no such file" in refusal(tmp_path / "absent.pth")

    def test_folder_without_weights(self, tmp_path: Path) -> None:
        assert "the folder holds no model.safetensors" in refusal(tmp_path)

    def test_unknown_kind(self, tmp_path: Path) -> None:
        (tmp_path / "weights.h5").write_bytes(b"x")
        assert "unknown kind of file" in refusal(tmp_path / "weights.h5")

    @pytest.mark.parametrize("save", [as_safetensors, as_pth, as_old_pth])
    @pytest.mark.parametrize("kept", [0, 100, 20_000])
    def test_cut_short(
        self, tmp_path: Path, save: Callable[[State, Path], Path], kept: int
    ) -> None:
        path = save(network().state_dict(), tmp_path)
        path.write_bytes(path.read_bytes()[:kept])
        assert "cannot be read: " in refusal(path)

    @pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
    @pytest.mark.parametrize("text", ["<html>404: Not Found</html>\n", "hello\n", "{}"])
    def test_text(self, tmp_path: Path, name: str, text: str) -> None:
        (tmp_path / name).write_text(text)
        message = refusal(tmp_path / name)
        assert "damaged, " in message

    def test_pickled_code_is_refused_and_not_run(self, tmp_path: Path) -> None:
        trap = tmp_path / "trap"
        torch.save({"conv1.weight": Executable(trap)}, tmp_path / "evil.pth")
        (tmp_path / "old.pt").write_bytes(pickle.dumps(Executable(trap), protocol=2))
        (tmp_path / "plain.pt").write_bytes(pickle.dumps(Executable(trap)))
        for name in ("evil.pth", "old.pt", "plain.pt"):
            assert "reading pickles can run any code; save" in refusal(tmp_path / name)
        assert not trap.exists()

    def test_a_whole_pickled_network_is_refused(self, tmp_path: Path) -> None:
        torch.save(network(), tmp_path / "network.pth")
        message = refusal(tmp_path / "network.pth")
        assert "refused: it holds a pickled service.models.network.ResidualNetwork" in message

    @pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
    def test_an_archive_with_a_program_is_refused(self, tmp_path: Path) -> None:
        scripted = torch.jit.script(torch.nn.Linear(2, 2))
        torch.jit.save(scripted, tmp_path / "scripted.pt")
        assert "TorchScript" in refusal(tmp_path / "scripted.pt")

    @pytest.mark.parametrize("name", ["weights.pkl", "weights.tar", "weights.npy", "weights"])
    def test_endings_of_other_formats_are_not_tried(self, tmp_path: Path, name: str) -> None:
        trap = tmp_path / "trap"
        (tmp_path / name).write_bytes(pickle.dumps(Executable(trap)))
        assert "unknown kind of file; give a checkpoint folder" in refusal(tmp_path / name)
        assert not trap.exists()

    def test_the_oldest_format_of_torch_is_refused(self, tmp_path: Path) -> None:
        """A tar archive of pickles, before PyTorch 0.1."""
        trap = tmp_path / "trap"
        with tarfile.open(tmp_path / "oldest.pth", "w") as archive:
            for name in ("sys_info", "storages", "tensors", "pickle"):
                content = pickle.dumps(Executable(trap), protocol=2)
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        assert "cannot be read: " in refusal(tmp_path / "oldest.pth")
        assert not trap.exists()

    def test_a_folder_whose_weights_are_a_pickle_is_refused(self, tmp_path: Path) -> None:
        trap = tmp_path / "trap"
        folder = as_folder(network().state_dict(), tmp_path)
        torch.save({"conv1.weight": Executable(trap)}, folder / "model.safetensors")
        with pytest.raises(
            ConfigurationError, match=r"model\.safetensors: damaged, cannot be read"
        ):
            load_weights(network(), str(folder))
        assert not trap.exists()

    def test_pickled_object_is_named(self, tmp_path: Path) -> None:
        state = {"model": network().state_dict(), "args": argparse.Namespace(lr=0.1)}
        torch.save(state, tmp_path / "run.pth")
        assert "refused: it holds a pickled argparse.Namespace" in refusal(tmp_path / "run.pth")

    @pytest.mark.parametrize("content", [{"model": {}, "epoch": 3}, [torch.ones(2)], {}])
    def test_not_a_state_dict(self, tmp_path: Path, content: object) -> None:
        torch.save(content, tmp_path / "weights.pt")
        assert "not a state dict" in refusal(tmp_path / "weights.pt")
