"""The command lines of the programs that use a checkpoint."""

from collections.abc import Callable, Sequence

import pytest

from service.inference.evaluation_command import evaluate
from service.inference.prediction_command import predict


@pytest.mark.parametrize("program", [evaluate, predict])
def test_help_begins_with_a_sentence_and_an_example(
    program: Callable[[Sequence[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        program(["--help"])
    assert left.value.code == 0
    sentence, nothing, example, *_ = capsys.readouterr().out.splitlines()
    assert sentence.endswith(".")
    assert nothing == ""
    assert example.startswith(f"  python pipelines/{program.__name__}.py --checkpoint")
