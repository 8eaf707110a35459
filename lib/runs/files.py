"""Files that are there whole, or not at all."""

import json
import os
from pathlib import Path


def read_json(path: Path) -> dict | None:
    """The object in a file; None if the file is not there, not readable or holds something else."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def write_json(path: Path, content) -> None:
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """In UTF-8. Written beside, flushed to disk, renamed."""
    scratch = path.with_name(path.name + ".tmp")
    try:
        scratch.write_text(text, "utf-8")
        flush(scratch)
        scratch.rename(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise


def flush(path: Path) -> None:
    """A file or folder is on the disk, and not only on its way there."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
