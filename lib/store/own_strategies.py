"""A strategy that somebody registers: recognised by its code, which is in its runs' key, checked, and sent to workers.

One entry is enough, in a notebook or a script: STRATEGIES["mine"] = Strategy("my score", my_score), or my_score alone.
Its code is its functions as parsed, without comments and docstrings, and what they use: other functions and classes of
the person's own, and the values of settings; not lib and installed packages.
"""

import ast
import functools
import inspect
import sys
import sysconfig
import textwrap
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from lib.fields import StudyError
from lib.protocol import digest
from lib.store.code import FOLDER, without_docstring, written

INSTALLED = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
PLAIN = (str, bytes, bool, int, float, complex, type(None), type(...))
_known = {}  # name → an entry that `ready` or `unpacked` put into the registry, and the digest of what it stands for


def code_of(name: str) -> str | None:
    """A digest of the code of the strategy of this name; None if it is lib's own, whose code is provenance."""
    module = sys.modules.get("lib.acquisition")  # if nothing has loaded it, nobody has registered anything
    held = module.STRATEGIES.get(name) if module else None
    if held is None or held is module.BUILT_IN.get(name):
        return None
    if name in _known and _known[name][0] is held:
        return _known[name][1]
    held = _strategy(name, held)
    return digest([_described(part, ()) for part in (held.score, held.pick)])


def _strategy(name: str, held):
    """An entry of the registry as a Strategy: a function alone is its score. Raises StudyError for anything else."""
    from lib.acquisition import Strategy, highest

    held = held if isinstance(held, Strategy) or not callable(held) else Strategy(name.replace("_", " "), held)
    if isinstance(held, Strategy) and callable(held.pick) and (held.score is None or callable(held.score)):
        if held.score is None and held.pick is not highest:
            raise StudyError(
                f"STRATEGIES[{name!r}] picks but has no score, and without one rows are drawn at random: give it a "
                "score that explorer and figures can show, such as predictive_entropy"
            )
        return held
    raise StudyError(
        f"STRATEGIES[{name!r}] is {held!r}: give a function log_probs_SNC → scores_N, or Strategy(title, score, pick)"
    )


# ---- computing with it


@contextmanager
def ready(name: str) -> Iterator[None]:
    """While the block runs, what the entry of this name scores and picks is checked, if it is somebody's own."""
    from lib.acquisition import BUILT_IN, STRATEGIES

    held = STRATEGIES.get(name)
    if held is None or held is BUILT_IN.get(name):
        yield
        return
    own, code = _strategy(name, held), code_of(name)
    score = own.score and functools.partial(_scores, name, own.score)
    checked = replace(own, score=score, pick=functools.partial(_picks, name, own.pick))
    with _registered({name: (checked, code)}):
        yield
    if code_of(name) != code:
        raise StudyError(
            f"strategy {name!r} uses a value that changed while it picked, and what it uses is part of its runs' key: "
            "keep such a value in a file, or in the function"
        )


@contextmanager
def _registered(entries: dict) -> Iterator[None]:
    """While the block runs, the registry has these: name → strategy, and the digest of its code."""
    from lib.acquisition import STRATEGIES

    before = {name: (STRATEGIES.get(name), _known.get(name)) for name in entries}
    STRATEGIES.update({name: strategy for name, (strategy, _) in entries.items()})
    _known.update(entries)
    try:
        yield
    finally:
        for name, states in before.items():
            for place, state in zip((STRATEGIES, _known), states, strict=True):
                if state is None:
                    place.pop(name, None)
                else:
                    place[name] = state


def _scores(name: str, score, log_probs_SNC):
    """scores_N as a tensor. Raises StudyError if they are not a finite number for each row."""
    import torch

    scores_N = torch.as_tensor(score(log_probs_SNC))
    rows = log_probs_SNC.shape[1]
    if scores_N.shape != (rows,):
        raise StudyError(
            f"strategy {name!r} gives scores of shape {tuple(scores_N.shape)}: give one for each of {rows} rows"
        )
    if not torch.isfinite(scores_N.double()).all():
        raise StudyError(f"strategy {name!r} gives scores that are nan or infinite: give finite numbers")
    return scores_N


def _picks(name: str, pick, scores_N, query: int, *more) -> np.ndarray:
    """Positions. Raises StudyError if they are not `query` different rows of the pool."""
    picks = np.asarray(pick(scores_N, query, *more))
    if picks.shape != (query,) or len({*picks.tolist()} & {*range(len(scores_N))}) < query:
        raise StudyError(
            f"strategy {name!r} picks {picks.tolist()}: give {query} different rows of 0 to {len(scores_N) - 1}"
        )
    return picks


# ---- on Dask workers


def pack(names) -> bytes:
    """Those of these strategies that are somebody's own, with their functions and digests, for `unpacked`.

    Raises StudyError if they cannot be sent.
    """
    import cloudpickle

    own, ours = {}, []
    for name in names:
        if code := code_of(name):
            from lib.acquisition import STRATEGIES

            held = _strategy(name, STRATEGIES[name])
            own[name] = held, code
            ours += [module for part in (held.score, held.pick) if (module := _own_module(part))]
    if not own:
        return b""
    registered = [module for module in dict.fromkeys(ours) if module.__name__ != "__main__"]
    for module in registered:  # workers may not have such a file, or another version of it
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(own)
    except Exception as error:
        raise StudyError(
            f"strategies {', '.join(own)} cannot be sent to Dask workers ({type(error).__name__}: {error}): compute "
            "in this process (--workers 1), or let their functions use plain values"
        ) from error
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)


@contextmanager
def unpacked(packed: bytes) -> Iterator[None]:
    """While the block runs, the registry has what was packed; then it is as before."""
    import cloudpickle

    with _registered(cloudpickle.loads(packed) if packed else {}):
        yield


def _own_module(function) -> types.ModuleType | None:
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    return module if module and _is_own(module) else None


def _is_own(module: types.ModuleType) -> bool:
    """Whether a module is a person's: no part of lib, of Python or of an installed package."""
    if module.__name__ == "__main__":
        return True
    file = getattr(module, "__file__", None)
    return bool(file) and not {FOLDER, *INSTALLED} & set(Path(file).resolve().parents)


# ---- its code


def _described(thing, seen: tuple):
    """A thing that a strategy uses, as JSON: what changes it changes the digest, and nothing else does."""
    if isinstance(thing, PLAIN):
        return repr(thing)
    if id(thing) in seen:
        return "…"
    seen = (*seen, id(thing))
    if isinstance(thing, functools.partial):
        return ["partial", *(_described(part, seen) for part in (thing.func, thing.args, thing.keywords))]
    if isinstance(thing, dict):
        return {"dict": [[_described(key, seen), _described(value, seen)] for key, value in thing.items()]}
    if isinstance(thing, list | tuple):
        return [type(thing).__name__, *(_described(one, seen) for one in thing)]
    if isinstance(thing, set | frozenset):
        return ["set", *sorted(repr(_described(one, seen)) for one in thing)]
    if isinstance(thing, types.ModuleType):
        return [thing.__name__, _source(thing) if _is_own(thing) and thing.__file__ else ""]
    if hasattr(thing, "__array__") and hasattr(thing, "shape"):  # of numpy or torch
        array = np.asarray(thing.detach().cpu() if hasattr(thing, "detach") else thing)
        return ["array", str(array.dtype), list(array.shape), array.tobytes().hex()]
    name = f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"
    if isinstance(thing, types.MethodType):
        return [_described(thing.__func__, seen), _described(thing.__self__, seen)]
    if isinstance(thing, types.FunctionType):
        return _function(thing, seen) if _own_module(thing) else name
    if isinstance(thing, type):
        if not _own_module(thing):
            return name
        return [_described(value, seen) for key, value in sorted(vars(thing).items()) if key not in _NO_CODE]
    return [_described(type(thing), seen), _described(getattr(thing, "__dict__", {}), seen)]


_NO_CODE = ("__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "__static_attributes__")


def _function(function: types.FunctionType, seen: tuple) -> dict:
    tree = _tree(function)
    code = function.__code__
    used = _names(code)
    values = {name: function.__globals__[name] for name in sorted(used) if name in function.__globals__}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        if name in used and cell != types.CellType():
            values[name] = cell.cell_contents
    return {
        "code": written(_Bare().visit(tree)) if tree else _compiled(code),
        "defaults": _described([function.__defaults__, function.__kwdefaults__], seen),
        "uses": [[name, _described(value, seen)] for name, value in values.items()],
    }


def _tree(function: types.FunctionType) -> ast.AST | None:
    """The function as parsed; None if its text is not to be had, or there is more than one of it."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    kind = ast.Lambda if function.__name__ == "<lambda>" else ast.FunctionDef
    found = [node for node in ast.walk(tree) if isinstance(node, kind)]
    found = found if kind is ast.Lambda else found[:1]
    return found[0] if len(found) == 1 else None


def _names(code: types.CodeType) -> set[str]:
    inside = [_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return {*code.co_names, *code.co_freevars}.union(*inside)


def _compiled(code: types.CodeType) -> list:
    constants = [_compiled(one) if isinstance(one, types.CodeType) else repr(one) for one in code.co_consts]
    return [code.co_code.hex(), constants, list(code.co_names)]


def _source(module: types.ModuleType) -> str:
    return written(_Bare().visit(ast.parse(Path(module.__file__).read_text("utf-8"))))


class _Bare(ast.NodeTransformer):
    """Without docstrings."""

    def visit_FunctionDef(self, node):
        node.body = without_docstring(node.body)
        return self.generic_visit(node)
