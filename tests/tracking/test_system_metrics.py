"""The load of a node goes into the run's journals."""

import time
from pathlib import Path

from service.tracking.journal import system_journal
from service.tracking.records import MetricRecord, read_records
from service.tracking.system_metrics import SystemMetrics


def samples(folder: Path) -> list[MetricRecord]:
    records = [record for path in folder.glob("system-*") for record in read_records(path, 0)[0]]
    return [record for record in records if isinstance(record, MetricRecord)]


def wait_for_samples(folder: Path, count: int) -> list[MetricRecord]:
    give_up = time.monotonic() + 60
    while len(samples(folder)) < count:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return samples(folder)


def test_a_node_is_sampled_many_times_in_a_step(tmp_path: Path) -> None:
    monitor = SystemMetrics(
        tmp_path / system_journal("node 1/é[0]"), "node 1/é[0]", 0.02, lambda: 7
    )
    monitor.start()
    records = wait_for_samples(tmp_path, 3)
    monitor.close()
    assert [path.name for path in tmp_path.iterdir()] == ["system-node_1_é_0_.jsonl"]
    assert {record.step for record in records} == {7}
    load = records[-1].metrics
    prefix = "system/node_1_é_0_/"
    assert all(name.startswith(prefix) for name in load)
    assert 0 <= load[prefix + "cpu_utilization_percentage"] <= 100
    assert 0 < load[prefix + "system_memory_usage_percentage"] <= 100
    assert load[prefix + "disk_available_megabytes"] >= 0
    assert load[prefix + "network_receive_megabytes"] >= 0


def test_samples_carry_the_current_step_and_end_when_closed(tmp_path: Path) -> None:
    steps = iter(range(100, 10_000))
    monitor = SystemMetrics(tmp_path / system_journal("a"), "a", 0.02, lambda: next(steps))
    monitor.start()
    wait_for_samples(tmp_path, 3)
    monitor.close()
    found = [record.step for record in samples(tmp_path)]
    assert found == list(range(100, 100 + len(found)))
    time.sleep(0.1)
    assert len(samples(tmp_path)) == len(found)


def test_a_monitor_that_fails_leaves_the_training_alone(tmp_path: Path) -> None:
    def step() -> int:
        raise RuntimeError("no step yet")

    monitor = SystemMetrics(tmp_path / system_journal("a"), "a", 0.02, step)
    monitor.start()
    monitor.close()
    assert samples(tmp_path) == []
