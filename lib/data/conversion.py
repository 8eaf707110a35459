"""Checkpoints of BERT's kind under BERT's names: RoBERTa, XLM-R, CamemBERT, ELECTRA and DistilBERT.

Their layers compute what BERT's do; names, positions and segments differ. Written once as a BERT, which is kept, the
rest of lib knows one encoder. Equal to the original's forward pass on every real token.
"""

import shutil
from pathlib import Path

from filelock import FileLock

from lib.errors import StudyError, brief, join_or

NAMES = {  # of DistilBERT's parameters
    "transformer.layer": "encoder.layer",
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}
SIZES = {  # BERT's fields → DistilBERT's
    "hidden_size": "dim",
    "intermediate_size": "hidden_dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
}
SAME = (  # fields that all share
    *("vocab_size", "pad_token_id", "max_position_embeddings", "type_vocab_size", "layer_norm_eps"),
    *(name for name in SIZES),
)
ROBERTAS = ("roberta", "xlm-roberta", "camembert")  # positions count from after the padding token's number
KINDS = ("bert", *ROBERTAS, "electra", "distilbert")
POSITIONS, SEGMENTS = "embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight"


def as_bert(folder: Path, kind: str, kept: Path, given: str) -> Path:
    """The folder of a checkpoint as a BERT: itself, or what is written to `kept` if it is not there yet.

    kind: model_type of its configuration, one of KINDS. Raises StudyError, which names it as `given`, if its weights
    do not fit it, or are of a form that BERT does not have.
    """
    if kind == "bert":
        return folder
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(kept.with_name(f"{kept.name}.lock")):  # another process may be at it
            if not (kept / "config.json").exists():
                scratch = kept.with_name(f"{kept.name}.tmp")
                shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
                _write(folder, kind, scratch, given)
                scratch.rename(kept)
    except OSError as error:
        raise StudyError(f"{given}: cannot be written as a BERT to {kept} ({brief(error)}): free space") from error
    return kept


def _write(folder: Path, kind: str, target: Path, given: str) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # heads of the pre-training are left out on purpose
    try:
        model, found = AutoModel.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise StudyError(f"{given} cannot be read ({brief(error)}): fetch it again") from error
    unfit = {*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}
    if unfit := sorted(key for key in unfit if not key.startswith("pooler.")):
        raise StudyError(
            f"{given} has no weights, or of another shape, for {unfit[0]} ({len(unfit)} in all): "
            "give a checkpoint that fits its config.json"
        )
    if getattr(model.config, "embedding_size", 0) not in (0, model.config.to_dict().get("hidden_size")):
        raise StudyError(
            f"{given}: its embeddings are narrower than its layers, which BERT's are not: choose a larger one"
        )
    state, fields = renamed(kind, model)
    with torch.device("meta"):
        bert = BertModel(BertConfig(**fields), add_pooling_layer=False)
    bert.load_state_dict(state, strict=True, assign=True)
    target.mkdir(parents=True)
    bert.save_pretrained(target)
    tokenizer.save_pretrained(target)


def renamed(kind: str, model) -> tuple[dict, dict]:
    """The parameters of a model of transformers under BERT's names, and the fields of their BertConfig."""
    config, state = model.config.to_dict(), model.state_dict()
    state = {name: value for name, value in state.items() if not name.startswith("pooler.")}
    fields = {name: config[name] for name in SAME if name in config}
    if kind == "distilbert":
        for old, new in NAMES.items():
            state = {name.replace(old, new): value for name, value in state.items()}
        fields |= {name: config[field] for name, field in SIZES.items()} | {"layer_norm_eps": 1e-12}
        fields["type_vocab_size"] = 2  # it has no segments: a zero for either
        state[SEGMENTS] = state[POSITIONS].new_zeros(2, config["dim"])
    if kind in ROBERTAS:
        state[POSITIONS] = state[POSITIONS][config["pad_token_id"] + 1 :].clone()
        fields["max_position_embeddings"] = len(state[POSITIONS])
    return state, fields


def check_kind(kind: str | None, given: str) -> None:
    """Raises StudyError for a checkpoint that is not of BERT's kind."""
    if kind not in KINDS:
        raise StudyError(f"{given} has model_type {kind!r}: choose a checkpoint of {join_or(map(repr, KINDS))}")
