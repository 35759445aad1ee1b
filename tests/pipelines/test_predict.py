"""`pipelines/predict.py` as a process."""

import running


def test_a_wrong_call_is_one_line() -> None:
    refused = running.run([*running.program("predict"), "photos"])
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith("error: ")
    assert "--checkpoint" in line
