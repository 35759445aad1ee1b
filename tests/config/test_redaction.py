"""Credentials are found in any text that might be shown, and other text stays as it is."""

import os
from pathlib import Path

import pytest

from service.config.errors import ConfigurationError
from service.config.failures import refuse, report
from service.config.redaction import holds_credentials, redact


@pytest.fixture(autouse=True)
def _no_secrets_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.endswith(("TOKEN", "PASSWORD", "KEY", "SECRET")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ann:c4n4ry@host:5000/path", "https://***@host:5000/path"),
        ("https://c4n4ry@host", "https://***@host"),
        ("https://ann:c4n@4ry@host/a", "https://***@host/a"),
        ("s3://KEY:c4n/4ry+x/@bucket/runs", "s3://***@bucket/runs"),
        ("http://ann:12c4n4ry@host", "http://***@host"),
        ("http://ann:1234@host", "http://***@host"),
        ("http://[c4n4ry:x@host", "http://***@host"),
        ("http://host/a?token=c4n4ry&x=1", "http://host/a?token=***&x=1"),
        ("s3://b/x?X-Amz-Security-Token=c4n4ry&X-Amz-Signature=c4n4ry", None),
        ("https://a.blob/x?sv=1&sig=c4n4ry", "https://a.blob/x?sv=1&sig=***"),
        (str(Path("s3://KEY:c4n4ry@bucket/train")), "s3:/***@bucket/train"),
        ("GET http://ann:c4n4ry@a/b failed, see https://b/c or x@y.z", None),
    ],
)
def test_credentials_in_addresses_are_not_shown(text: str, shown: str | None) -> None:
    assert holds_credentials(text)
    assert "c4n4ry" not in redact(text)
    assert shown is None or redact(text) == shown
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000/a@b",
        "http://host:5000",
        "sqlite:////home/me@here/mlflow.db",
        "models:/name@champion",
        "runs:/0123abcd/step_00001200",
        "s3://bucket/runs?region=eu-west-1&endpoint_override=minio:9000&scheme=http",
        "file:///home/me@here/weights.pth",
        "/home/me@here/pictures",
        "12:30:59 run a: folder /data/a@b, https://docs/page",
    ],
)
def test_other_addresses_stay_as_they_are(text: str) -> None:
    assert not holds_credentials(text)
    assert redact(text) == text


def test_values_of_secret_variables_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "c4n4ry-1\r\nx")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "c4n4ry-22")
    monkeypatch.setenv("OTHER_PASSWORD", "c4n4ry-2")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/run/secrets/ray")
    monkeypatch.setenv("USE_TOKEN", "1")
    text = redact("header 'c4n4ry-1\\r\\nx' of c4n4ry-22 and c4n4ry-2 in /run/secrets/ray, 1 time")
    assert text == "header '***' of *** and *** in /run/secrets/ray, 1 time"


def test_what_a_program_says_at_its_end_holds_none(capsys: pytest.CaptureFixture[str]) -> None:
    address = "http://ann:c4n4ry@host/x"
    assert refuse(ConfigurationError(f"tracking.uri: {address} is wrong")) == 2
    error = RuntimeError(f"{address} went away")
    error.__cause__ = ConnectionError(f"no answer from {address}")
    assert report(error, "the run") == 1
    captured = capsys.readouterr()
    assert "c4n4ry" not in captured.err + captured.out
    assert captured.err.count("***@host/x") == 4
