"""Paired timing."""

from service.benchmark.timing import PairedTimes, alternate


def test_both_run_in_each_round_in_changing_order_after_their_preparation() -> None:
    seen: list[str] = []

    def side(name: str):  # noqa: ANN202
        def prepare():  # noqa: ANN202
            seen.append(f"prepare {name}")
            return lambda: seen.append(name)

        return prepare

    times = alternate(side("ours"), side("peer"), rounds=2, warm_up=1)
    assert [one for one in seen if "prepare" not in one] == [
        "ours", "peer", "peer", "ours", "ours", "peer",
    ]  # fmt: skip
    assert seen[:2] == ["prepare ours", "ours"]
    assert len(times.ours) == len(times.peer) == 2
    assert all(seconds > 0 for seconds in times.ours + times.peer)


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    times = PairedTimes(ours=(1.0, 2.0, 1.0), peer=(3.0, 8.0, 100.0))
    assert times.ratios == (3.0, 4.0, 100.0)
    assert times.ratio == 4.0
