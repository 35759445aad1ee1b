"""The Dockerfile, and what of the project reaches the builder."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def stages(docker: Path) -> dict[str, list[str]]:
    """The instructions of each stage, without comments, a line each."""
    text = re.sub(r"^\s*#.*\n", "", (docker / "Dockerfile").read_text(), flags=re.MULTILINE)
    found: dict[str, list[str]] = {"": []}
    current = ""
    for line in text.replace("\\\n", " ").splitlines():
        words = line.split()
        if words and words[0] == "FROM":
            current = words[3]
            found[current] = []
        if words:
            found[current].append(" ".join(words))
    return found


def values(instructions: list[str], keyword: str) -> list[str]:
    return [line.partition(" ")[2] for line in instructions if line.split()[0] == keyword]


@pytest.mark.parametrize("stage", ["ray", "mlflow"])
def test_images_run_as_a_user_and_say_how_they_are(
    stages: dict[str, list[str]], stage: str
) -> None:
    assert values(stages[stage], "USER")[-1] == "1000:1000"
    assert len(values(stages[stage], "HEALTHCHECK")) == 1


def test_image_without_a_target_is_the_clusters(stages: dict[str, list[str]]) -> None:
    assert list(stages)[-1] == "ray"


def test_base_image_has_a_full_version(stages: dict[str, list[str]]) -> None:
    assert re.fullmatch(r"PYTHON=3\.\d+\.\d+-slim-\w+", values(stages[""], "ARG")[0])
    bases = {line.split()[1] for name in stages for line in stages[name] if line[:5] == "FROM "}
    assert bases == {"python:${PYTHON}", "builder"}


def test_packages_come_with_hashes_only(stages: dict[str, list[str]], docker: Path) -> None:
    script = (docker / "install-packages").read_text()
    commands = [line for lines in stages.values() for line in lines if "pip install" in line]
    for line in [*commands, *re.findall(r"pip install.*", script)]:
        assert "--require-hashes" in line or "--no-index" in line, line


def test_a_jobs_command_finds_its_files(stages: dict[str, list[str]]) -> None:
    assert values(stages["ray"], "WORKDIR") == ["/opt/service"]
    copied = dict(line.split()[-2:] for line in values(stages["ray"], "COPY"))
    assert copied["pipelines"] == "/opt/service/pipelines"
    assert copied["configs"] == "/opt/service/configs"


def test_no_secret_is_built_in(stages: dict[str, list[str]]) -> None:
    text = "\n".join(line for lines in stages.values() for line in lines)
    assert not re.search(r"(TOKEN|PASSWORD|SECRET|KEY)\w*=", text)


def matches(pattern: str, name: str) -> bool:
    """Returns whether a line of .dockerignore means a file: its path or that of a folder above."""
    expression = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
    return re.match(f"{expression}(/|$)", name) is not None


def sent() -> dict[str, int]:
    """Returns the sizes of the project's files that reach the builder; the last line counts."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    found = {}
    for path in ROOT.rglob("*"):
        name = path.relative_to(ROOT).as_posix()
        said = [line for line in patterns if matches(line.removeprefix("!"), name)]
        if path.is_file() and (not said or said[-1].startswith("!")):
            found[name] = path.stat().st_size
    return found


def test_builder_gets_what_it_copies_and_little_else(stages: dict[str, list[str]]) -> None:
    files = sent()
    for lines in stages.values():
        for words in (line.split()[:-1] for line in values(lines, "COPY") if "--from" not in line):
            for source in (word for word in words if not word.startswith("--")):
                assert any(matches(source, name) for name in files), source
    assert not [name for name in files if {"secrets", ".git", "runs"} & set(name.split("/"))]
    assert sum(files.values()) < 3_000_000


def test_hadolint_has_nothing_to_say(docker: Path, program: Callable[[str], str]) -> None:
    line = [program("hadolint"), "--no-color", str(docker / "Dockerfile")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
