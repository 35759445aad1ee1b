"""Whatever stands in files: a configuration, or lines that say what is wrong."""

from pathlib import Path

import pytest
from hostile_yaml import lines_of, properties, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.config.loading import load
from service.config.sweep_files import load_sweep


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configuration")


@settings(properties, max_examples=150)
@given(st.one_of(texts, st.text(max_size=60), st.binary(max_size=40)))
def test_any_file_is_a_configuration_or_one_line_that_names_it(
    folder: Path, content: str | bytes
) -> None:
    file = folder / "any.yaml"
    raw = content if isinstance(content, bytes) else content.encode(errors="surrogateescape")
    file.write_bytes(raw)
    try:
        config = load(ImageNetConfig, [file])
    except ConfigurationError as error:
        lines = lines_of(error)
        if any(line.startswith(f"{file}: ") for line in lines):
            assert len(lines) == 1
    else:
        assert isinstance(config, ImageNetConfig)


trees = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6)),
    lambda parts: st.one_of(
        st.lists(parts, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["kind", "model", "low", "sweep", "space", "base"]),
                st.text(max_size=4),
            ),
            parts,
            max_size=3,
        ),
    ),
    max_leaves=8,
)


@settings(properties, max_examples=150)
@given(st.sampled_from(["model", "data", "optimizer", "training", "sweep", "sweep.space"]), trees)
def test_any_section_of_a_sweep_file_is_a_configuration_or_lines(
    folder: Path, section: str, tree: object
) -> None:
    file = folder / "tree.yaml"
    outer, _, inner = section.partition(".")
    written = {outer: {inner: tree} if inner else tree}
    file.write_text(repr(written).replace("None", "null"), encoding="utf-8", errors="replace")
    try:
        assert load_sweep([file], [])
    except ConfigurationError as error:
        lines_of(error)


@settings(properties, max_examples=100)
@given(st.dictionaries(st.integers(0, 4), st.lists(st.integers(0, 5), max_size=2), max_size=5))
def test_files_that_build_on_each_other_in_any_way_load_or_are_named(
    folder: Path, graph: dict[int, list[int]]
) -> None:
    """Every cycle ends; what is missing or builds on itself is told in one line."""
    inner = folder / "graph"
    inner.mkdir(exist_ok=True)
    for old in inner.iterdir():
        old.unlink()
    for number, bases in graph.items():
        text = f"base: {[f'{base}.yaml' for base in bases]}\nname: run{number}\n"
        (inner / f"{number}.yaml").write_text(text)

    def sound(number: int, above: tuple[int, ...]) -> bool:
        return (
            number in graph
            and number not in above
            and all(sound(base, (*above, number)) for base in graph[number])
        )

    try:
        config = load(ImageNetConfig, [inner / "0.yaml"])
    except ConfigurationError as error:
        (line,) = lines_of(error)
        assert "builds on itself" in line or "No such file" in line
        assert not sound(0, ())
    else:
        assert config.name == "run0"
        assert sound(0, ())


def test_a_long_row_of_files_ends(folder: Path) -> None:
    for number in range(1200):
        (folder / f"row{number}.yaml").write_text(f"base: row{number + 1}.yaml\n")
    with pytest.raises(ConfigurationError, match="more than 20 files in a row"):
        load(ImageNetConfig, [folder / "row0.yaml"])


@pytest.mark.parametrize("base", ['"a\\0b"', '"\\ud800"', '"a\\nb.yaml"', "x" * 5000, "..", "/"])
def test_a_base_that_can_be_no_file_is_named_in_one_line(folder: Path, base: str) -> None:
    file = folder / "base.yaml"
    file.write_text(f"base: {base}")
    with pytest.raises(ConfigurationError) as caught:
        load(ImageNetConfig, [file])
    assert len(lines_of(caught.value)) == 1


def test_links_that_go_in_circles_are_named(folder: Path) -> None:
    (folder / "loop.yaml").symlink_to("loop.yaml")
    with pytest.raises(ConfigurationError, match=r"loop\.yaml: Too many levels of symbolic links"):
        load(ImageNetConfig, [folder / "loop.yaml"])
