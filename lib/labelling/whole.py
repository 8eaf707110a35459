"""Files and folders that are replaced whole, or stay as they were."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.errors import StudyError, brief
from lib.runs.files import flush


def replace_files(contents: dict[Path, str | None]) -> None:
    """Write all of these files, or none of them; None: the file goes. Raises StudyError if one cannot be written."""
    scratches = {path: path.with_name(f"{path.name}.tmp") for path, content in contents.items() if content is not None}
    try:
        for path, scratch in scratches.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_text(contents[path], "utf-8", newline="")
            flush(scratch)
        for path in contents:
            if path in scratches:
                scratches[path].replace(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise refusal(next(iter(contents)).parent, error) from error
    finally:
        for scratch in scratches.values():
            if scratch.parent.is_dir():
                scratch.unlink(missing_ok=True)


@contextmanager
def replaced_folder(folder: Path, before: Path | None = None) -> Iterator[Path]:
    """An empty folder to fill, which then takes this one's place.

    before: where the folder that was there is kept; None: it goes. Raises StudyError for whatever is raised while it is
    filled, and then all is as it was: of a full disk, safetensors and tokenizers raise exceptions of their own.
    """
    scratch, aside = (folder.with_name(f"{folder.name}.{end}") for end in ("tmp", "old"))
    try:
        for left in (scratch, aside):
            shutil.rmtree(left, ignore_errors=True)
        scratch.mkdir(parents=True)
        yield scratch
        for path in scratch.rglob("*"):
            if path.is_file():
                flush(path)
        if folder.exists():
            folder.rename(aside)
        try:
            scratch.rename(folder)
        except OSError:
            if aside.exists():
                aside.rename(folder)
            raise
        if before and aside.exists():
            shutil.rmtree(before, ignore_errors=True)
            aside.rename(before)
        shutil.rmtree(aside, ignore_errors=True)
    except StudyError:
        raise
    except Exception as error:
        raise refusal(folder, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def refusal(folder: Path, error: Exception) -> StudyError:
    said = getattr(error, "strerror", None) or brief(error)
    return StudyError(
        f"{folder}: cannot be written ({said}), what was there stays: free space or make it writable, then export again"
    )
