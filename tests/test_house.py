"""The rooms of lib, in their order: a room imports only from rooms below it, and no module from one that needs it."""

import ast
import json
import re
from graphlib import TopologicalSorter
from pathlib import Path

import lib

FOLDER = Path(lib.__file__).parent
ORDER = [  # from the ground up; in a row, what does not know of each other
    ["errors", "acquisition"],  # the latter of lib.method: it knows of nothing in lib, and protocols name strategies
    ["protocol"],
    ["data"],
    ["method"],
    ["runs"],
    ["analysis"],
    ["figures"],
    ["explorer", "labelling"],
    ["command"],
    ["cli"],
]
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}


def name_of(path: Path) -> str:
    return ".".join(["lib", *path.relative_to(FOLDER).with_suffix("").parts]).removesuffix(".__init__")


MODULES = {name_of(path): path for path in FOLDER.rglob("*.py")}


def imported(path: Path) -> set[str]:
    """The modules of lib that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "lib":
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & MODULES.keys() or {node.module}
    return found


IMPORTS = {name: imported(path) for name, path in MODULES.items() if name != "lib"}


def room(module: str) -> str:
    return "acquisition" if module == "lib.method.acquisition" else module.split(".")[1]


def test_every_module_is_in_a_room_of_the_order():
    assert {room(module) for module in IMPORTS} == LEVEL.keys()


def test_a_room_imports_only_from_rooms_below_it():
    wrong = [
        f"{module} imports {other}"
        for module, others in IMPORTS.items()
        for other in others
        if room(other) != room(module) and LEVEL[room(other)] >= LEVEL[room(module)]
    ]
    assert wrong == []


def test_no_module_needs_itself():
    """A package's own file, which only names what is inside, is left out."""
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    graph = {name: others - packages for name, others in IMPORTS.items() if name not in packages}
    assert len([*TopologicalSorter(graph).static_order()]) >= len(graph)  # raises CycleError for a circle


def used(source: str) -> set[str]:
    """Names that Python code reads, calls or imports."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return names | {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_every_public_function_is_used_outside_of_the_tests():
    """What a notebook once called and calls no more would be tested for ever and seen by nobody."""
    root = FOLDER.parent
    scripts = [*FOLDER.rglob("*.py"), *(root / "docs").rglob("*.py"), *(root / "benchmarks").glob("*.py")]
    sources = [path.read_text("utf-8") for path in scripts]
    for path in (root / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        sources += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    sources += re.findall(r"```python\n(.*?)```", (root / "docs" / "code.md").read_text("utf-8"), re.S)
    names = set().union(*map(used, sources))
    defined = {
        node.name
        for path in FOLDER.rglob("*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    assert sorted(defined - names) == []
