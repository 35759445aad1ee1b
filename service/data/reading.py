"""The bytes of the pictures of a batch."""

from collections.abc import Iterator, Sequence

from service.data.patience import read_patiently
from service.data.pictures import PictureSet
from service.data.streaming.pictures import StreamedPictures


def contents(pictures: PictureSet, indices: Sequence[int]) -> Iterator[bytes | OSError]:
    """Yields pictures, and in the place of one that cannot be read the reason.

    What lies on a file system is read when it is wanted, so that a batch need not be in memory as
    files too; what comes over a network is asked for at once.

    Args:
        pictures: The set.
        indices: Which of them.

    Raises:
        StorageAwayError: While iterating: where they are kept gives no answer.
    """
    if isinstance(pictures, StreamedPictures):
        yield from pictures.read_together(indices)
        return
    for index in indices:
        try:
            yield read_patiently(pictures.read, index)
        except OSError as error:
            yield error
