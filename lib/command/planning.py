"""The runs that notebooks need, without running the notebooks: only what leads to their protocols is executed."""

import ast
import json
from pathlib import Path

from lib.fields import StudyError
from lib.protocol import Protocol


def needed(notebook: Path, parameters: dict) -> list[tuple[list[Protocol], str]]:
    """The arguments of each call of `sweep` in a notebook with these parameters: protocols, and the store.

    Executes the statements that the calls of `sweep` depend on, no others. Raises StudyError for a mistake in the
    parameters.
    """
    calls = []

    def sweep(protocols, store=""):
        calls.append((protocols, str(store)))

    names = {}
    for statement in slice_of(statements(notebook, parameters)):
        try:
            exec(compile(ast.Module([statement], []), str(notebook), "exec"), names)
        except StudyError:
            raise
        except Exception as error:
            raise StudyError(f"{notebook.name}: its runs cannot be planned: {type(error).__name__}: {error}") from error
        if "sweep" in names:
            names["sweep"] = sweep
    return calls


def statements(notebook: Path, parameters: dict) -> list[ast.stmt]:
    """All statements of a notebook, the given parameters after its own."""
    found = []
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            found += ast.parse("".join(cell["source"])).body
            if "parameters" in cell["metadata"].get("tags", []):
                found += [ast.parse(f"{name} = {value!r}").body[0] for name, value in parameters.items()]
    return found


def slice_of(body: list[ast.stmt]) -> list[ast.stmt]:
    """The calls of `sweep`, and the statements that give a value to what they use, and so on backwards."""
    needed, kept = set(), []
    for statement in reversed(body):
        used, given = names_of(statement)
        called = isinstance(statement, ast.Expr) and used & needed  # `protocols.append(…)`
        if calls_sweep(statement) or given & needed or called:
            needed |= used
            kept.append(statement)
    return kept[::-1]


def calls_sweep(statement: ast.stmt) -> bool:
    calls = (node.func for node in ast.walk(statement) if isinstance(node, ast.Call))
    return any(isinstance(function, ast.Name) and function.id == "sweep" for function in calls)


def names_of(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """The names that a statement uses, and those it gives a value to."""
    used, given = set(), set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else given).add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            given |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            given.add(node.name)
    return used, given
