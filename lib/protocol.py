"""One run of active learning, whole: a frozen, validated set of decisions; and the profiles of the study."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import MISSING, dataclass
from pathlib import Path

import numpy as np

from lib.errors import StudyError, did_you_mean, join_or, names, whole_numbers
from lib.method.acquisition import STRATEGIES

# Raise it when a change of code or of a package changes the numbers of a run: tests/method/test_golden.py notices.
METHOD_VERSION = 5
# where things lie, not what they are: the fingerprints of rows and weights stand for them in the key
LOCATIONS = ("encoder", "hub", "rows")
COMPUTING = ("precision", "threads")  # how a run is computed, not what it is: kept with it, and no part of the key
IDENTITY = ("task", "strategy", "frozen", "seed")
# fields younger than the first runs, and the value that those had: with it a field is no part of the key
ADDED_LATER = {"draw": 0}
MOST_RUNS = 10_000


def decision(default, help: str, *, choices: tuple = (), range: tuple = ()):
    """A field of Protocol: what it means, and the values it may hold, if these are few, or the least and the most."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "range": range})


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One run: a task, a model, a strategy, a seed and every decision between them.

    Each field that the paper fixes defaults to the paper's word. Raises StudyError if a value is not allowed.
    """

    task: str = decision(MISSING, "name of a task in lib.data.tasks.TASKS")
    strategy: str = decision("bald", "acquisition function, a key of lib.method.acquisition.STRATEGIES")
    seed: int = decision(
        0, "run number: decoder initialisation, row order, dropout, masks, random acquisition", range=(0, 2**63 - 1)
    )
    draw: int = decision(
        0,
        "order of the task's rows, from which S10, U and validation rows are taken; 0: the listed order",
        range=(0, 2**63 - 1),
    )
    frozen: int = decision(0, "F: layers [0, F) and the embeddings; F < 0: the last -F layers")
    frozen_dropout: str = decision(
        "off", 'a frozen layer is a fixed function; "on": its dropout is active in training', choices=("off", "on")
    )

    encoder: str = decision(
        "all-MiniLM-L6-v2", "a name in lib.data.sources.ENCODERS, a checkpoint folder, or ID@REVISION"
    )
    hub: str = decision("", "folder laid out like the Hugging Face Hub; empty: the Hub itself")
    rows: str = decision(
        "study",
        'of a task in lib/data/subsets, those it lists; "first": the data set\'s own, in its order',
        choices=("study", "first"),
    )

    start: int = decision(10, "|S_10|: the first rows, labelled from the beginning", range=(2, 10**9))
    query: int = decision(100, "Q: rows acquired in a round", range=(1, 10**9))
    rounds: int = decision(9, "acquisitions; the model is trained rounds + 1 times", range=(0, 10**4))
    pool: int = decision(20_000, "U = training rows [start, pool)", range=(1, 10**9))
    validation_rows: int = decision(
        0, "first rows of the validation split that are evaluated; 0: all", range=(0, 10**9)
    )

    samples: int = decision(50, "S: stochastic passes", range=(1, 10**6))
    mc_dropout: str = decision(
        "penultimate",
        'dropouts on in a stochastic pass; "decoder": all of the decoder\'s; "off": none',
        choices=("penultimate", "decoder", "off"),
    )

    decoder: str = decision(
        "cnn", 'or "linear": dropout and one layer on the last hidden state of [CLS]', choices=("cnn", "linear")
    )
    maps: int = decision(64, "feature maps of each filter height (3, 4, 5)", range=(1, 10**5))
    hidden: int = decision(128, "width of the hidden fully connected layer", range=(1, 10**5))
    dropout: float = decision(0.1, "rate of every dropout of the decoder", range=(0.0, 0.99))

    epochs: int = decision(3, "theta_0 to theta_3", range=(1, 10**4))
    restart: str = decision(
        "cold", 'each round trains from theta_0; "warm": from where the last round ended', choices=("cold", "warm")
    )
    batch_size: int = decision(
        16, "rows in a step", range=(3, 10**6)
    )  # never a single row: batch norm cannot train on one window
    encoder_lr: float = decision(2e-4, "peak learning rate of the encoder", range=(0.0, 1.0))
    decoder_lr: float = decision(1e-3, "peak learning rate of the decoder", range=(0.0, 1.0))
    warmup: float = decision(
        0.1, "share of the steps in which the learning rates rise; then they fall to zero", range=(0.0, 1.0)
    )
    weight_decay: float = decision(0.01, "of AdamW, on weight matrices alone", range=(0.0, 1.0))
    clip: float = decision(1.0, "largest norm of the gradient", range=(1e-9, 10**9.0))

    max_length: int = decision(128, "tokens of a row, [CLS] and [SEP] included; longer rows are cut", range=(8, 512))
    precision: str = decision(
        "auto",
        "of the encoder: bfloat16 where the hardware has it, else float32",
        choices=("auto", "float32", "bfloat16"),
    )
    threads: int = decision(1, "CPU threads of a run: as the precision, they change rounding", range=(1, 1024))

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = checked(field, getattr(self, field.name))
            object.__setattr__(self, field.name, value)  # 0 and 0.0 are one value: the key should say so
        if self.pool <= self.start:
            raise StudyError(
                f"pool={self.pool} leaves no unlabelled row after start={self.start}: U is rows [start, pool)"
            )
        available = self.pool - self.start
        if self.rounds * self.query > available:
            raise StudyError(
                f"rounds={self.rounds} × query={self.query} acquires {self.rounds * self.query} rows, but U has "
                f"{available} (rows [{self.start}, {self.pool})): lower query or rounds, or raise pool"
            )

    def canonical(self) -> dict:
        """Every field that decides the result but for rounding, in a fixed order; locations left out."""
        left_out = LOCATIONS + COMPUTING
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in left_out}
        if self.strategy == "random":  # no stochastic pass is made
            fields |= {"samples": 0}
        if not self.frozen:
            fields |= {"frozen_dropout": "off"}
        if not self.rounds:  # nothing is acquired: the run is "train once on S_start"
            fields |= {"strategy": "none", "query": 0, "pool": 0, "samples": 0}
        later = {name for name, before in ADDED_LATER.items() if fields[name] == before}
        return {name: value for name, value in sorted(fields.items()) if name not in later}

    def on_this_machine(self) -> "Protocol":
        """The same with a precision in the place of "auto"."""
        return dataclasses.replace(self, precision=fastest_precision()) if self.precision == "auto" else self

    def reach(self, rows: int) -> int:
        """Of so many training rows, the run can see this many, the first."""
        return min(self.pool if self.rounds else self.start, rows)

    def order(self, rows: int, split: str) -> np.ndarray:
        """order_N: the numbers of a split's rows, in the order in which the run takes them. split: a key of SPLITS."""
        if not self.draw:
            return np.arange(rows)
        return np.random.default_rng([self.draw, SPLITS.index(split)]).permutation(rows)

    @property
    def scores(self) -> bool:
        """Whether the run makes stochastic passes: not if it acquires at random, or nothing."""
        return self.canonical()["samples"] > 0

    def seed_sequence(self, stream: str, round_: int = 0) -> np.random.SeedSequence:
        """An independent stream of random numbers. It does not depend on the strategy: runs of a seed are paired."""
        return np.random.SeedSequence(self.seed, spawn_key=(STREAMS.index(stream), round_))

    def torch_seed(self, stream: str, round_: int = 0) -> int:
        """The same, as one 63-bit number for torch."""
        return int(self.seed_sequence(stream, round_).generate_state(1, np.uint64)[0] >> 1)

    def generator(self, stream: str, round_: int = 0) -> np.random.Generator:
        return np.random.default_rng(self.seed_sequence(stream, round_))


def choices(name: str) -> tuple[str, ...]:
    """What a field that names something may hold; of the strategy, all that are registered."""
    if name == "strategy":
        return tuple(STRATEGIES)
    return Protocol.__dataclass_fields__[name].metadata["choices"]


def checked(field: dataclasses.Field, value):
    """The value of a field in its type. Raises StudyError."""
    name, kind, given = field.name, field.type, f"{field.name}={value!r}"
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise StudyError(f"{given} is not allowed: {name} must be of type {kind.__name__}")
    if (allowed := choices(name)) and value not in allowed:
        raise StudyError(f"{given} is not known{did_you_mean(value, allowed)}: choose {join_or(allowed)}")
    if limits := field.metadata["range"]:
        low, high = limits
        if not low <= value <= high:  # also refuses nan
            raise StudyError(f"{given} is not allowed: {name} must lie between {low} and {high}")
    return value


SPLITS = ("train", "validation")
STREAMS = ("decoder", "order", "dropout", "masks", "random", "picks", "stability")


def fastest_precision() -> str:
    """'bfloat16' where the hardware multiplies it natively, else 'float32'."""
    import torch

    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    capability = torch.backends.cpu.get_cpu_capability()
    native = capability.startswith("AVX512") and torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if native else "float32"


def digest(thing) -> str:
    """SHA-256 of a JSON-able thing in canonical form."""
    return hashlib.sha256(json.dumps(thing, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class Stage:
    """Runs of a study that are computed before those of later stages."""

    name: str
    # "strategies": BALD and random; "draws": the same, each repetition with its own rows; "frozen": BALD with F ≠ 0;
    # "sizes": Figure 2; "questions": notebook 06
    part: str
    tasks: tuple[str, ...]
    seeds: range
    most: int = 10**9  # of sizes: the largest x


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A size of the study: which tasks, how many runs, and what every run has in common."""

    name: str
    tasks: tuple[str, ...]
    runs: int  # seeds 0 … runs - 1, where the plan says nothing else
    frozen: tuple[int, ...]  # the F of Tables 1 and 2
    layers: int  # of the encoder
    layer_task: str  # of Figure 4
    sizes: tuple[int, ...]  # the x of Figure 2, as far as the training rows go
    common: dict  # fields of Protocol
    questions: dict  # notebook 06: tasks and runs of its grid, and fields of Protocol
    caveats: tuple[str, ...] = ()  # what a reader of its numbers must know
    plan: tuple[Stage, ...] = ()  # the order in which it is computed

    def choose(self, tasks) -> tuple[str, ...]:
        """Names of tasks, or one string of them with commas between; none: all of the profile's. Raises StudyError."""
        chosen = names("tasks", tasks) or self.tasks
        for task in chosen:
            if task not in self.tasks:
                raise StudyError(
                    f"task {task!r} is not in profile {self.name!r}{did_you_mean(task, self.tasks)}: choose "
                    f"{join_or(self.tasks)}, or another profile"
                )
        return chosen

    def grid(
        self, *, tasks="", strategies="bald", frozen=(0,), runs=0, drawn: bool = False, **changes
    ) -> list[Protocol]:
        """All combinations as protocols, seeds innermost.

        tasks, strategies, frozen: values, or one string of them with commas between; no task, no F or zero runs: the
        profile's own. drawn: repetition r has seed r and draw r + 1, so that it has its own S10, U and validation rows;
        else all take the listed rows. changes: other fields of Protocol; None keeps the profile's value. Raises
        StudyError.
        """
        tasks, strategies = self.choose(tasks), names("strategies", strategies)
        frozen = whole_numbers("frozen", frozen) or self.frozen
        if not strategies:
            raise StudyError(f"strategies is empty: give one or more of {join_or(choices('strategy'))}")
        changes = {field: value for field, value in changes.items() if value is not None}
        for field in changes:
            if field in IDENTITY or field not in {f.name for f in dataclasses.fields(Protocol)}:
                raise StudyError(
                    f"{field!r} is not a field to change: tasks, strategies, frozen and runs span the grid"
                )
        if not isinstance(runs, int) or isinstance(runs, bool) or not 0 <= runs <= MOST_RUNS:
            raise StudyError(
                f"runs={runs!r} is not allowed: give a number of seeds up to {MOST_RUNS:,}, or 0 for the profile's "
                f"{self.runs}"
            )
        beyond = [F for F in frozen if abs(F) > self.layers and "encoder" not in changes]
        if beyond:
            raise StudyError(
                f"frozen={beyond[0]} is beyond the {self.layers} layers of profile {self.name!r}: choose "
                f"{-self.layers} to {self.layers}"
            )
        return [
            Protocol(
                **self.common
                | {"task": task, "strategy": strategy, "frozen": F, "seed": seed, "draw": seed + 1 if drawn else 0}
                | changes
            )
            for task, strategy, F in itertools.product(tasks, strategies, frozen)
            for seed in range(runs or self.planned("frozen" if F else "draws" if drawn else "strategies", task))
        ]

    def planned(self, part: str, task: str) -> int:
        """The number of seeds of a part of the study on a task."""
        stages = [stage for stage in self.plan if stage.part == part and task in stage.tasks]
        return max((stage.seeds.stop for stage in stages), default=self.runs)

    def open_questions(self, *, tasks="", runs=0, **changes) -> dict[str, list[Protocol]]:
        """The settings of notebook 06, by name: what each changes about BALD as the paper has it."""
        own = dict(self.questions)
        own_tasks, own_runs = own.pop("tasks"), own.pop("runs")
        tasks, runs = tasks or own_tasks, runs or own_runs
        sizes = Protocol(task=self.tasks[0], **self.common | own)
        return {
            name: self.grid(tasks=tasks, runs=runs, **own | {"strategies": "bald", **changed(sizes)} | changes)
            for name, changed in QUESTIONS.items()
        }

    def data_sizes(self, available: dict[str, int], *, runs=0, **changes) -> list[Protocol]:
        """Runs that train once on S_x, for every x of the profile that a task's number of training rows allows.

        available: task → training rows; if the profile's largest x is more, all of them are the last x.
        """
        protocols = []
        for task, rows in available.items():
            most = max((one.most for one in self.plan if one.part == "sizes" and task in one.tasks), default=rows)
            seeds = runs or self.planned("sizes", task)
            for x in sorted({min(size, rows) for size in self.sizes if size <= most}):
                protocols += self.grid(tasks=task, runs=seeds, start=x, rounds=0, pool=x + 1, **changes)
        return protocols

    def stages(self, available: dict[str, int], **changes) -> dict[str, list[Protocol]]:
        """Name of each stage of the plan → its runs, in order. available: task → training rows."""
        found = {stage.name: [] for stage in self.plan}
        for stage in self.plan:
            tasks = tuple(task for task in stage.tasks if task in available)
            if not tasks:
                continue
            seeds = stage.seeds.stop
            if stage.part == "strategies":
                runs = self.grid(tasks=tasks, strategies="bald,random", runs=seeds, **changes)
            elif stage.part == "draws":
                runs = self.grid(tasks=tasks, strategies="bald,random", runs=seeds, drawn=True, **changes)
            elif stage.part == "frozen":
                runs = self.grid(tasks=tasks, frozen=[F for F in self.frozen if F], runs=seeds, **changes)
            elif stage.part == "sizes":
                runs = self.data_sizes({task: available[task] for task in tasks}, runs=seeds, **changes)
            else:
                settings = self.open_questions(tasks=tasks, runs=seeds, **changes).values()
                runs = list(itertools.chain.from_iterable(settings))
            found[stage.name] += [run for run in runs if run.seed in stage.seeds]
        return found


def profile(name: str) -> Profile:
    """The profile called `name`: 'quick', 'minilm' or 'paper', or one that a .json file holds. Raises StudyError."""
    if name.endswith(".json"):
        return read_profile(Path(name))
    if name not in PROFILES:
        raise StudyError(f"profile={name!r} is not known{did_you_mean(name, PROFILES)}: choose {join_or(PROFILES)}")
    return PROFILES[name]


def read_profile(path: Path) -> Profile:
    """A profile from the fields in a file of JSON. Raises StudyError if they are not one."""
    try:
        fields = json.loads(path.read_text("utf-8"))
        listed = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
        return Profile(**listed)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise StudyError(f"profile {path} cannot be read ({error}): make it again, or give another") from error


MINILM_CAVEAT = (
    "The encoder, all-MiniLM-L6-v2, saw NLI and question-answer pairs in its contrastive training: its absolute "
    "accuracies on pairs (MNLI, SNLI, QNLI) are not those of a plain masked language model."
)
QUICK_CAVEAT = (
    "The quick profile is a small model of the study: fewer than a hundred labels, a pool of some hundred rows, other "
    "tasks than the paper's and a 6-layer encoder. It shows that the code works, and how the comparison is made; it is "
    "not evidence about the paper's numbers."
)
GLUE = ("mnli", "qnli", "sst2", "snli")  # the paper's tasks, in the order of its tables
CONTRAST = "trec"  # six uneven classes, of which S_10 holds four
PAIRS = ("mnli", "qnli", "snli")
SHORT = (CONTRAST, "sst2")  # single sentences: cheaper

# Notebook 06: name of a setting → what it changes, as fields of Protocol; those of the profile are given for sizes.
QUESTIONS: dict[str, Callable[[Protocol], dict]] = {
    "BALD": lambda usual: {},
    "random": lambda usual: {"strategies": "random"},
    "warm restart": lambda usual: {"restart": "warm"},
    "MC dropout in the decoder": lambda usual: {"mc_dropout": "decoder"},
    "linear decoder": lambda usual: {"decoder": "linear"},
    "linear decoder, random": lambda usual: {"decoder": "linear", "strategies": "random"},
    "entropy": lambda usual: {"strategies": "entropy"},
    "margin": lambda usual: {"strategies": "margin"},
    "variation ratio": lambda usual: {"strategies": "variation_ratio"},
    "rounding noise": lambda usual: {"strategies": "unguarded_bald", "mc_dropout": "off"},
    "BatchBALD": lambda usual: {"strategies": "batchbald"},
    "PowerBALD": lambda usual: {"strategies": "powerbald"},
    "BALD, half at random": lambda usual: {"strategies": "half_bald"},
    "BALD after a random batch": lambda usual: {"start": usual.start + usual.query, "rounds": max(1, usual.rounds - 1)},
    "BALD, a quarter of Q": lambda usual: {"query": max(1, usual.query // 4), "rounds": 4 * min(3, usual.rounds)},
}

PROFILES = {
    "quick": Profile(
        name="quick",
        tasks=("reviews", "kinds"),
        runs=3,
        frozen=(0, 2, -2),
        layers=6,
        layer_task="reviews",
        sizes=(3, 6, 20, 60),
        questions={"tasks": ("reviews",), "runs": 1, "rounds": 1},
        caveats=(QUICK_CAVEAT, MINILM_CAVEAT),
        common={
            "query": 20,
            "rounds": 2,
            "pool": 150,
            "validation_rows": 120,
            "max_length": 24,
        },
    ),
    "minilm": Profile(
        name="minilm",
        tasks=(*GLUE, CONTRAST),
        runs=3,
        frozen=(0, 2, -2, 3, -3),
        layers=6,
        layer_task="qnli",
        sizes=(10, 110, 510, 910, 2000, 5000, 10_000, 20_000),
        questions={"tasks": SHORT, "runs": 3},
        caveats=(MINILM_CAVEAT,),
        common={"validation_rows": 2000},
        plan=(  # the cheapest evidence first
            Stage("A", "strategies", SHORT, range(5)),
            Stage("A", "frozen", SHORT, range(5)),
            Stage("B", "strategies", PAIRS, range(3)),
            Stage("C", "sizes", SHORT, range(3)),
            Stage("C", "sizes", PAIRS, range(2), most=10_000),
            Stage("D", "frozen", PAIRS, range(3)),
            Stage("E", "questions", SHORT, range(3)),
            Stage("F", "strategies", PAIRS, range(3, 5)),
            Stage("G", "draws", (*SHORT, *PAIRS), range(10)),
        ),
    ),
    "paper": Profile(
        name="paper",
        tasks=GLUE,
        runs=3,
        frozen=(0, 3, -3, 6, -6),
        layers=12,
        layer_task="qnli",
        questions={"tasks": GLUE, "runs": 3},
        sizes=(10, 110, 510, 910, 2000, 5000, 10_000, 20_000, 40_000, 60_000, 100_000, 200_000, 400_000),
        common={
            "encoder": "google-bert/bert-base-uncased@86b5e0934494bd15c9632b12f734a8a67f723594",
            "encoder_lr": 2e-5,
            "rows": "first",
        },
    ),
}
