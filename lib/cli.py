"""The command line: ./run_all.sh [COMMAND] [OPTION]...; without a command, `run`."""

import re
import sys
from contextlib import suppress
from pathlib import Path

import click
from click.core import ParameterSource
from papermill import inspect_notebook

from lib.command.hub_data import HUB
from lib.command.notebooks import (
    OF_DATA,
    ON_REQUEST,
    WITH_OPTION,
    Command,
    choose,
    convert,
    jobs,
    nearest,
    read_notebooks,
)
from lib.command.run import carry_out, prepare_environment, stay_offline, stop_on_signals
from lib.errors import StudyError, did_you_mean
from lib.protocol import PROFILES, choices
from lib.runs.results import STORE

CHECKOUT = Path(__file__).resolve().parents[1]
NOTEBOOKS = CHECKOUT / "notebooks"
EXECUTED = CHECKOUT / "executed"
ADDRESS = re.compile(r"((tcp|tls|ws|wss)://)?(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}")
SIZES = ("start", "query", "rounds", "pool")  # what -p sets of the plan of --data, for all notebooks alike
NOT_OF_DATA = {
    "00": "holds the paper's claims against the paper's tasks: choose from 01 to 06",
    "07": "labels a file: ./run_all.sh label FILE",
}
EXAMPLES = """\
./run_all.sh                                          the quick profile: every notebook, in minutes
./run_all.sh --profile minilm --redraw                draw the published study again: computes nothing
./run_all.sh status --profile minilm                  how far the study is, stage by stage
./run_all.sh --profile minilm --dry-run               the same, run by run: done or missing, and what is left
./run_all.sh --only 02 -p strategies bald,entropy,random -p runs 5
./run_all.sh --data my.csv                            does active learning pay on your own labelled file?
./run_all.sh --only 07 -p path my.csv -p text_column text -p labels negative,positive
"""
CODES = "Exit codes: 0, 1 if a notebook or a run failed, 2 for a mistake in the command, 130 if stopped."


def main(arguments: list[str], notebooks: Path = NOTEBOOKS, executed: Path = EXECUTED) -> int:
    """Returns the exit code: 0, 1 if a notebook or a run failed, 2 for a user's mistake, 130 if interrupted."""
    try:
        return run_all(arguments, "./run_all.sh", standalone_mode=False, obj=(notebooks, executed)) or 0
    except (click.ClickException, StudyError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        print(f"run_all.sh: {message}".replace("\n", " "), file=sys.stderr)
        return 2
    except (click.Abort, KeyboardInterrupt):
        with suppress(OSError):  # the terminal may be closed
            print("\nrun_all.sh: stopped; the same command continues", file=sys.stderr)
        return 130


class RunByDefault(click.Group):
    """A group whose command is `run` if none is named. Its help has the options of `run`, too."""

    def parse_args(self, ctx, args):
        named = args and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else ["run", *args])

    def resolve_command(self, ctx, args):
        if not self.get_command(ctx, args[0]):
            names = [*self.commands, "test"]
            raise click.UsageError(
                f"unknown command {args[0]!r}{did_you_mean(args[0], names)}: choose from {', '.join(names)}, or see "
                "--help"
            )
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx):
        return list(self.commands)

    def format_usage(self, ctx, formatter):
        formatter.write_usage("./run_all.sh", "[COMMAND] [OPTION]...")

    def format_options(self, ctx, formatter):
        formatter.write_paragraph()
        formatter.write("Examples:\n" + "".join(f"  {line}\n" for line in EXAMPLES.splitlines()))
        self.format_commands(ctx, formatter)
        records = [param.get_help_record(ctx) for param in self.commands["run"].params]
        with formatter.section("Options of a run"):
            formatter.write_dl([record for record in records if record])
        paths = list(read_notebooks(ctx.obj[0]))
        sections = {
            "Notebooks": [(path.name[:2], path.stem[3:].replace("_", " ")) for path in paths],
            "Names": [
                *((f"tasks of {name}", ", ".join(profile.tasks)) for name, profile in PROFILES.items()),
                ("strategies", ", ".join(choices("strategy"))),
            ],
            "Parameters of the notebooks, and which have them": parameters(paths),
        }
        for name, rows in sections.items():
            with formatter.section(name):
                formatter.write_dl(rows)


def parameters(paths: list[Path]) -> list[tuple[str, str]]:
    """Each parameter of the notebooks: its name, what it means, and the notebooks in which it means that."""
    holders = {}
    for path in paths:
        for name, parameter in inspect_notebook(path).items():
            if name not in WITH_OPTION:
                holders.setdefault((name, parameter["help"]), []).append(path.name[:2])
    return [(name, f"{meaning} ({', '.join(numbers)})".strip()) for (name, meaning), numbers in holders.items()]


class Choice(click.Choice):
    """click's, whose error names the nearest choice."""

    def get_invalid_choice_message(self, value, ctx):
        return f"{value!r}{did_you_mean(value, self.choices)}: choose from {', '.join(self.choices)}"


def address(ctx, param, value: str) -> str:
    if value and (not ADDRESS.fullmatch(value) or int(value.rpartition(":")[2]) > 65535):
        raise click.BadParameter(f"{value!r}: give the address of a Dask scheduler, for example tcp://10.0.0.1:8786")
    return value


def results_folder(ctx, param, value: str | None) -> str | None:
    if value and not nearest(value).is_dir():
        raise click.BadParameter(f"{value}: this is not a folder: give one, or a new name")
    return value


def rows_file(ctx, param, value: str | None) -> str | None:
    """The path of a file, or hub:ID."""
    if not value or value.startswith(HUB):
        return value
    return click.Path(exists=True, dir_okay=False, resolve_path=True).convert(value, param, ctx)


def options(*wanted):
    """Decorates a command with several options, in this order."""

    def decorate(function):
        for one in reversed(wanted):
            function = one(function)
        return function

    return decorate


PARAMETER = click.option(
    "-p",
    "pairs",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Set a parameter of the notebooks (below); may be repeated.",
)
HUB_FOLDER = click.option(
    "--hub",
    type=click.Path(exists=True, file_okay=False, resolve_path=True),
    help="Read data sets and checkpoints from a folder laid out like the Hugging Face Hub.",
)
RESULTS = click.option(
    "--results",
    type=click.Path(resolve_path=True),
    callback=results_folder,
    help="Where finished runs are looked for and kept (default: results).",
)
OF_NOTEBOOKS = options(
    click.option(
        "--profile",
        type=Choice(PROFILES),
        default="quick",
        help="What is computed, and so how long it takes (default: quick).",
    ),
    click.option(
        "--only",
        metavar="NN[,NN]",
        help="Only these notebooks, for example 02,04. 07, which is for your own data, runs only so.",
    ),
    HUB_FOLDER,
    click.option(
        "--rows",
        type=Choice(choices("rows")),
        help="Which rows of a data set of the minilm profile: those of the study, whatever their order there (the "
        "default), or the first, which is another study.",
    ),
    PARAMETER,
    RESULTS,
)
OF_DATA_FILE = options(
    click.option(
        "--data",
        metavar="FILE",
        callback=rows_file,
        help="Your own labelled file (csv, xlsx, jsonl, …) or hub:ID[:CONFIG]: does it pay on these texts? Runs "
        "notebooks 01, 02, 04, 05 and, in short, 06, or those of --only. Sizes follow from the rows, or -p query N "
        "(labels in a batch), -p rounds N (batches), -p start N and -p pool N set them.",
    ),
    click.option(
        "--text",
        metavar="COLUMN",
        help="With --data: the column of the text, or two with a comma between them (default: found, and said).",
    ),
    click.option("--label", metavar="COLUMN", help="With --data: the column of the label (default: found, and said)."),
    click.option(
        "--validation",
        type=click.Path(exists=True, dir_okay=False, resolve_path=True),
        metavar="FILE",
        help="With --data: other rows to validate on (default: every fifth row of each class).",
    ),
    click.option(
        "--group",
        metavar="COLUMN",
        help="With --data: rows with the same value in this column (an author, a thread) stay together, all in "
        "training or all in validation.",
    ),
)


@click.group(
    cls=RunByDefault,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog=CODES,
)
def run_all():
    """Runs the numbered notebooks, and what belongs to them; `./run_all.sh test [ARGUMENT]...` runs the tests, with
    pytest. The first call sets up what they need: in .venv, or in the active environment if lib is installed there.
    """


@run_all.command(epilog=CODES)
@OF_NOTEBOOKS
@OF_DATA_FILE
@click.option(
    "--workers", type=click.IntRange(1), help="Processes that share the runs (default: one a GPU or a core); 1: none."
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    default="",
    envvar="DASK_SCHEDULER_ADDRESS",
    callback=address,
    help="A Dask scheduler whose workers compute the runs (default: DASK_SCHEDULER_ADDRESS of the environment).",
)
@click.option(
    "--html",
    is_flag=True,
    help="Then write the executed notebooks as pages that need no network: executed/<profile>/html/.",
)
@click.option(
    "--redraw",
    is_flag=True,
    help="Compute nothing; draw the runs that are there or published, and say what is missing.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Compute and draw nothing; say of every run whether it is done, why not, and what it will cost.",
)
@click.pass_context
def run(ctx, workers, scheduler, html, redraw, dry_run, **given):
    """Run the notebooks in order; the command if none is named."""
    if dry_run and (html or redraw):
        raise click.UsageError("--dry-run draws nothing: leave out --html and --redraw")
    if scheduler and workers:
        raise click.UsageError("--workers is for this machine: leave it out with --scheduler, which has its own")
    asked = {"workers": workers, "scheduler": scheduler, "html": html, "redraw": redraw}
    return carry_out(planned(ctx, "dry-run" if dry_run else "run", asked, **given), ctx.obj[1])


@run_all.command()
@OF_NOTEBOOKS
@OF_DATA_FILE
@click.option("--watch", is_flag=True, help="Say it again whenever it changes, until all is done.")
@click.pass_context
def status(ctx, watch, **given):
    """Say which runs of the notebooks are there, and what is left."""
    return carry_out(planned(ctx, "status", {"watch": watch}, **given), ctx.obj[1])


@run_all.command()
@OF_NOTEBOOKS
@click.pass_context
def publish(ctx, **given):
    """Make the finished runs the committed study.

    Those that the notebooks need go to results/study/<profile>/, with figures and executed notebooks.
    """
    return carry_out(planned(ctx, "publish", {}, **given), ctx.obj[1])


def planned(ctx, verb: str, asked: dict, *, profile, only, hub, rows, pairs, results, **of_file) -> Command:
    """The command with its notebooks and their parameters. Raises StudyError and click.UsageError."""
    notebooks, data = read_notebooks(ctx.obj[0]), None
    if path := of_file.pop("data", None):
        for option in ("profile", "rows", "validation" if path.startswith(HUB) else "hub"):
            if ctx.get_parameter_source(option) == ParameterSource.DEFAULT:
                continue
            raise click.UsageError(f"--{option} and --data are two sources of rows: leave out one of them")
        data = {"path": path, "hub": hub or "", **{name: value or "" for name, value in of_file.items()}}
        data["sizes"], pairs = sizes_of_data(pairs)
    elif without := [option for option, value in of_file.items() if value]:
        raise click.UsageError(f"--{without[0]} belongs to --data FILE: name the file, too")
    chosen = choose(notebooks, OF_DATA if data and only is None else only)
    for number in [path.name[:2] for path in chosen if data and path.name[:2] in NOT_OF_DATA]:
        raise StudyError(f"--only {number} and --data: notebook {number} {NOT_OF_DATA[number]}")
    # the command computes, before the notebooks are executed: they draw
    values = {"profile": profile, "hub": None if data else hub, "rows": rows, "results": results, "redraw": True}
    values = {name: value for name, value in values.items() if value}
    return Command(verb, profile, jobs(chosen, notebooks, values, pairs), data=data, **asked)


def sizes_of_data(pairs: list[tuple[str, str]]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """SIZES that -p gives with --data, and the other pairs. Raises StudyError."""
    sizes = {name: convert(name, text, 1) for name, text in pairs if name in SIZES}
    for name, value in sizes.items():
        if value < 1:
            raise StudyError(f"-p {name} {value}: give a whole number from 1 on, or leave it out")
    return sizes, [pair for pair in pairs if pair[0] not in SIZES]


@run_all.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, resolve_path=True))
@PARAMETER
@click.argument("jupyter", nargs=-1, metavar="[-- OPTION...]")
@click.pass_context
def label(ctx, file, pairs, jupyter):
    """Label your own FILE in JupyterLab.

    It is a copy of notebook 07 beside the file. Options after -- are JupyterLab's.
    """
    from lib.command.label import open_in_jupyterlab, prepare

    notebooks = read_notebooks(ctx.obj[0])
    ((notebook, values),) = jobs(choose(notebooks, ON_REQUEST[0]), notebooks, {}, pairs)
    prepare_environment()
    copied, about = prepare(notebook, {**values, "path": file})
    print(about, f"{copied}: run all cells; answers are kept beside it", sep="\n", flush=True)
    open_in_jupyterlab(copied, list(jupyter))


@run_all.command()
@RESULTS
def check(results):
    """Read the whole store; say what is torn, foreign or altered."""
    from lib.runs import audit

    stop_on_signals()
    store = Path(results or STORE)
    problems = audit.check(store) + audit.check_studies()
    runs = len(list(store.rglob("protocol.json")))
    published = f" and {number} published" if (number := audit.published_runs()) else ""
    print("\n".join([*problems, f"{runs} runs{published}, {len(problems)} problems"]))
    return 1 if problems else 0


@run_all.command()
@click.argument("run", default="")
@click.option("--round", "round_", type=click.IntRange(0), help="The round that is computed again (default: 1).")
@HUB_FOLDER
@RESULTS
def verify(run, round_, hub, results):
    """Compute one round of a finished RUN again and compare.

    On the same kind of processor it is the same, bit for bit. RUN: its folder, or the beginning of it (default: the
    cheapest run). Without --hub, rows are read from where they lay then.
    """
    from lib.runs import audit

    stop_on_signals()
    if not hub:
        stay_offline()
    same, line = audit.verify(Path(results or STORE), run, round_, hub or "")
    print(line)
    return 0 if same else 1


@run_all.command()
@HUB_FOLDER
@click.option("--only", metavar="NAME[,NAME]", default="", help="Only these rows of the table; its other rows stay.")
@click.option(
    "--precision",
    type=Choice(choices("precision")),
    default="auto",
    help="float32 or bfloat16 (default: what a run would use on this machine).",
)
def benchmark(hub, only, precision):
    """Time the parts of a run: figures/study/benchmark.csv. --hub FOLDER: on rows of GLUE."""
    stop_on_signals()
    sys.path.append(str(CHECKOUT))  # in which benchmarks/ lies, beside lib
    from benchmarks.table import main as measure_all

    return measure_all(hub or "", only, precision)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
