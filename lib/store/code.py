"""The code that decides a run's numbers, recognised by what it does: a digest of each definition that a run reaches.

From ROOTS on, names are followed to the functions, methods, classes and constants of lib that they mean, without
importing any of it. A definition's digest is that of its parsed code without comments, docstrings, formatting,
annotations, imports and what is said with an error. Where it stands does not count. So a comment, a better message or
a move to another file makes no run stale; another constant or operator does, unless small runs of every kind were
computed by both and are equal bit for bit (REWRITES). A method counts if anything reached calls a method of its name;
of a registry, each entry counts for itself, so that a new one changes nothing.
"""

import ast
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]
REWRITES = Path(__file__).with_name("rewrites.json")  # docs/measurements/same_bits.py computes both, and writes it
ROOTS = (
    *(("lib.active_learning", name) for name in ("prepare", "compute", "settled")),
    ("lib.data.rows", "tokenise"),  # behind a cache
    ("lib.protocol", "Protocol"),  # an argument: of what a run is given, the methods that it calls
)
# Not followed. Rows, weights and the protocol's fields are in the key, wherever they come from; a store keeps what it
# is given; the rest refuses, names or times something.
OUTSIDE = {
    *("read_texts", "Texts", "remembered", "load_tokenizer", "checkpoint", "Run", "Clock", "StudyError", "one_of"),
    *("class Protocol", "Protocol.__post_init__", "Protocol.canonical", "Protocol.on_this_machine"),
}
CALLED_BY_TORCH = {"forward"}


@cache
def definitions() -> dict[str, str]:
    """Name of each definition that a run reaches → the beginning of its digest."""
    return reached(FOLDER)


@cache
def code_fingerprint() -> str:
    """Of all of them."""
    return hashlib.sha256(repr(sorted(definitions().items())).encode()).hexdigest()


def differing(then: dict[str, str]) -> list[str]:
    """Of the definitions that computed a run, those that are gone or another today.

    One that is new today shows where one that was there has begun to use it.
    """
    return sorted(name for name, what in since(then).items() if definitions().get(name) != what)


def since(then: dict[str, str]) -> dict[str, str]:
    """The definitions that computed a run, as they were rewritten since to the same bits: REWRITES, in its order."""
    for rewrite in rewrites():
        if rewrite["was"].items() <= then.items():
            then = {name: what for name, what in then.items() if name not in rewrite["was"]} | rewrite["now"]
    return then


@cache
def rewrites() -> list[dict]:
    """Each: `what` was rewritten, the definitions that it `was` and is `now`, and how many small `runs` showed it."""
    return json.loads(REWRITES.read_text("utf-8"))


def reached(folder: Path) -> dict[str, str]:
    """`definitions` of the package in a folder."""
    modules = _Modules(folder)
    waiting, seen, called, methods, found = list(ROOTS), set(), set(CALLED_BY_TORCH), [], defaultdict(set)
    while waiting or any(name in called for name, *_ in methods):
        if not waiting:  # methods that what was reached since calls
            ready = [method for method in methods if method[0] in called]
            methods = [method for method in methods if method[0] not in called]
        else:
            module, name = waiting.pop()
            if (module, name) in seen or name in OUTSIDE or module not in modules:
                continue
            seen.add((module, name))
            parts = [(*part, modules[module]) for part in modules[module].definitions[name]]
            methods += [part for part in parts if part[0]]
            ready = [part for part in parts if not part[0]]
        for _, key, node, module in ready:
            if key not in OUTSIDE:
                reader = _Reader(module, modules)
                found[key].add(written(reader.visit(node)))
                waiting += reader.used
                called |= reader.attributes
    return {key: hashlib.sha256(repr(sorted(texts)).encode()).hexdigest()[:12] for key, texts in sorted(found.items())}


class _Modules(dict):
    """The modules of the package in a folder by name, each parsed when it is first asked for."""

    def __init__(self, folder: Path):
        names = {
            path: ".".join(["lib", *path.relative_to(folder).with_suffix("").parts]) for path in folder.rglob("*.py")
        }
        self.paths = {name.removesuffix(".__init__"): path for path, name in names.items()}

    def __contains__(self, name):
        return name in self.paths

    def __missing__(self, name: str) -> "_Module":
        self[name] = _Module(name, self.paths[name])
        return self[name]


class _Module:
    """A parsed file: what it defines, and what its imports mean."""

    def __init__(self, name: str, path: Path):
        self.name = name
        tree = ast.parse(path.read_text("utf-8"))
        self.modules, self.names = {}, {}  # alias → module of lib, alias → (module, name)
        for node in ast.walk(tree):  # also of the imports in methods, which `_parts` takes out of their class
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "lib":
                for alias in node.names:
                    self.modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"  # if it is one
                    self.names[alias.asname or alias.name] = (node.module, alias.name)
        # name → parts: (name of a method that counts only if called, or ""), (key), (code)
        self.definitions = defaultdict(list)
        for statement in tree.body:
            for name, *part in _parts(statement):
                self.definitions[name].append(part)


def _parts(statement: ast.stmt) -> Iterator[tuple[str, str, str, ast.AST]]:
    """(name, method or "", key, code) of what a statement at the top of a module defines."""
    if isinstance(statement, ast.FunctionDef):
        yield statement.name, "", statement.name, statement
    elif isinstance(statement, ast.ClassDef):
        inside = [node for node in statement.body if isinstance(node, ast.FunctionDef)]
        for node in inside:
            special = node.name.startswith("__")
            yield statement.name, "" if special else node.name, f"{statement.name}.{node.name}", node
        statement.body = [node for node in statement.body if node not in inside]
        yield statement.name, "", f"class {statement.name}", statement
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        value, entries = statement.value, []
        if isinstance(value, ast.Dict) and all(isinstance(key, ast.Constant) for key in value.keys):
            entries = [(f"[{key.value!r}]", entry) for key, entry in zip(value.keys, value.values, strict=True)]
        for name in (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)):
            for key, code in entries or [("", value)]:
                yield name, "", f"{name}{key}", code


class _Reader(ast.NodeTransformer):
    """Leaves out what decides nothing; notes which definitions and attributes are used."""

    def __init__(self, module: _Module, modules: _Modules):
        self.module, self.modules, self.used, self.attributes = module, modules, [], set()

    def visit_Name(self, node):
        if node.id in self.module.definitions:
            self.used.append((self.module.name, node.id))
        elif (found := self.module.names.get(node.id)) and found[1] in self._defined(found[0]):
            self.used.append(found)
            return ast.Name(found[1])
        return node

    def visit_Attribute(self, node):
        if isinstance(node.value, ast.Name):
            module = self.module.modules.get(node.value.id)
            if node.attr in self._defined(module):  # `scoring.acquire` is `acquire`
                self.used.append((module, node.attr))
                return ast.Name(node.attr)
        self.attributes.add(node.attr)
        return self.generic_visit(node)

    def _defined(self, module: str | None) -> dict:
        return self.modules[module].definitions if module in self.modules else {}

    def visit_FunctionDef(self, node):
        node.body = without_docstring(node.body)
        node.returns = None
        return self.generic_visit(node)

    def visit_ClassDef(self, node):
        node.body = without_docstring(node.body)
        return self.generic_visit(node)

    def visit_arg(self, node):
        return ast.arg(node.arg)

    def visit_AnnAssign(self, node):
        return self.generic_visit(ast.Assign([node.target], node.value or ast.Constant(None)))

    def visit_Raise(self, node):
        what = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return ast.Raise(self.visit(what) if what else None)

    def visit_Import(self, node):
        return None

    visit_ImportFrom = visit_Import


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    said = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if said else body


def written(node) -> str:
    """A node as text that is the same in every version of Python: its kind, and its fields that hold something."""
    if isinstance(node, list):
        return f"[{' '.join(map(written, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, getattr(node, name, None)) for name in node._fields if name not in ("ctx", "kind", "type_comment"))
    inside = [f"{name}={written(value)}" for name, value in fields if value is not None and value != []]
    return f"{type(node).__name__}({' '.join(inside)})"
