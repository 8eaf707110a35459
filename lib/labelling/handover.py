"""What labelling gives to others: the labelled rows, and the classifier as files that transformers can load."""

import csv
import io
import json
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import count
from modulefinder import ModuleFinder
from pathlib import Path

import pandas as pd

from lib.data.escaping import in_cell, in_markdown
from lib.data.rows import load_tokenizer
from lib.data.tasks import UNLABELLED, display_name
from lib.data.values import SURROGATES, as_text
from lib.errors import StudyError, join_or
from lib.labelling import annotators, changes
from lib.labelling.agreement import LIMITS, say_accuracy
from lib.labelling.chooser import as_tokens
from lib.labelling.score import ACTIVATIONS
from lib.labelling.state import Labelling
from lib.labelling.whole import replace_files, replaced_folder
from lib.method import acquisition, scoring, uncertainty
from lib.method.active_learning import device, settled
from lib.method.model import Classifier, build_classifier
from lib.protocol import Protocol, digest
from lib.runs.files import read_json
from lib.runs.provenance import ROOT

OWN_COLUMNS = ("row", "label", "from", "by", "at", "ambiguous", "prediction", "probability", "bald")
# by score.py: the last four to read files
NEEDED = ("torch", "safetensors", "tokenizers", "numpy", "pandas", "openpyxl", "pyarrow", "charset-normalizer")
SCORE = Path(__file__).with_name("score.py")
READER = "lib.data.files"  # what score.py reads files with


# ---- labelled rows


def write_labels(labelling: Labelling, folder: Path) -> list[Path]:
    """labelled.jsonl, with every text as it is, and labelled.csv, in which no text is a formula. → the paths

    A row for each label: its number in the file, texts, label, where, by whom and when that was given, a note, the
    file's other columns. Answers about texts that are not in the file any more go to not-in-the-file.jsonl, rows that
    others labelled otherwise to disagreements.csv. Where there is no label at all, files that were written before stay
    as they are. Raises StudyError if all cannot be written: then all files stay as they are.
    """
    written = [folder / "labelled.csv", folder / "labelled.jsonl"]
    contents = {}
    if len(labelling.labelled) or not all(path.exists() for path in written):
        contents = dict(zip(written, as_tables(labelling, labelling.labelled), strict=True))
    lost = [{name: line.get(name) for name in ("number", "texts", "label", "at")} for line in changes.gone(labelling)]
    differing = [
        {"with": name, **row}
        for name, said in annotators.others(labelling).items()
        for row in annotators.disagreements(annotators.in_common(labelling, said)).to_dict("records")
    ]
    contents[folder / "not-in-the-file.jsonl"] = as_lines(lost) if lost else None
    contents[folder / "disagreements.csv"] = as_sheet(list(differing[0]), differing) if differing else None
    replace_files(contents)
    return list(dict.fromkeys([*written, *(path for path, content in contents.items() if content is not None)]))


def write_scores(labelling: Labelling, folder: Path) -> list[Path]:
    """scored.csv and scored.jsonl: every row of the file, labelled or not, as the classifier sees it. → the paths

    Columns as in `write_labels`, and after them the class that the classifier predicts, its probability, and BALD in
    nats: where it is high, the passes of dropout disagree. Raises StudyError as `write_labels` does.
    """
    scores = score(trained_on(labelling), labelling.rows.texts)
    scores = scores.rename(columns={"label": "prediction"})[["prediction", "probability", "bald"]]
    written = [folder / "scored.csv", folder / "scored.jsonl"]
    tables = as_tables(labelling, range(len(labelling.rows)), scores.to_dict("records"))
    replace_files(dict(zip(written, tables, strict=True)))
    return written


def as_tables(labelling: Labelling, numbers, scores: list[dict] | None = None) -> tuple[str, str]:
    """These rows, as csv and as jsonl: number in the file, texts, label, where, by whom and when it was given, scores,
    the file's other columns.

    ambiguous: the note about a row that one could label otherwise, "yes" without a note.
    """
    rows, labels_N, lines = labelling.rows, labelling.labels_N, labelling.said.lines
    answers = {labelling.row_of.get(key): line for key, line in lines.items()}
    ours = {n: line for n, line in answers.items() if line["label"] is not None}
    texts, others = column_names(rows.columns, list(rows.others[0]) if rows.others else [])
    table = []
    for n in numbers:
        known = labels_N[n] != UNLABELLED
        source = ("labelling" if n in ours else "the file") if known else None
        row = {"row": rows.numbers[n], **dict(zip(texts, rows.texts[n], strict=True))}
        row |= {"label": rows.labels[labels_N[n]] if known else None, "from": source}
        row |= {"by": (labelling.annotator or None) if n in ours else None, "at": ours.get(n, {}).get("at")}
        note = answers.get(n, {}).get("ambiguous")
        row |= {"ambiguous": note if note is None else note or "yes"}
        row |= scores[n] if scores else {}
        row |= {others[name]: value for name, value in rows.others[n].items()}
        table.append(row)
    header = list(table[0] if table else ["row", *texts, *OWN_COLUMNS[1:6]])
    return as_sheet(header, table), as_lines(table)


def column_names(texts: tuple[str, ...], others: list[str]) -> tuple[list[str], dict[str, str]]:
    """What the columns of the texts, and the others of the file, are called in a table that has OWN_COLUMNS, too.

    A name that one of these has gets one that is free: "row (file)", or "row (file 2)" if the file has that as well.
    """
    taken = {*OWN_COLUMNS, *texts, *others}

    def free(name: str, source: str) -> str:
        if name not in OWN_COLUMNS:
            return name
        found = f"{name} ({source})"
        for number in count(2):
            if found not in taken:
                taken.add(found)
                return found
            found = f"{name} ({source} {number})"

    return [free(name, "text") for name in texts], {name: free(name, "file") for name in others}


def as_sheet(header: list[str], table: list[dict]) -> str:
    """A csv for a spreadsheet: no cell is a formula."""
    content = io.StringIO()
    writer = csv.writer(content)
    for row in (header, *(row.values() for row in table)):
        writer.writerow(in_cell(as_text(value)) for value in row)
    return content.getvalue()


def as_lines(table: list[dict]) -> str:
    lines = (json.dumps(row, ensure_ascii=False, default=as_text) + "\n" for row in table)
    return SURROGATES.sub("\ufffd", "".join(lines))


# ---- the classifier


@dataclass(frozen=True)
class Trained:
    """A classifier and what is needed to use it on other texts."""

    classifier: Classifier
    protocol: Protocol
    columns: tuple[str, ...]  # of the texts that it was trained on: one, or two for pairs
    labels: tuple[str, ...]
    balance: float = 0.0  # how much rare classes counted in training: see `balanced`
    answers: str = ""  # a digest of the labels that it was trained on
    accuracy: str = ""  # how many labels there were, and how good the last model was on rows drawn at random


def trained_on(labelling: Labelling) -> Trained:
    """The classifier, trained on all labels."""
    rows, model, labels_N = labelling.rows, labelling.model, labelling.labels_N
    answers = digest([(rows.keys[n], rows.labels[labels_N[n]]) for n in labelling.labelled])
    measured = f"{len(labelling.labelled)} labels; {say_accuracy(labelling)}"
    return Trained(labelling.fit(), labelling.protocol, rows.columns, rows.labels, model.balance, answers, measured)


def save_classifier(trained: Trained, folder: Path, card: str = "") -> str:
    """encoder/ (as transformers saves a BertModel, with its tokenizer), decoder.safetensors, classifier.json, score.py
    and what it needs to read files.

    card: what README.md says of it. A classifier of other labels that is there is kept, one generation, in the folder
    with "-before" after its name. → a line that compares the two, "" if there is none. Raises StudyError if all cannot
    be written, and then the folder stays as it was, or if score.py lacks the encoder's activation function.
    """
    from safetensors.torch import save_file

    activation = trained.classifier.encoder.bert.config.hidden_act
    if activation not in ACTIVATIONS:
        raise StudyError(
            f"encoder={trained.protocol.encoder!r} has hidden_act={activation!r}, which the exported score.py does not "
            f"know: choose an encoder with {join_or(ACTIVATIONS)}"
        )
    about = {"labels": trained.labels, "columns": trained.columns, "balance": trained.balance}
    about |= {"answers": trained.answers, "accuracy": trained.accuracy, "protocol": asdict(trained.protocol)}
    there, before = read_json(folder / "classifier.json"), folder.with_name(f"{folder.name}-before")
    differs = there is not None and there.get("answers") != trained.answers
    with replaced_folder(folder, before if differs else None) as scratch:
        trained.classifier.encoder.bert.save_pretrained(scratch / "encoder")
        load_tokenizer(trained.protocol.encoder).save_pretrained(scratch / "encoder")
        save_file(trained.classifier.decoder.state_dict(), scratch / "decoder.safetensors")
        (scratch / "classifier.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")
        for weights in scratch.rglob("*.safetensors"):  # which safetensors lets nobody else read
            shutil.copymode(scratch / "classifier.json", weights)
        (scratch / "score.py").write_bytes(SCORE.read_bytes())
        copy_reader(scratch)
        (scratch / "requirements.txt").write_text(
            "".join(f"{name}>={version(name).split('+')[0]}\n" for name in NEEDED)
        )
        if card:
            (scratch / "README.md").write_text(card, "utf-8")
    if not differs:
        return ""
    known = there.get("accuracy") or "accuracy not known"
    return f"The classifier before is kept in {before.name} ({known}). The new one: {trained.accuracy}."


def copy_reader(folder: Path) -> None:
    """Put the modules that read a user's file into a folder, so that score.py reads what labelling reads."""
    finder = ModuleFinder([str(ROOT)])
    finder.import_hook(READER)
    for path in (Path(module.__file__) for module in finder.modules.values() if module.__file__):
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())


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
Encoder: {in_markdown(protocol.encoder)}, fine-tuned; above it a {decoder} decoder.

| class | labels |
| --- | --- |
{counts}

## How good it is

{in_markdown(found)}

## How to use it

`pip install -r requirements.txt`, then `python score.py "a text"` or `python score.py --file my.csv` (or tsv, xlsx,
jsonl, parquet); --help says more.
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
    more = about.get("balance", 0.0), about.get("answers", ""), about.get("accuracy", "")
    return Trained(classifier.to(device()), protocol, columns, labels, *more)


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
        masks = scoring.draw_masks(classifier, protocol, protocol.samples, "masks", 0)  # whatever the strategy needs
        scored = scoring.score(classifier, features_NF, masks, acquisition.bald)
    table = pd.DataFrame(rows, columns=list(trained.columns))
    table["label"] = [trained.labels[c] for c in best_N.indices.tolist()]
    return table.assign(probability=best_N.values.cpu().numpy(), bald=scored["bald"])
