"""What a prepared set says of itself: a manifest for programs, a README for people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from service.data.pictures import PictureSet, digest
from service.data.preparing.shard import Rewriting, Written
from service.data.shards import open_shards
from service.storage.atomic import whole_file

MANIFEST = "manifest.json"


def complete(
    output: Path,
    sources: Mapping[str, PictureSet],
    written: Mapping[str, Sequence[Written]],
    how: Rewriting,
    plan: Mapping[str, Any],
) -> None:
    """Checks counts and labels of all splits and writes the manifest and the README.

    Args:
        output: Folder with all shards in place.
        sources: What they were made of, by split.
        written: What the shards hold, by split.
        how: What was done.
        plan: What tells this preparation from others.

    Raises:
        OSError: The shards hold other pictures than the source.
    """
    splits = {}
    for split, source in sources.items():
        prepared = open_shards(output / split, source.classes)
        skipped = {index: text for one in written[split] for index, text in one.skipped.items()}
        kept = np.delete(source.labels, sorted(skipped))
        if not np.array_equal(np.asarray(prepared.labels), kept):
            raise OSError(
                f"{output / split} holds {len(prepared)} pictures with other labels than the "
                f"{len(kept)} of the source: is the storage sound?"
            )
        splits[split] = {
            "source": source.source,
            "source_digest": digest(source),
            "digest": digest(prepared),
            "pictures": len(prepared),
            "rewritten": sum(one.rewritten for one in written[split]),
            "skipped": [text for _, text in sorted(skipped.items())],
            "shards": [_shard(one) for one in written[split]],
        }
    described = {"short_side": how.short_side, "quality": how.quality, "interpolation": "bicubic"}
    content = json.dumps({"format": 1, **described, "plan": plan, "splits": splits}, indent=1)
    _write(output / MANIFEST, content + "\n")
    _write(output / "README.md", _readme(splits, how))


def _shard(written: Written) -> dict[str, Any]:
    fields = asdict(written)
    return {name: fields[name] for name in ("name", "pictures", "size", "sha256")}


def _readme(splits: Mapping[str, Mapping[str, Any]], how: Rewriting) -> str:
    rows = "\n".join(
        f"| {name} | {split['pictures']} | {split['rewritten']} | {len(split['skipped'])} | "
        f"{split['source']} |"
        for name, split in splits.items()
    )
    return f"""# Prepared pictures

Made by `pipelines/prepare.py`: pictures whose shorter side is longer than {how.short_side} pixels
were resized to that (bicubic, antialiased), turned upright and written as JPEG of quality
{how.quality} with colour at half resolution. All others are the source's files, byte for byte.
`manifest.json` holds counts, checksums and what was skipped. The shards are WebDataset's: a picture
and its label (`.cls`) each; class names in `classes.json`.

| split | pictures | resized | skipped | source |
|---|---|---|---|---|
{rows}

    python pipelines/imagenet.py data.root=<this folder>

Copied to an object store by any tool, such as `aws s3 sync <this folder> s3://bucket/set`, it is
read from there with `data.root=s3://bucket/set`.
"""


def _write(path: Path, text: str) -> None:
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="surrogateescape")
