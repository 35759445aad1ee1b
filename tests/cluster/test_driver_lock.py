"""One living driver for each run: who is refused, and when a run may be taken over."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from service.cluster.driver_lock import TakenOverError, only_driver
from service.cluster.fatal import AfterFailure, no_restart
from service.config.errors import ConfigurationError

_HOLDER = """
import sys
from pathlib import Path
from service.cluster.driver_lock import only_driver
with only_driver(Path(sys.argv[1]), "run", sys.argv[2] or None):
    print("taken", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path, ray_job: str = "") -> subprocess.Popen[str]:
    """Starts a process that drives what lies in the folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(folder), ray_job],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "taken\n"
    return process


def elsewhere(folder: Path, seconds_ago: float) -> None:
    """Makes the folder's driver one of another machine, with an old sign of life."""
    file = folder / "driver.json"
    driver = json.loads(file.read_text()) | {"host": "node-7", "place": "node-7 other"}
    file.write_text(json.dumps(driver))
    then = time.time() - seconds_ago
    os.utime(file, (then, then))


def take(folder: Path) -> None:
    with only_driver(folder, "run"):
        pass


def test_a_run_with_a_living_driver_is_refused_and_the_driver_named(tmp_path: Path) -> None:
    with holder(tmp_path / "a-run", "raysubmit_1") as process:
        with pytest.raises(ConfigurationError) as caught:
            take(tmp_path / "a-run")
        process.communicate("")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"name: the run a-run is driven by process {process.pid} on ")
    assert message.endswith("Ray job raysubmit_1; stop that one first, or choose another name")
    take(tmp_path / "a-run")


def test_a_killed_driver_is_followed_at_once_even_before_it_is_buried(tmp_path: Path) -> None:
    process = holder(tmp_path / "a-run")
    process.kill()
    # Until its parent waits for it, a dead process keeps its id.
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    take(tmp_path / "a-run")
    process.communicate()


def test_an_id_that_another_process_has_now_is_no_driver(tmp_path: Path) -> None:
    with only_driver(tmp_path, "run"):
        file = tmp_path / "driver.json"
        content = json.loads(file.read_text())
    began = content["began"] - 3600
    file.write_text(json.dumps(content | {"began": began}))
    os.utime(file, (began, began))
    take(tmp_path)


@pytest.mark.parametrize("seconds_ago", [59, 7200])
def test_a_driver_elsewhere_is_followed_after_a_minute_without_a_sign_of_life(
    tmp_path: Path, seconds_ago: int, capsys: pytest.CaptureFixture[str]
) -> None:
    process = holder(tmp_path)
    process.kill()
    process.communicate()
    elsewhere(tmp_path, seconds_ago)
    take(tmp_path)
    waited = "waiting for a sign of life of process" in capsys.readouterr().out
    assert waited == (seconds_ago < 60)


def test_a_driver_elsewhere_that_shows_a_sign_of_life_is_respected(tmp_path: Path) -> None:
    with only_driver(tmp_path, "run"):
        elsewhere(tmp_path, 30)
        beat = threading.Timer(0.5, lambda: (tmp_path / "driver.json").touch())
        beat.start()
        with pytest.raises(ConfigurationError, match=r"is driven by process .* on node-7 since "):
            take(tmp_path)
        beat.join()


def test_a_driver_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.cluster.driver_lock._BEAT_SECONDS", 0.01)
    with only_driver(tmp_path, "run"):
        os.utime(tmp_path / "driver.json", (0, 0))
        until = time.monotonic() + 10
        while (tmp_path / "driver.json").stat().st_mtime == 0:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_who_lost_a_run_may_write_nothing_more_and_leaves_the_winners_file(tmp_path: Path) -> None:
    with only_driver(tmp_path, "run") as claim:
        claim.check()
        elsewhere(tmp_path, 3600)
        with only_driver(tmp_path, "run") as later:
            later.check()
            with pytest.raises(TakenOverError, match=rf"now driven by process {os.getpid()} on "):
                claim.check()
        # Nor when the winner is through with it.
        with pytest.raises(TakenOverError, match="driven by another process meanwhile"):
            claim.check()


def test_of_many_that_follow_a_killed_driver_one_gets_the_run(tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.kill()
    process.communicate()
    start, ended, outcomes = threading.Barrier(8), threading.Event(), []

    def follow() -> None:
        start.wait()
        try:
            with only_driver(tmp_path, "run"):
                outcomes.append("taken")
                ended.wait(10)
        except ConfigurationError as error:
            outcomes.append(str(error).split(" is driven")[0])

    threads = [threading.Thread(target=follow) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(outcomes) < 8:
        time.sleep(0.01)
    ended.set()
    for thread in threads:
        thread.join()
    assert outcomes.count("taken") == 1


def test_a_file_that_is_just_being_written_is_respected_and_an_old_ruin_is_not(
    tmp_path: Path,
) -> None:
    file = tmp_path / "driver.json"
    file.write_text("")
    with pytest.raises(ConfigurationError, match=rf"delete {file}$"):
        take(tmp_path)
    os.utime(file, (0, 0))
    take(tmp_path)


def test_nothing_is_left_where_nothing_was_started(tmp_path: Path) -> None:
    def refused() -> None:
        with only_driver(tmp_path / "new", "run"):
            raise ConfigurationError("data.root: no such folder")

    with pytest.raises(ConfigurationError):
        refused()
    assert list(tmp_path.iterdir()) == []


def test_the_loss_of_a_run_ends_its_workers_for_good_and_is_not_kept_with_the_run(
    tmp_path: Path,
) -> None:
    """What is kept there would end the other driver's run."""
    lost = TakenOverError("now driven by another process")
    with pytest.raises(TakenOverError), no_restart(tmp_path):
        raise lost
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TakenOverError):
        AfterFailure(tmp_path).after_exception(None, {1: lost})
