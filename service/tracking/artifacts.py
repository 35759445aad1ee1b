"""Files of a run, such as pictures and tables: on disk before anyone asks a server."""

import threading
from pathlib import Path

from service.storage.atomic import whole_file
from service.tracking.journal import Journal
from service.tracking.names import check_artifact_path

ARTIFACTS = "artifacts"
"""Folder of a run's files in the run folder; MLflow gets them under the same paths."""
# Not the journal of metrics: a store of files that is away holds up no metrics.
ARTIFACTS_JOURNAL = "artifacts.jsonl"
"""Name of the journal of files in the run folder, which says in which order they were written."""


class ArtifactFolder:
    """Writes the files of a run folder. Many threads of one process may; only one process may."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def write(self, path: str, content: bytes) -> None:
        """Writes a file whole or not at all, over an older one of this path, and records it.

        Args:
            path: Relative path with slashes, such as evaluation/step_00001200/pictures.png.
            content: What it holds.

        Raises:
            ValueError: The path leads elsewhere, or MLflow would refuse it.
            OSError: The file could not be written; an older one stays as it was.
        """
        check_artifact_path(path)
        target = self._folder / ARTIFACTS / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as partial:
            partial.write_bytes(content)
        # Opened for each file: most runs have none, and need no journal of them.
        with self._lock, Journal(self._folder / ARTIFACTS_JOURNAL) as journal:
            journal.write_artifact(path)
