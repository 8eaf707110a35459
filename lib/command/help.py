"""What ./run_all.sh --help says. Like the command line, it needs nothing but Python."""

import ast
from pathlib import Path
from textwrap import wrap

from lib.command.options import WITH_OPTION, parameters_cell
from lib.fields import choices

HELP = """\
usage: ./run_all.sh [OPTION]...           run the notebooks in order
       ./run_all.sh status [OPTION]...    say what is there of the runs they need, and what is left
       ./run_all.sh publish [OPTION]...   make the runs that they need, as far as they are finished, the committed
                                          study, with figures and executed notebooks: results/study/<profile>/
       ./run_all.sh label FILE [-p ...] [-- ...]
                                          label your own file in JupyterLab, in a copy of notebook 07 beside it; what
                                          follows -- are options of JupyterLab, as in -- --no-browser --port 8889
       ./run_all.sh check [OPTION]...     read the whole store; say what is torn, foreign or altered
       ./run_all.sh verify [RUN]...       compute one round of a finished run again and compare: bit for bit on the same
                                          kind of processor, and then the run counts as done by today's code. RUN: its
                                          folder, or the beginning of it (default: the cheapest run); --round N (default
                                          1), --hub FOLDER (default: where the rows lay then), --results FOLDER
       ./run_all.sh benchmark [OPTION]... time the parts of a run: figures/study/benchmark.csv; --hub FOLDER for
                                          rows of GLUE, --only NAME[,NAME] for some rows of the table, --precision
                                          float32|bfloat16 (default: what a run would use on this machine)
       ./run_all.sh test [ARGUMENT]...    run the tests; the arguments go to pytest

The first call sets up what they need: in .venv, or in the active environment if lib is installed there.

examples:
  ./run_all.sh                                          the quick profile: every notebook, in minutes
  ./run_all.sh --profile minilm --redraw                draw the published study again: computes nothing
  ./run_all.sh status --profile minilm                  how far the study is, stage by stage
  ./run_all.sh --profile minilm --dry-run               the same, run by run: done or missing, and what is left
  ./run_all.sh --only 02 -p strategies bald,entropy,random -p runs 5
  ./run_all.sh --data my.csv                            does active learning pay on your own labelled file?
  ./run_all.sh --only 07 -p path my.csv -p text_column text -p labels negative,positive

options:
  --profile NAME     quick (the default), minilm or paper: what is computed, and so how long it takes
  --only NN[,NN]     only these notebooks, for example --only 02,04; 07, which is for your own data, runs only so
  --hub FOLDER       read data sets and checkpoints from a folder laid out like the Hugging Face Hub
  --rows study|first which rows of a data set of the minilm profile: those of the study, whatever their order there (the
                     default), or the first, which is another study
  -p NAME VALUE      set a parameter of the notebooks (below); may be repeated
  --workers N        processes that share the runs (default: one a GPU or a core); 1: none beside the notebook's own
  --scheduler ADDR   a Dask scheduler whose workers compute the runs, as DASK_SCHEDULER_ADDRESS does
  --data FILE        your own labelled file (csv, xlsx, jsonl, …) or hub:ID[:CONFIG]: does it pay on these texts?
                     Runs notebooks 01, 02, 04, 05 and, in short, 06, or those of --only; sizes follow from the rows,
                     or -p query N (labels in a batch), -p rounds N (batches), -p start N and -p pool N set them
  --text COLUMN      with --data: the column of the text, or two with a comma between them (default: found, and said)
  --label COLUMN     with --data: the column of the label (default: found, and said)
  --validation FILE  with --data: other rows to validate on (default: every fifth row of each class)
  --group COLUMN     with --data: rows with the same value in this column (an author, a thread) stay together, all in
                     training or all in validation
  --results FOLDER   where finished runs are looked for and kept (default: results)
  --html             then write the executed notebooks as pages that need no network: executed/<profile>/html/
  --redraw           compute nothing; draw the runs that are there or published, and say what is missing
  --dry-run          compute and draw nothing; say of every run whether it is done, why not, and what it will cost
  --watch            with status: say it again whenever it changes, until all is done
  --help             print this

Exit codes: 0, 1 if a notebook or a run failed, 2 for a mistake in the command, 130 if stopped.
"""
FIRST, WIDTH = 18, 120  # characters of the first column, and of a line


def text(notebooks: dict[Path, dict]) -> str:
    """All of it. notebooks: as `lib.command.options.read_notebooks` gives them."""
    numbers = "\n".join(f"  {path.name[:2]}  {path.stem[3:].replace('_', ' ')}" for path in notebooks)
    names = {f"tasks of {profile}": ", ".join(tasks) for profile, tasks in tasks_of_profiles().items()}
    names["strategies"] = ", ".join(choices("strategy"))
    named = "\n".join(wrapped(name, said) for name, said in names.items())
    return (
        f"{HELP}\nnotebooks:\n{numbers}\n\nnames:\n{named}\n\n"
        f"parameters of the notebooks, and which have them:\n{parameters(notebooks)}"
    )


def tasks_of_profiles() -> dict[str, tuple[str, ...]]:
    """Name of each profile → its tasks, as lib/protocol.py writes them; to import it takes numpy."""
    constants, found = {}, {}
    for node in ast.parse(Path(__file__).parents[1].joinpath("protocol.py").read_text("utf-8")).body:
        if not isinstance(node, ast.Assign):
            continue
        (target,) = node.targets
        if isinstance(node.value, ast.Constant | ast.Tuple):
            constants[target.id] = evaluated(node.value, constants)
        elif target.id == "PROFILES":
            for call in node.value.values:
                said = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg in ("name", "tasks")}
                found[evaluated(said["name"], constants)] = evaluated(said["tasks"], constants)
    return found


def evaluated(node: ast.expr, constants: dict):
    return eval(compile(ast.Expression(node), "lib/protocol.py", "eval"), dict(constants))


def parameters(notebooks: dict[Path, dict]) -> str:
    """Each parameter once: its name, what its comments say, and the notebooks that have it."""
    holders = {}
    for path, defaults in notebooks.items():
        for line in parameters_cell(path).splitlines():
            name, comment = line.partition(":")[0], line.partition("#")[2].strip()
            if name in defaults and name not in WITH_OPTION:
                holders.setdefault(name, {}).setdefault(comment, []).append(path.name[:2])
    lines = []
    for name, comments in holders.items():
        said = [f"{comment} ({', '.join(where)})".strip() for comment, where in comments.items()]
        lines += [wrapped(name if not number else "", one) for number, one in enumerate(said)]
    return "\n".join(lines)


def wrapped(name: str, said: str) -> str:
    """A name and what is said of it, in two columns."""
    first, *rest = wrap(said, WIDTH - FIRST - 3) or [""]
    head = [f"  {name:{FIRST}} {first}"] if len(name) <= FIRST else [f"  {name}", " " * (FIRST + 3) + first]
    return "\n".join([*head, *(" " * (FIRST + 3) + line for line in rest)])
