"""A strategy that somebody registers: known by its source, which is in its runs' key, checked, and sent to workers.

One entry is enough, in a notebook or a script: STRATEGIES["mine"] = Strategy("my score", my_score), or my_score alone.
The source is that of its functions. A value from outside that they use is not seen: whoever changes such a value, or
has a function without a source, gives the strategy a version: Strategy("my score", my_score, version="2").
"""

import functools
import inspect
import sys
import sysconfig
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from lib.errors import StudyError
from lib.method.acquisition import BUILT_IN, STRATEGIES, Strategy, highest
from lib.protocol import digest

LIB = Path(__file__).resolve().parents[1]
INSTALLED = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_known = {}  # name → an entry that `ready` or `unpacked` put into the registry, and the digest of what it stands for


def code_of(name: str) -> str | None:
    """A digest of the source and the version of the strategy of this name; None if it is lib's own."""
    held = STRATEGIES.get(name)
    if held is None or held is BUILT_IN.get(name):
        return None
    if name in _known and _known[name][0] is held:
        return _known[name][1]
    held = _strategy(name, held)
    return digest([held.version, *(_source(part, name, held.version) for part in (held.score, held.pick))])


def _source(function, name: str, version: str) -> str:
    """A function's source, and the values of a functools.partial. Raises StudyError if it has none and no version."""
    if function is None:
        return ""
    if isinstance(function, functools.partial):
        return f"{_source(function.func, name, version)} {function.args} {function.keywords}"
    try:
        return inspect.getsource(function if inspect.isroutine(function) else type(function))
    except (OSError, TypeError) as error:
        if version:
            return ""
        raise StudyError(
            f"strategy {name!r}: Python has no source of {function!r}, by which its runs are known: give a version, as "
            f"in Strategy({name!r}, score, version='1')"
        ) from error


def _strategy(name: str, held):
    """An entry of the registry as a Strategy: a function alone is its score. Raises StudyError for anything else."""
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
    held = STRATEGIES.get(name)
    if held is None or held is BUILT_IN.get(name):
        yield
        return
    own, code = _strategy(name, held), code_of(name)
    score = own.score and functools.partial(_scores, name, own.score)
    checked = replace(own, score=score, pick=functools.partial(_picks, name, own.pick))
    with _registered({name: (checked, code)}):
        yield


@contextmanager
def _registered(entries: dict) -> Iterator[None]:
    """While the block runs, the registry has these: name → strategy, and the digest of its code."""
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
    return bool(file) and not {LIB, *INSTALLED} & set(Path(file).resolve().parents)
