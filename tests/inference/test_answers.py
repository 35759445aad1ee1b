"""Figures of answers, against closed forms."""

import numpy as np
import pytest
import torch
from PIL import Image

from service.inference.answers import AnswerRecord, Answers, mirrored_mean
from service.inference.calibration import calibration
from service.inference.confusion import class_rows, class_table, confusions, matrix
from service.inference.drawings import MOST_CLASSES, draw_confusion, draw_reliability


def answers(labels: list[int], predicted: list[int], confidence: list[float]) -> Answers:
    return Answers(np.array(labels), np.array(predicted), np.array(confidence))


def test_a_classifier_that_is_as_right_as_sure_has_no_error() -> None:
    # Ten answers at 0.7, of which seven are right; four at 0.25, of which one is.
    labels = [0] * 14
    predicted = [0] * 7 + [1] * 3 + [0] + [1] * 3
    assert calibration(answers(labels, predicted, [0.7] * 10 + [0.25] * 4)).error == pytest.approx(
        0
    )


def test_the_error_is_the_weighted_mean_of_the_gaps() -> None:
    # Always sure, half of the time right; and never right at 0.3: (4 * 0.5 + 2 * 0.3) / 6.
    found = calibration(answers([0] * 6, [0, 0, 1, 1, 1, 1], [1.0] * 4 + [0.3] * 2))
    assert found.error == pytest.approx(100 * 2.6 / 6)
    # Opposite gaps within a bin cancel, as in the paper: 0.95 and 1.0 are in the last of 15.
    found = calibration(answers([0, 0], [0, 1], [1.0, 0.95]))
    assert found.error == pytest.approx(100 * abs(0.5 - 0.975))


def test_a_bin_holds_its_upper_bound_and_not_its_lower() -> None:
    found = calibration(answers([0] * 4, [0] * 4, [0.0, 0.5, 0.5000001, 1.0000001]), bins=2)
    assert found.pictures.tolist() == [2, 2]
    assert found.confidence == pytest.approx([0.25, 0.75], abs=1e-6)


def test_rows_of_classes_tell_what_each_is_taken_for() -> None:
    found = answers([0, 0, 0, 0, 2, 2, 3], [0, 1, 2, 1, 2, 2, 0], [0.5] * 7)
    names = ("a", "b, or b", "c", "d")
    rows = class_rows(found, names)
    assert [row["class"] for row in rows] == ["d", "a", "c"]
    assert rows[1] == {
        "class": "a",
        "pictures": "4",
        "top1": "25.00",
        "taken_for": "b, or b",
        "taken_for_share": "50.00",
    }
    assert rows[2]["taken_for"] == ""
    assert class_table(rows).decode().splitlines()[2] == 'a,4,25.00,"b, or b",50.00'
    assert [(one.shown, one.taken_for, one.pictures) for one in confusions(found)] == [
        (3, 0, 1),
        (0, 1, 2),
        (0, 2, 1),
    ]
    occurring, shares = matrix(found)
    assert occurring.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(shares[0], [0.25, 0.5, 0.25, 0])
    assert np.isnan(shares[1]).all()


def test_the_mean_of_two_views_is_that_of_probabilities() -> None:
    one, other = torch.randn(2, 5, 7, dtype=torch.float64).float()
    expected = (torch.softmax(one.double(), 1) + torch.softmax(other.double(), 1)) / 2
    torch.testing.assert_close(
        mirrored_mean(one, other).double().exp(), expected, rtol=1e-5, atol=1e-7
    )
    # A class that both views rule out has a finite loss.
    sure = torch.tensor([[0.0, -300.0]])
    assert mirrored_mean(sure, sure)[0, 1] == -300


def test_answers_are_collected_batch_by_batch() -> None:
    logits, labels = torch.randn(9, 4), torch.arange(9) % 4
    record = AnswerRecord()
    for part in (slice(0, 4), slice(4, 9)):
        record.add(logits[part].bfloat16(), labels[part])
    found = record.gathered()
    assert found.labels.tolist() == labels.tolist()
    probabilities = torch.softmax(logits.bfloat16().float(), 1)
    assert found.confidence == pytest.approx(probabilities.amax(1).numpy())
    assert found.right.tolist() == (probabilities.argmax(1) == labels).tolist()


@pytest.mark.parametrize("classes", [2, MOST_CLASSES, 1000])
def test_pictures_of_few_and_many_classes_have_a_size_people_can_read(
    tmp_path_factory: pytest.TempPathFactory, classes: int
) -> None:
    generator = np.random.default_rng(1)
    labels = np.arange(4 * classes) % classes
    wrong = generator.random(len(labels)) < 0.4
    found = Answers(
        labels, np.where(wrong, (labels + 1) % classes, labels), generator.random(len(labels))
    )
    # What is read as a formula elsewhere, a letter that the font lacks, and a very long one.
    names = ["$a_b$ $", "名", "x" * 500, *map(str, range(3, classes + 1))]
    file = tmp_path_factory.mktemp("pictures") / "a.png"
    for drawn in (draw_confusion(found, names), draw_reliability(calibration(found))):
        file.write_bytes(drawn)
        with Image.open(file) as picture:
            assert picture.format == "PNG"
            assert max(picture.size) < 2200


def test_a_classifier_without_errors_has_a_picture() -> None:
    right = np.arange(MOST_CLASSES + 1)
    found = Answers(right, right, np.ones(len(right)))
    assert draw_confusion(found, [str(one) for one in right]).startswith(b"\x89PNG")
