"""What the encoder does not see of one's own rows: unknown words, rows that look alike to it, ends that are cut."""

from itertools import pairwise

import numpy as np

from lib.data.rows import Rows, load_tokenizer
from lib.labelling.state import Labelling

SHARE = 0.05  # of the tokens: fewer unknown ones are not worth a note


def say_unseen(labelling: Labelling) -> list[str]:
    """A sentence for each thing that a person should know before labelling."""
    rows, protocol = labelling.model.tokenised, labelling.protocol
    tokenizer = load_tokenizer(protocol.encoder)
    special = [token for token in tokenizer.all_special_ids if token != tokenizer.unk_token_id]
    words = ~np.isin(rows.tokens_T, special)
    unknown = rows.tokens_T == tokenizer.unk_token_id
    blind, share = only(rows, unknown, words), unknown.sum() / max(1, words.sum())
    said, give = [], "give a checkpoint for their language as encoder"
    if blind:
        said.append(f"{blind} of {len(rows)} rows are nothing but unknown words to this encoder: {give}")
    elif share > SHARE:
        said.append(f"{share:.0%} of the words and characters are unknown to this encoder: {give}")
    if (alike := len(rows) - different(rows)) > 0:
        said.append(f"{alike} of {len(rows)} rows look to this encoder like another row, though their texts differ")
    if cut := int((rows.lengths_N >= protocol.max_length).sum()):
        most = f"max_length = {protocol.max_length} tokens"
        said.append(f"{cut} of {len(rows)} rows reach {most}: what a text has beyond is not seen")
    return said


def only(rows: Rows, unknown_T: np.ndarray, words_T: np.ndarray) -> int:
    """Rows all of whose words are unknown."""
    unknown_N, words_N = (np.add.reduceat(flags_T, rows.offsets[:-1], dtype=int) for flags_T in (unknown_T, words_T))
    return int(((unknown_N == words_N) & (words_N > 0)).sum())


def different(rows: Rows) -> int:
    """Different inputs."""
    pieces = [slice(*ends) for ends in pairwise(rows.offsets)]
    return len({(rows.tokens_T[piece].tobytes(), rows.segments_T[piece].tobytes()) for piece in pieces})
