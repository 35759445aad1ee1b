"""`pipelines/compare.py` as a process; with runs it is in `test_cifar.py`."""

from pathlib import Path

import pytest
import running


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--uri", "http://somebody:pass%2Fword@127.0.0.1:9"],
            "--uri: holds a user name, password",
        ),
        (["--storage", "{folder}"], "there is no database {folder}/mlflow.db"),
    ],
)
def test_what_cannot_be_asked_is_one_line(tmp_path: Path, options: list[str], message: str) -> None:
    line = [one.format(folder=tmp_path) for one in options]
    refused = running.run([*running.program("compare"), "--experiment", "cifar", *line])
    assert refused.returncode == 2
    (told,) = refused.stderr.splitlines()
    assert message.format(folder=tmp_path) in told
    assert "word" not in told.replace("password", "")
    assert not list(tmp_path.iterdir())
