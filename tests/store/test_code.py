"""What decides a run's numbers is known by what it does: words and places change nothing, a constant does."""

import ast
import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lib import active_learning
from lib.data import rows, tasks
from lib.store import code, published

LIB = Path(code.__file__).resolve().parents[1]


@pytest.fixture
def copy(tmp_path) -> Path:
    """The code of lib, in a folder to be changed."""
    for path in LIB.rglob("*.py"):
        (tmp_path / "lib" / path.relative_to(LIB)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "lib" / path.relative_to(LIB))
    return tmp_path / "lib"


@pytest.fixture
def differing(copy, monkeypatch):
    """differing() → what `code.differing` names of today's definitions, if the copy were the code that runs."""
    then = code.definitions()

    def read() -> list[str]:
        now = code.reached(copy)
        monkeypatch.setattr(code, "definitions", lambda: now)
        return code.differing(then)

    return read


def replace(folder: Path, *changes: tuple[str, str, str]) -> None:
    """(module, old, new): the text must be there, once."""
    for module, old, new in changes:
        path = folder / f"{module}.py"
        text = path.read_text("utf-8")
        assert text.count(old) == 1, f"{module}.py: {old!r} is there {text.count(old)} times: the test has to follow"
        path.write_text(text.replace(old, new), "utf-8")


def rewrite(folder: Path, transformer: ast.NodeTransformer) -> None:
    """Every module parsed, transformed and written anew: no comment is left, and no line stays where it was."""
    for path in folder.rglob("*.py"):
        tree = transformer.visit(ast.parse(path.read_text("utf-8")))
        path.write_text(ast.unparse(ast.fix_missing_locations(tree)), "utf-8")


# ---- what changes nothing


def test_a_copy_is_the_same_code_and_nothing_of_it_is_imported(copy, differing):
    assert differing() == []
    assert code.reached(copy) == code.reached(LIB)


def test_a_comment_in_every_module_and_before_every_statement_changes_nothing(copy, differing):
    statement = re.compile(r"^( *)(def|class|return|if|for|with|@\w+|\w+ = )", re.MULTILINE)
    for path in copy.rglob("*.py"):
        path.write_text("# new\n" + statement.sub(r"\1# new\n\1\2", path.read_text("utf-8")), "utf-8")
    assert (copy / "training.py").read_text("utf-8").count("    # new\n") > 20
    assert differing() == []


class Docstrings(ast.NodeTransformer):
    """Another docstring everywhere, also where there was none."""

    def generic_visit(self, node):
        super().generic_visit(node)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            rest = node.body[1:] if ast.get_docstring(node) else node.body
            node.body = [ast.Expr(ast.Constant("Said anew.")), *rest]
        return node


class Annotations(ast.NodeTransformer):
    """No annotation of an argument or a result."""

    def visit_arg(self, node):
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.generic_visit(node)


class Messages(ast.NodeTransformer):
    """Every exception that is raised says something else."""

    def visit_Raise(self, node):
        if isinstance(node.exc, ast.Call):
            node.exc.args, node.exc.keywords = [ast.Constant("It went wrong.")], []
        return node


class Imports(ast.NodeTransformer):
    """The imports of every module in the opposite order."""

    def visit_Module(self, node):
        imports = [one for one in node.body if isinstance(one, ast.Import | ast.ImportFrom)]
        others = [one for one in node.body if one not in imports]
        node.body = [*imports[::-1], *others]
        return node


@pytest.mark.parametrize("change", [ast.NodeTransformer, Docstrings, Annotations, Messages, Imports])
def test_another_format_docstring_annotation_message_or_order_of_imports_changes_nothing(change, copy, differing):
    before = {path: path.read_text("utf-8") for path in copy.rglob("*.py")}
    rewrite(copy, change())
    assert any(path.read_text("utf-8") != text for path, text in before.items())
    assert differing() == []


def test_a_function_that_moves_to_another_module_changes_nothing(copy, differing):
    """By each kind of import: `from lib.new import f`, and `from lib import new` with `new.f`."""
    text = (copy / "training.py").read_text("utf-8")
    moved = re.search(r"^def warmup_then_decay.*?(?=^(def|class|@))", text, re.MULTILINE | re.DOTALL)[0]
    (copy / "deep").mkdir()
    (copy / "deep" / "__init__.py").write_text('"""A room."""\n')
    (copy / "deep" / "schedule.py").write_text(f'"""Of the learning rate."""\n\n{moved}')
    replace(copy, ("training", moved, ""))
    replace(
        copy,
        (
            "training",
            "from lib.data.rows import",
            "from lib.deep.schedule import warmup_then_decay\nfrom lib.data.rows import",
        ),
    )
    assert differing() == []
    replace(copy, ("training", "from lib.deep.schedule import warmup_then_decay", "from lib.deep import schedule"))
    replace(
        copy, ("training", "LambdaLR(optimizer, warmup_then_decay", "LambdaLR(optimizer, schedule.warmup_then_decay")
    )
    assert differing() == []
    path = copy / "deep" / "schedule.py"
    path.write_text(path.read_text("utf-8").replace("step + 1", "step + 2"), "utf-8")
    assert differing() == ["warmup_then_decay"], "it is still read where it is now"


def test_a_module_that_moves_into_a_folder_changes_nothing(copy, differing):
    (copy / "method").mkdir()
    (copy / "method" / "__init__.py").touch()
    (copy / "scoring.py").rename(copy / "method" / "scoring.py")
    replace(
        copy,
        (
            "active_learning",
            "from lib import gpus, scoring, uncertainty",
            "from lib import gpus, uncertainty\nfrom lib.method import scoring",
        ),
    )
    assert differing() == []


def test_a_new_strategy_makes_no_run_stale(copy, differing):
    function = "def least(log_probs_SNC):\n    return -bald(log_probs_SNC)\n\n\n"
    entry = 'STRATEGIES = {\n    "least": Strategy("least", least),\n'
    replace(copy, ("acquisition", "STRATEGIES = {\n", function + entry))
    assert differing() == []
    assert code.reached(copy).keys() - code.reached(LIB).keys() == {"least", "STRATEGIES['least']"}


def test_what_looks_stores_or_draws_is_not_code_of_a_run(copy, differing):
    for path in copy.rglob("*.py"):
        room = path.relative_to(copy).parts[0]
        if room in ("store", "figures", "explorer", "sweeps", "labelling", "command") or path.stem == "statistics":
            path.write_text(path.read_text("utf-8").replace("1", "2"), "utf-8")
    assert differing() == []


# ---- what makes a run stale


CHANGES = [
    ("training", '"weight_decay": 0.0}', '"weight_decay": 0.1}', "build_optimizer"),
    ("training", "(steps - step) / max(1", "(steps + step) / max(1", "warmup_then_decay"),
    ("training", "(trained, protocol.clip)", "(trained, 2 * protocol.clip)", "take_steps"),
    ("data/batches", "HEIGHTS = (3, 4, 5)", "HEIGHTS = (3, 4, 6)", "HEIGHTS"),
    ("decoder", "mul_(1 / (1 - rate))", "mul_(1 / (1 + rate))", "drop"),
    ("decoder", "cumsum(2) == 1", "cumsum(2) <= 1", "ValueDropout.draw"),
    ("acquisition", "1 - (first_N - second_N)", "1 - (first_N + second_N)", "margin"),
    ("acquisition", "EXACT = 1e-13", "EXACT = 1e-12", "EXACT"),
    ("acquisition", '"BatchBALD", bald,', '"BatchBALD", margin,', "STRATEGIES['batchbald']"),
    ("model", "math.sqrt(q.shape[-1])", "math.sqrt(q.shape[-2])", "_attend_with_dropout"),
    ("data/batches", "if not padded.all()", "if padded.all()", "pack"),
    ("scoring", "ascending[-2 * query :]", "ascending[-3 * query :]", "worth_showing"),
    ("scoring", "(predictions_N == labels_N)", "(predictions_N != labels_N)", "evaluate"),
    ("uncertainty", "PASSES = 100", "PASSES = 50", "PASSES"),
    ("uncertainty", "F.log_softmax(logits_SNC, dim=-1)", "F.log_softmax(logits_SNC, dim=-2)", "sample_log_probs"),
    ("prefix", "if frozen <= 0", "if frozen < 0", "frozen_prefix"),
    ("prefix", '"cpu": 1024', '"cpu": 2048', "TOKENS['cpu']"),
    ("data/rows", "max_length=max_length,\n        padding", "max_length=max_length - 1,\n        padding", "tokenise"),
    ("data/rows", "kind=\"stable\"", "kind=\"quicksort\"", "Rows.token_batches"),
    ("active_learning", "round_ == protocol.rounds - 1", "round_ >= protocol.rounds - 1", "compute"),
    ("parameter_change", "var(correction=0)", "var(correction=1)", "_moments"),
    ("protocol", "index(stream), round_)", "index(stream), round_ + 1)", "Protocol.seed_sequence"),
    ("protocol", 'STREAMS = ("decoder", "order",', 'STREAMS = ("order", "decoder",', "STREAMS"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "old", "new", "name"), CHANGES, ids=[f"{c[0]}-{c[3]}" for c in CHANGES])
def test_one_constant_or_operator_makes_a_run_stale_and_is_named(module, old, new, name, copy, differing):
    replace(copy, (module, old, new))
    assert differing() == [name]


def test_a_call_that_is_left_out_and_one_that_is_new_are_seen(copy, differing):
    replace(copy, ("training", "        schedule.step()\n", ""))
    assert differing() == ["take_steps"]
    replace(
        copy,
        (
            "uncertainty",
            "pieces.append(classifier.decoder.features(hidden_TH, batch))",
            "pieces.append(rounded(classifier.decoder.features(hidden_TH, batch)))",
        ),
    )
    with open(copy / "uncertainty.py", "a", encoding="utf-8") as file:
        file.write("\n\ndef rounded(values):\n    return values.half().float()\n")
    assert differing() == ["pool_features", "take_steps"]
    assert "rounded" in code.reached(copy)


def test_what_a_method_imports_is_read(copy, differing):
    """Where importing it costs seconds, it is imported where it is needed."""
    replace(
        copy, ("training", "    optimizer = build_optimizer(classifier, protocol)\n", "    optimizer = Late().made()\n")
    )
    late = "\n\nclass Late:\n    def made(self):\n        from lib.later import factor\n\n        return factor()\n"
    with open(copy / "training.py", "a", encoding="utf-8") as file:
        file.write(late)
    (copy / "later.py").write_text("def factor():\n    return 2\n", "utf-8")
    differing()
    assert {"Late.made", "factor"} <= code.reached(copy).keys()


def test_a_definition_that_is_gone_is_named(copy, differing):
    replace(
        copy,
        ("uncertainty", "PASSES = 100", "AT_ONCE = 100"),
        ("uncertainty", "masks_SW.split(PASSES)", "masks_SW.split(AT_ONCE)"),
    )
    assert differing() == ["PASSES", "sample_log_probs"]


# ---- what was rewritten to the same bits


def known_as(monkeypatch, was: Path, now: Path, *older: dict) -> None:
    """The difference of two copies is a rewrite that small runs have shown to give the same bits."""
    before, since = code.reached(was), code.reached(now)
    entry = {
        "was": {name: digest for name, digest in before.items() if since.get(name) != digest},
        "now": {name: digest for name, digest in since.items() if before.get(name) != digest},
    }
    monkeypatch.setattr(code, "rewrites", lambda: [*older, entry])


RENAMED = (
    ("uncertainty", "PASSES = 100", "AT_ONCE = 100"),
    ("uncertainty", "masks_SW.split(PASSES)", "masks_SW.split(AT_ONCE)"),
)


def test_a_rewrite_that_is_known_makes_no_run_stale(copy, differing, monkeypatch):
    replace(copy, *RENAMED)
    assert differing() == ["PASSES", "sample_log_probs"]
    known_as(monkeypatch, LIB, copy)
    assert differing() == []


def test_what_is_changed_after_a_rewrite_makes_runs_stale_again(copy, differing, monkeypatch):
    """Also where only the rewritten code has it."""
    replace(copy, *RENAMED)
    known_as(monkeypatch, LIB, copy)
    replace(copy, ("uncertainty", "AT_ONCE = 100", "AT_ONCE = 50"))
    assert differing() == ["AT_ONCE"]


def test_a_run_of_other_code_than_was_rewritten_stays_stale(copy, differing, monkeypatch):
    replace(copy, *RENAMED)
    known_as(monkeypatch, LIB, copy)
    then = code.reached(LIB) | {"PASSES": "another"}
    assert differing() == []
    assert code.differing(then) == ["PASSES", "sample_log_probs"]


def test_rewrites_follow_each_other(copy, differing, monkeypatch, tmp_path):
    replace(copy, *RENAMED)
    known_as(monkeypatch, LIB, copy)
    first = code.rewrites()
    shutil.copytree(copy, tmp_path / "once" / "lib")
    replace(copy, ("uncertainty", "AT_ONCE = 100", "TOGETHER = 100"), ("uncertainty", "(AT_ONCE)", "(TOGETHER)"))
    assert differing() == ["AT_ONCE", "sample_log_probs"]
    known_as(monkeypatch, tmp_path / "once" / "lib", copy, *first)
    assert differing() == []


def test_every_rewrite_that_is_written_down_was_shown_in_both_precisions():
    for rewrite in code.rewrites():
        assert rewrite["what"]
        assert rewrite["was"]
        assert set(rewrite["runs"]) == {"float32", "bfloat16"}
        assert rewrite["runs"]["float32"] > 50, "every task and setting"
        assert rewrite["runs"]["bfloat16"] > 10, "every way in which layers compute"


@pytest.fixture
def same_bits(copy, monkeypatch, tmp_path):
    """docs/measurements/same_bits.py for a renamed constant; what the runs of both checkouts leave is given."""
    place = LIB.parent / "docs" / "measurements" / "same_bits.py"
    spec = importlib.util.spec_from_file_location("same_bits", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = {}
    monkeypatch.setattr(
        module,
        "settings",
        lambda profile, hub, precision: [
            SimpleNamespace(precision=precision, task=task) for task in "abc" for _ in range(3)
        ],
    )
    monkeypatch.setattr(module, "computed", lambda checkout, some: found[checkout == LIB.parent])
    monkeypatch.setattr(code, "REWRITES", tmp_path / "rewrites.json")
    code.REWRITES.write_text("[]")
    code.rewrites.cache_clear()
    replace(copy, *RENAMED)

    def compare(theirs: dict, ours: dict, *precisions: str):
        found.update({False: theirs, True: ours})
        code.rewrites.cache_clear()
        module.main(SimpleNamespace(before=copy.parent, hub="", profile="", precision=precisions, what="names"))
        return json.loads(code.REWRITES.read_text())

    yield compare
    code.rewrites.cache_clear()


def test_runs_that_are_equal_in_both_checkouts_write_a_rewrite_down(same_bits, differing, capsys):
    same = {"run": {"round-00/round.json": "a"}}
    (entry,) = same_bits(same, same, "float32")
    assert entry["what"] == "names"
    assert entry["runs"] == {"float32": 9}
    assert entry["was"].keys() == {"AT_ONCE", "sample_log_probs"}
    assert entry["now"].keys() == {"PASSES", "sample_log_probs"}
    (entry,) = same_bits(same, same, "bfloat16")
    assert entry["runs"] == {"float32": 9, "bfloat16": 9}
    assert "all are equal bit for bit" in capsys.readouterr().out


def test_one_file_that_differs_writes_nothing_down(same_bits, capsys):
    before, after = ({"run": {"a": "1", "b": digest}} for digest in ("2", "3"))
    with pytest.raises(SystemExit, match="nothing is written down"):
        same_bits(before, after, "float32", "bfloat16")
    assert "run differs in b" in capsys.readouterr().out
    assert code.REWRITES.read_text() == "[]"


def test_the_published_study_counts_as_done():
    """By today's code, or by code that was rewritten to the same bits."""
    manifests = (LIB.parent / "results" / "study").glob(f"*/{published.MANIFEST}")
    runs = [run for path in manifests for run in published.Study(path.parent).runs.values()]
    assert len(runs) > 200
    for run in runs:
        told = run["provenance"].get("attested", run["provenance"])
        assert code.differing(told["definitions"]) == []


# ---- nothing that a run executes is forgotten


RUNS = {
    "BALD, frozen": {"frozen": 2},
    "random": {"strategy": "random", "random_pool": "train"},
    "BatchBALD, linear": {"strategy": "batchbald", "decoder": "linear", "frozen": -2},
    "warm, dropout in frozen layers": {"strategy": "powerbald", "restart": "warm", "frozen": 2, "frozen_dropout": "on"},
    "margin, all dropouts": {"strategy": "margin", "mc_dropout": "decoder"},
    "rounding": {"strategy": "unguarded_bald", "mc_dropout": "off"},
    "variation ratio": {"strategy": "variation_ratio", "precision": "bfloat16"},
    "trained once": {"strategy": "entropy", "rounds": 0},
}


@pytest.mark.parametrize("changes", RUNS.values(), ids=RUNS)
def test_every_function_that_a_run_calls_is_among_its_code(changes, tiny_protocol, tmp_path, monkeypatch):
    """Called from `prepare` or `compute`, and not by way of what is outside on purpose."""
    monkeypatch.setattr(rows, "KEPT", tmp_path / "tokens")  # so that it is tokenised
    tasks.load_task.cache_clear()
    called, known = set(), code.reached(LIB)
    inside = {(str(LIB / "active_learning.py"), name) for name in ("prepare", "compute")}

    def name_of(frame) -> str | None:
        """Of the definition that a frame belongs to, as `reached` calls it; None if it is not lib's."""
        if not frame.f_code.co_filename.startswith(str(LIB)):
            return None
        name = frame.f_code.co_qualname.partition(".<locals>")[0]
        return None if name.startswith("<") else name  # <module>, <lambda>

    def is_outside(name: str) -> bool:
        return name in code.OUTSIDE or name.partition(".")[0] in code.OUTSIDE

    def note(frame, event, argument):
        if event != "call" or not (name := name_of(frame)) or name in called:
            return
        above = frame
        while above:
            if (above is not frame and is_outside(name_of(above) or "")) or above.f_code.co_name == "<module>":
                return
            if (above.f_code.co_filename, above.f_code.co_name) in inside:
                called.add(name)
                return
            above = above.f_back

    protocol = tiny_protocol(rows="first", **{"rounds": 1, **changes})
    sys.setprofile(note)
    try:
        active_learning.run(protocol, tmp_path / "store")
    finally:
        sys.setprofile(None)
    assert {"compute", "prepare", "take_steps", "evaluate", "tokenise"} - called <= {"tokenise"}
    forgotten = {name for name in called if name not in known and not is_outside(name)}
    assert not forgotten, "lib.store.code follows no name to these: a change of them would go unnoticed"


def test_tokenisation_is_called_where_the_test_above_does_not_look():
    """It is behind a cache, `remembered`, which is outside: so it is a root of its own."""
    assert ("lib.data.rows", "tokenise") in code.ROOTS
    assert {"remembered"} <= code.OUTSIDE


def test_every_name_at_the_top_of_the_modules_of_the_method_can_be_found():
    """`a, b = 1, 2` and the like define names, too."""
    for path in sorted(LIB.glob("*.py")):
        module, tree = code._Module(f"lib.{path.stem}", path), ast.parse(path.read_text("utf-8"))
        assigned = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
        targets = [target for node in assigned for target in getattr(node, "targets", None) or [node.target]]
        names = {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
        assert names <= module.definitions.keys(), path.name
