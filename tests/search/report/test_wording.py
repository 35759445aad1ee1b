import pytest

from service.config.sweep import Value
from service.search.report.description import SweepDescription
from service.search.report.wording import count, drawable, labels, length, readable, shortened


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (1234567, "1234567"),
        ("pixel", "pixel"),
        (0.0, "0"),
        (76.23456, "76.23"),
        (64.0, "64"),
        (-0.5, "-0.5"),
        (9.99996, "10"),
        (0.1 + 0.2, "0.3"),
        (12345.6, "12346"),
        (0.00012345, "0.0001234"),
        (1e-5, "1e-5"),
        (-2.5e-7, "-2.5e-7"),
        (1.23456e9, "1.235e9"),
    ],
)
def test_numbers_have_four_digits_and_the_rest_is_yaml(value: Value, text: str) -> None:
    assert readable(value) == text


def test_one_is_no_plural() -> None:
    assert (count(1, "trial"), count(2, "trial")) == ("1 trial", "2 trials")
    assert (length(1), length(0.5), length(27.0)) == ("1 epoch", "0.5 epochs", "27 epochs")


def test_a_long_text_loses_its_middle() -> None:
    assert shortened("channel", 7) == "channel"
    assert shortened("a name with an end", 9) == "a na… end"
    assert shortened("two\nlines", 20) == "two lines"


def test_labels_that_look_alike_are_numbered() -> None:
    assert labels(["same in x the middle", "same in y the middle", "no"], 9) == [
        "same…ddle (1)",
        "same…ddle (2)",
        "no",
    ]


def test_what_matplotlib_cannot_draw_is_replaced() -> None:
    assert drawable("α × 0.5 – $x$") == r"α × 0.5 – \$x\$"
    assert drawable("日本\x07") == "\N{REPLACEMENT CHARACTER}" * 3


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("val/top1", "val/top1, %"),
        ("val/ema_top5", "val/ema_top5, %"),
        ("val/loss", "val/loss"),
        ("time/stop1x", "time/stop1x"),
    ],
)
def test_top_k_is_in_percent(metric: str, label: str) -> None:
    sweep = SweepDescription("title", metric, "max", {})
    assert sweep.label(sweep.metric) == label
