"""What labelling gives to others: the labelled rows, and the classifier as files that transformers can load."""

import csv
import json
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from lib import acquisition, scoring, uncertainty
from lib.active_learning import device, settled
from lib.data.escaping import in_cell, in_markdown
from lib.data.rows import load_tokenizer
from lib.data.tasks import UNLABELLED
from lib.fields import StudyError, display_name
from lib.labelling import annotators, changes
from lib.labelling.agreement import LIMITS
from lib.labelling.chooser import as_tokens
from lib.labelling.state import Labelling
from lib.labelling.tables import SURROGATES, as_text
from lib.model import Classifier, build_classifier
from lib.protocol import Protocol

OWN_COLUMNS = ("row", "label", "from", "by", "at", "ambiguous", "prediction", "probability", "bald")
NEEDED = ("torch", "safetensors", "tokenizers", "numpy")  # by score.py
SCORE = Path(__file__).with_name("score.py")


# ---- labelled rows


def write_labels(labelling: Labelling, folder: Path) -> list[Path]:
    """labelled.jsonl, with every text as it is, and labelled.csv, in which no text is a formula. → the paths

    A row for each label: its number in the file, texts, label, where, by whom and when that was given, a note, the
    file's other columns. Answers about texts that are not in the file any more go to not-in-the-file.jsonl, rows that
    others labelled otherwise to disagreements.csv. Where there is no label at all, files that were written before stay
    as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    elsewhere, lost = folder / "not-in-the-file.jsonl", changes.gone(labelling)
    elsewhere.unlink(missing_ok=True)
    if lost:
        write_lines(elsewhere, [{name: line.get(name) for name in ("number", "texts", "label", "at")} for line in lost])
    written = [folder / "labelled.csv", folder / "labelled.jsonl"]
    if len(labelling.labelled) or not all(path.exists() for path in written):
        write_table(labelling, labelling.labelled, *written)
    differing = [
        {"with": name, **row}
        for name, said in annotators.others(labelling).items()
        for row in annotators.disagreements(annotators.in_common(labelling, said)).to_dict("records")
    ]
    apart = folder / "disagreements.csv"
    apart.unlink(missing_ok=True)
    if differing:
        write_sheet(apart, list(differing[0]), differing)
    return written + [elsewhere] * bool(lost) + [apart] * bool(differing)


def write_scores(labelling: Labelling, folder: Path) -> list[Path]:
    """scored.csv and scored.jsonl: every row of the file, labelled or not, as the classifier sees it. → the paths

    Columns as in `write_labels`, and after them the class that the classifier predicts, its probability, and BALD in
    nats: where it is high, the passes of dropout disagree.
    """
    scores = score(trained_on(labelling), labelling.rows.texts)
    scores = scores.rename(columns={"label": "prediction"})[["prediction", "probability", "bald"]]
    written = [folder / "scored.csv", folder / "scored.jsonl"]
    write_table(labelling, range(len(labelling.rows)), *written, scores.to_dict("records"))
    return written


def write_table(labelling: Labelling, numbers, sheet: Path, exact: Path, scores: list[dict] | None = None) -> None:
    """These rows: number in the file, texts, label, where, by whom and when it was given, scores, the other columns.

    ambiguous: the note about a row that one could label otherwise, "yes" without a note.
    """
    rows, labels_N, lines = labelling.rows, labelling.labels_N, labelling.said.lines
    answers = {labelling.row_of.get(key): line for key, line in lines.items()}
    ours = {n: line for n, line in answers.items() if line["label"] is not None}
    columns = [f"{name} (text)" if name in OWN_COLUMNS else name for name in rows.columns]
    taken = {*OWN_COLUMNS, *columns}
    table = []
    for n in numbers:
        known = labels_N[n] != UNLABELLED
        source = ("labelling" if n in ours else "the file") if known else None
        row = {"row": rows.numbers[n], **dict(zip(columns, rows.texts[n], strict=True))}
        row |= {"label": rows.labels[labels_N[n]] if known else None, "from": source}
        row |= {"by": (labelling.annotator or None) if n in ours else None, "at": ours.get(n, {}).get("at")}
        note = answers.get(n, {}).get("ambiguous")
        row |= {"ambiguous": note if note is None else note or "yes"}
        row |= scores[n] if scores else {}
        row |= {f"{name} (file)" if name in taken else name: value for name, value in rows.others[n].items()}
        table.append(row)
    write_lines(exact, table)
    write_sheet(sheet, list(table[0] if table else ["row", *columns, *OWN_COLUMNS[1:6]]), table)


def write_sheet(path: Path, header: list[str], table: list[dict]) -> None:
    """A csv for a spreadsheet: no cell is a formula."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        for row in (header, *(row.values() for row in table)):
            writer.writerow(in_cell(as_text(value)) for value in row)


def write_lines(path: Path, table: list[dict]) -> None:
    lines = (json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in table)
    path.write_text(SURROGATES.sub("\ufffd", "".join(lines)), "utf-8")


# ---- the classifier


@dataclass(frozen=True)
class Trained:
    """A classifier and what is needed to use it on other texts."""

    classifier: Classifier
    protocol: Protocol
    columns: tuple[str, ...]  # of the texts that it was trained on: one, or two for pairs
    labels: tuple[str, ...]
    balance: float = 0.0  # how much rare classes counted in training: see `balanced`


def trained_on(labelling: Labelling) -> Trained:
    """The classifier, trained on all labels."""
    rows, model = labelling.rows, labelling.model
    return Trained(labelling.fit(), labelling.protocol, rows.columns, rows.labels, model.balance)


def save_classifier(trained: Trained, folder: Path, card: str = "") -> None:
    """encoder/ (as transformers saves a BertModel, with its tokenizer), decoder.safetensors, classifier.json, score.py.

    card: what README.md says of it. The folder is there whole, or as it was before.
    """
    from safetensors.torch import save_file

    scratch = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    trained.classifier.encoder.bert.save_pretrained(scratch / "encoder")
    load_tokenizer(trained.protocol.encoder).save_pretrained(scratch / "encoder")
    save_file(trained.classifier.decoder.state_dict(), scratch / "decoder.safetensors")
    about = {"labels": trained.labels, "columns": trained.columns, "balance": trained.balance}
    about |= {"protocol": asdict(trained.protocol)}
    (scratch / "classifier.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    shutil.copy(SCORE, scratch / "score.py")
    (scratch / "requirements.txt").write_text("".join(f"{name}>={version(name).split('+')[0]}\n" for name in NEEDED))
    if card:
        (scratch / "README.md").write_text(card, "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)


def model_card(labelling: Labelling, found: str) -> str:
    """README.md of the classifier, as the Hub shows it. found: what the rows drawn at random say of it."""
    rows, protocol = labelling.rows, labelling.protocol
    file = in_markdown(rows.path.name)
    counts = "\n".join(f"| {in_markdown(name)} | {number} |" for name, number in labelling.counts.items())
    chosen = "drawn at random"
    if protocol.strategy != "random":
        strategy = in_markdown(display_name(protocol.strategy))
        chosen = f"some drawn at random, the others picked by active learning ({strategy})"
    decoder = protocol.decoder.replace("cnn", "CNN")
    repeated = "each label counts once"
    if labelling.model.balance:
        repeated = f"labels of rare classes count more often (balance={labelling.model.balance:g})"
    return f"""---
library_name: transformers
pipeline_tag: text-classification
tags: [active-learning, {protocol.strategy}]
---

# A classifier of {in_markdown(" and ".join(rows.columns))}: {in_markdown(", ".join(rows.labels))}

Trained on {len(labelling.labelled)} of {len(rows)} rows of {file}, {chosen}; {repeated}.
Encoder: {protocol.encoder}, fine-tuned; above it a {decoder} decoder.

| class | labels |
| --- | --- |
{counts}

## How good it is

{found}

## How to use it

`pip install -r requirements.txt`, then `python score.py "a text"` or `python score.py --file my.csv`; --help says more.
`AutoModel.from_pretrained("encoder")` loads the encoder alone.

## Limits

{chr(10).join(f"- {limit}" for limit in LIMITS)}
- Texts are cut at {protocol.max_length} tokens. Other sources than {file} may need labels of their own.
"""


def load_classifier(folder) -> Trained:
    """What `save_classifier` wrote. Raises StudyError if something is missing."""
    from safetensors.torch import load_file

    folder = Path(folder)
    for name in ("classifier.json", "decoder.safetensors", "encoder"):
        if not (folder / name).exists():
            raise StudyError(f"{folder} has no {name}: give a folder that save_classifier wrote")
    about = json.loads((folder / "classifier.json").read_text("utf-8"))
    protocol = Protocol(**{**about["protocol"], "encoder": str(folder / "encoder")})
    classifier = build_classifier(protocol, len(about["labels"]))
    classifier.decoder.load_state_dict(load_file(folder / "decoder.safetensors"))
    columns, labels = tuple(about["columns"]), tuple(about["labels"])
    return Trained(classifier.to(device()), protocol, columns, labels, about.get("balance", 0.0))


def score(trained: Trained, rows) -> pd.DataFrame:
    """What the classifier says of other rows: texts, label, its probability, and BALD in nats, a row each.

    rows: tuples of as many texts as it was trained on. Raises StudyError for another number of them.
    """
    protocol, classifier, width = trained.protocol, trained.classifier, len(trained.columns)
    rows = [(texts,) if isinstance(texts, str) else tuple(texts) for texts in rows]
    if not rows or any(len(texts) != width for texts in rows):
        raise StudyError(f"each row needs {width} texts ({', '.join(trained.columns)}): give rows as tuples of them")
    tokenised = as_tokens(rows, protocol)
    with settled(protocol):
        features_NF = uncertainty.pool_features(classifier, tokenised, range(len(rows)))
        best_N = uncertainty.predict_log_probs(classifier, features_NF).exp().max(1)
        scored = scoring.score(classifier, features_NF, scoring.round_masks(classifier, protocol, 0), acquisition.bald)
    table = pd.DataFrame(rows, columns=list(trained.columns))
    table["label"] = [trained.labels[c] for c in best_N.indices.tolist()]
    return table.assign(probability=best_N.values.cpu().numpy(), bald=scored["bald"])
