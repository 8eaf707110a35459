"""Labelled rows as tokens: tokenised once, kept as flat arrays with offsets, cut into batches of like length."""

import json
import os
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib.data import sources
from lib.errors import StudyError, brief
from lib.protocol import digest

if TYPE_CHECKING:  # it needs torch, which takes seconds to import, and texts are read without
    from lib.data.batches import Batch

KEPT = sources.CACHE / "tokens"
ARRAYS = ("tokens_T", "segments_T", "offsets")  # what tokenisation adds to texts and labels


@dataclass(frozen=True)
class Rows:
    """N labelled rows: the texts, and their tokens as one flat array with offsets."""

    texts: list[tuple[str, ...]]
    labels_N: np.ndarray
    tokens_T: np.ndarray
    segments_T: np.ndarray
    offsets: np.ndarray  # N + 1; row n is tokens_T[offsets[n] : offsets[n + 1]]

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def lengths_N(self) -> np.ndarray:
        return np.diff(self.offsets)

    def flat_index(self, rows: np.ndarray, starts_N: np.ndarray | None = None) -> np.ndarray:
        """Positions in the flat arrays of all tokens of `rows`, in the order of `rows`.

        starts_N: where the first token of each row is, if in other arrays than these.
        """
        return ranges((self.offsets if starts_N is None else starts_N)[rows], self.lengths_N[rows])

    def batch(self, rows, device="cpu", starts_N: np.ndarray | None = None) -> "Batch":
        """The rows of these numbers, packed in this order.

        starts_N: where a prefix keeps what belongs to the first token of each row; the batch then says where of each.
        """
        from lib.data.batches import pack

        rows = np.asarray(rows)
        flat, kept = self.flat_index(rows), np.empty(0, np.int64)
        if starts_N is not None:
            kept = self.flat_index(rows, starts_N)
        return pack(self.tokens_T[flat], self.segments_T[flat], self.labels_N[rows], kept, self.lengths_N[rows], device)

    def token_batches(self, rows, tokens: int) -> list[np.ndarray]:
        """`rows` cut into batches of like length with at most `tokens` tokens each (or one row)."""
        rows = np.asarray(rows)
        rows = rows[np.argsort(self.lengths_N[rows], kind="stable")]
        batches, first, filled = [], 0, 0
        for i, length in enumerate(self.lengths_N[rows]):
            if filled + length > tokens and i > first:
                batches.append(rows[first:i])
                first, filled = i, 0
            filled += length
        return [*batches, rows[first:]] if len(rows) else []


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1, …, start + length - 1 of each, one after the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)


def load_tokenizer(encoder: str):
    """A checkpoint's tokenizer. Raises StudyError if it cannot be loaded, as without a package that it needs."""
    from transformers import AutoTokenizer

    folder = sources.checkpoint(encoder)
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise StudyError(
            f"encoder={encoder!r}: its tokenizer cannot be loaded ({brief(error)}): install what it needs, or give "
            "another checkpoint"
        ) from error


def check_embedded(rows: "Rows", encoder: str) -> None:
    """Raises StudyError if the tokenizer gives tokens, or a second text, that the checkpoint has no embeddings for."""
    config = json.loads((sources.checkpoint(encoder) / "config.json").read_text("utf-8"))
    known, kinds = config.get("vocab_size", 30522), config.get("type_vocab_size", 2)  # what BertConfig takes for none
    largest = int(rows.tokens_T.max(initial=0))
    if largest >= known:
        raise StudyError(
            f"encoder={encoder!r}: its tokenizer gives token {largest}, but it embeds {known}: give a checkpoint with "
            "its own tokenizer"
        )
    if rows.segments_T.max(initial=0) >= kinds:
        raise StudyError(
            f"encoder={encoder!r} knows single texts only (type_vocab_size={kinds}): give a checkpoint for pairs, or "
            "one text column"
        )


def tokenise(rows: list[tuple], tokenizer, max_length: int) -> Rows:
    """Tuples of one or two texts and a label → Rows. Two texts are encoded as a pair."""
    texts, labels = [row[:-1] for row in rows], [row[-1] for row in rows]
    columns = [list(column) for column in zip(*texts, strict=True)]
    encoded = tokenizer(
        *columns,
        truncation=True,
        max_length=max_length,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=True,
    )
    lengths = np.fromiter(map(len, encoded["input_ids"]), np.int64, len(rows))
    flat = {
        key: np.fromiter(chain.from_iterable(encoded[key]), np.int32, lengths.sum())
        for key in ("input_ids", "token_type_ids")
    }
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Rows(texts, np.array(labels, np.int64), flat["input_ids"], flat["token_type_ids"].astype(np.int8), offsets)


def remembered(splits: list[list[tuple]], fingerprint: str, encoder: str, max_length: int) -> list[Rows]:
    """The splits of a task as Rows: tokenised, or as an earlier process tokenised them.

    A whole data set takes minutes, in every worker. fingerprint: of the rows. A file in the cache that is torn, or not
    this one's, is written anew; where nothing can be written, the next process tokenises again.
    """
    packages = [version("tokenizers"), version("transformers")]
    key = digest([fingerprint, sources.weights_fingerprint(encoder), max_length, packages])
    path = KEPT / f"{key[:32]}.npz"
    kept = _read_kept(path, splits)
    if kept is None:
        tokenizer = load_tokenizer(encoder)
        kept = [tokenise(rows, tokenizer, max_length) for rows in splits]
        for rows in kept:
            check_embedded(rows, encoder)
        with suppress(OSError):
            _keep(path, kept)
    return kept


def _read_kept(path: Path, splits: list[list[tuple]]) -> list[Rows] | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [{name: file[f"{name}_{number}"] for name in ARRAYS} for number, _ in enumerate(splits)]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    for rows, some in zip(splits, arrays, strict=True):
        if len(some["offsets"]) != len(rows) + 1 or some["offsets"][-1] != len(some["tokens_T"]):
            return None
    labels = (np.array([row[-1] for row in rows], np.int64) for rows in splits)
    return [
        Rows([row[:-1] for row in rows], labels_N, **some)
        for rows, labels_N, some in zip(splits, labels, arrays, strict=True)
    ]


def _keep(path: Path, splits: list[Rows]) -> None:
    keep_arrays(path, {f"{name}_{n}": getattr(rows, name) for n, rows in enumerate(splits) for name in ARRAYS})


def keep_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a .npz of the cache, whole, whichever process comes first. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.stem}-{os.getpid()}.npz")
    try:
        np.savez(scratch, **arrays)
        scratch.rename(path)
    finally:
        scratch.unlink(missing_ok=True)
