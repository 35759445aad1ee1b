"""The profile of DDP and the table of GPUs, at a small size and on a processor."""

from argparse import Namespace

import pytest
import torch

from service.benchmark.gpu import measure, measure_on
from service.benchmark.network_steps import residual_network
from service.benchmark.overlap import Setting, length, measure_overlap, shared
from service.benchmark.utilisation import operations_of_step
from service.config.errors import ConfigurationError


def test_spans_that_overlap_count_once() -> None:
    spans = [(0.0, 3.0), (2.0, 4.0), (6.0, 7.0), (6.5, 6.6)]
    assert length(spans) == 5
    assert shared(spans, [(3.5, 6.25), (3.75, 3.8)]) == pytest.approx(0.75)
    assert shared(spans, []) == 0
    assert length([]) == 0


def test_a_profile_shows_every_all_reduce_and_the_backward_pass() -> None:
    record = measure_overlap(Setting(workers=2, rounds=2, depth=18, batch=2, side=32))
    # 47 MB of gradients in buckets of 25 MiB, the first of 1 MiB.
    assert record.agreement.startswith("3 all-reduces a step")
    assert all(0 < after <= sent for after, sent in zip(record.ours, record.peers, strict=True))


def test_operations_of_a_step_are_three_forward_passes() -> None:
    with torch.device("meta"):
        network = residual_network(18)
    # torchvision counts 1.814 G multiply-adds at 224 pixels; the stem's input needs no gradient.
    stem = 2 * 118_013_952
    assert operations_of_step(network, 224) == pytest.approx(6 * 1.814e9 - stem, rel=1e-3)


def test_the_table_of_a_device_has_a_row_for_each_network(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = Namespace(
        depths=[18], levels=["image"], modes=["eager"], batch=2, side=32, rounds=2, steps=1
    )
    records = [*measure_on(torch.device("cpu"), options)]
    assert [record.unit for record in records] == ["waits", "waits", "s"]
    assert str(records[2].goal) == "≤ 1.03"
    rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[1] for row in rows[2:]] == ["–", "image"]
    assert len({row.count("|") for row in rows}) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_table_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigurationError, match=r"^gpu: torch finds no CUDA device.*$") as error:
        next(measure(Namespace()))
    assert "\n" not in str(error.value)
