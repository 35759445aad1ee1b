"""YAML files: what they build on, and files that cannot be used."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig

Load = Callable[..., ImageNetConfig]
Write = Callable[[str, str], Path]


def test_without_files_the_defaults_hold(loaded: Load) -> None:
    assert loaded() == ImageNetConfig()


def test_an_empty_file_changes_nothing(loaded: Load, write: Write) -> None:
    assert loaded(write("empty.yaml", "# nothing\n")) == ImageNetConfig()


def test_later_files_lie_on_top_and_overrides_on_all(loaded: Load, write: Write) -> None:
    low = write("low.yaml", "model: {depth: 101, width: 32}\ntraining: {batch_size: 8}")
    high = write("high.yaml", "model: {depth: 152}\ntraining: {batch_size: 16}")
    config = loaded(low, high, "training.batch_size=4")
    assert (config.model.depth, config.model.width, config.training.batch_size) == (152, 32, 4)


def test_a_base_lies_below_what_builds_on_it(loaded: Load, write: Write) -> None:
    write("base.yaml", "model: {depth: 101, width: 32}")
    write("middle.yaml", "base: base.yaml\nmodel: {depth: 152}\ntraining: {seed: 5}")
    config = loaded(write("top.yaml", "base: middle.yaml\ntraining: {seed: 6}"))
    assert (config.model.depth, config.model.width, config.training.seed) == (152, 32, 6)


def test_bases_in_a_list_lie_in_its_order(loaded: Load, write: Write) -> None:
    write("a.yaml", "model: {depth: 101, width: 32}")
    write("b.yaml", "model: {depth: 152}")
    top = write("top.yaml", "base: [a.yaml, b.yaml]")
    assert (loaded(top).model.depth, loaded(top).model.width) == (152, 32)


def test_a_base_is_found_beside_the_file_that_names_it(
    loaded: Load, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("shared/base.yaml", "base: deeper/root.yaml\nmodel: {width: 32}")
    write("shared/deeper/root.yaml", "model: {depth: 101}")
    write("recipes/top.yaml", "base: ../shared/base.yaml")
    monkeypatch.chdir(tmp_path)
    config = loaded(Path("recipes/top.yaml"))
    assert (config.model.depth, config.model.width) == (101, 32)


def test_one_base_may_serve_two_branches(loaded: Load, write: Write) -> None:
    write("base.yaml", "model: {depth: 101}")
    write("a.yaml", "base: base.yaml\nmodel: {width: 32}")
    write("b.yaml", "base: base.yaml\ntraining: {seed: 5}")
    config = loaded(write("top.yaml", "base: [a.yaml, b.yaml]"))
    assert (config.model.depth, config.model.width, config.training.seed) == (101, 32, 5)


def test_deep_fields_of_a_base_survive_though_no_file_names_a_kind(
    loaded: Load, write: Write
) -> None:
    write(
        "base.yaml",
        "model: {regularizer: {p_l: 0.25, beta: {low: 0.5}}}\n"
        "schedule: {warm_up: {duration: 5ep}}\n"
        "data: {train: {size: 176}}",
    )
    top = write(
        "top.yaml",
        "base: base.yaml\n"
        "model: {regularizer: {level: image, beta: {high: 0.75}}}\n"
        "schedule: {warm_up: {start_factor: 0.5}}\n"
        "data: {root: /pictures, train: {flip: 0.0}}",
    )
    config = loaded(top)
    regularizer, warm_up = config.model.regularizer, config.schedule.warm_up
    assert regularizer.kind == "shakedrop"
    assert (regularizer.p_l, regularizer.level) == (0.25, "image")
    assert (regularizer.beta.low, regularizer.beta.high) == (0.5, 0.75)
    assert (str(warm_up.duration), warm_up.start_factor) == ("5ep", 0.5)
    assert (config.data.kind, config.data.train.size, config.data.train.flip) == ("folder", 176, 0)


def test_a_kind_set_above_a_base_drops_the_fields_of_the_kind_below(
    loaded: Load, write: Write
) -> None:
    write("base.yaml", "optimizer: {kind: sgd, lr: 0.5, momentum: 0.8}")
    config = loaded(write("top.yaml", "base: base.yaml\noptimizer: {kind: adamw, beta1: 0.8}"))
    assert config.optimizer.kind == "adamw"
    assert (config.optimizer.lr, config.optimizer.beta1) == (1e-3, 0.8)


def test_anchors_and_merge_keys_work(loaded: Load, write: Write) -> None:
    text = (
        "model:\n  regularizer:\n    alpha: &ends {low: 0.25, high: 0.5}\n"
        "    beta:\n      <<: *ends\n      high: 0.75\n"
    )
    regularizer = loaded(write("anchors.yaml", text)).model.regularizer
    assert regularizer.kind == "shakedrop"
    assert (regularizer.alpha.low, regularizer.alpha.high) == (0.25, 0.5)
    assert (regularizer.beta.low, regularizer.beta.high) == (0.25, 0.75)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a": "base: a.yaml"}, "a.yaml: builds on itself"),
        ({"a": "base: b.yaml", "b": "base: [c.yaml]", "c": "base: a.yaml"}, "a.yaml: builds on"),
        ({"a": "base: gone.yaml"}, "gone.yaml: No such file or directory; name an existing"),
        ({"a": "base: 5"}, "a.yaml: base: 5 names no file; write base: other.yaml"),
        ({"a": "base:"}, "a.yaml: base: None names no file"),
        ({"a": "base: [b.yaml, 5]", "b": ""}, "a.yaml: base: ['b.yaml', 5] names no file"),
        ({"a": "- 1\n- 2"}, "a.yaml: holds no mapping; write `key: value` lines"),
        ({"a": "just text"}, "a.yaml: holds no mapping"),
        ({"a": "model: {depth: 50\n"}, "a.yaml: not readable YAML: "),
        ({"a": "model:\n  depth: 50\n\twidth: 4"}, "that cannot start any token, line 3"),
        ({"a": "model: {depth: 50}\n---\nmodel: {depth: 101}"}, "found another document, line 2"),
        ({"a": "{{ template }}"}, "a.yaml: not readable YAML: found unhashable key, line 1"),
        (
            {"a": "name: !!timestamp 2024-13-45"},
            "a.yaml: not readable YAML: could not determine a constructor",
        ),
        ({"a": "name: !!python/object:os.x {}"}, "could not determine a constructor"),
        ({"a": "name: a\nname: b"}, "a.yaml: not readable YAML: the key 'name' stands twice, li"),
        ({"a": "model:\n  depth: 50\n  width: 8\n  depth: 50"}, "'depth' stands twice, line 4"),
        (
            {"a": "base: b.yaml", "b": "data: {root: /x, root: /y}"},
            "b.yaml: not readable YAML: the",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named_in_one_line(
    loaded: Load, write: Write, files: dict[str, str], expected: str
) -> None:
    paths = {name: write(f"{name}.yaml", text) for name, text in files.items()}
    with pytest.raises(ConfigurationError) as caught:
        loaded(paths["a"])
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_a_folder_and_other_bytes_are_named(loaded: Load, tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"name: \xff\xfe")
    for path, reason in (
        (tmp_path / "none.yaml", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (binary, "not readable YAML"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            loaded(path)
        assert str(caught.value).startswith(f"{path}: {reason}")
        assert "\n" not in str(caught.value)


def test_a_section_written_with_dots_in_a_file_is_explained(loaded: Load, write: Write) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(write("dots.yaml", "model.depth: 50"))
    assert str(caught.value) == (
        "unknown option 'model.depth': in a file, give each section a level of its own"
    )


def test_a_key_that_is_no_text_is_unknown(loaded: Load, write: Write) -> None:
    with pytest.raises(ConfigurationError, match=r"^unknown option 'model\.1'"):
        loaded(write("numbers.yaml", "model: {1: 2}"))
