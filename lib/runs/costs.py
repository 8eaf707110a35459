"""In which order runs are computed, and how long that takes."""

from pathlib import Path

from lib.protocol import Protocol
from lib.runs import results
from lib.runs.results import Run


def plan(protocols: list[Protocol], store=results.STORE) -> list[Run]:
    """Each run once, the most expensive first, so that workers end at about the same time."""
    runs = {run.name: run for run in (Run(protocol, Path(store)) for protocol in protocols)}
    return sorted(runs.values(), key=lambda run: cost(run.protocol), reverse=True)


def cost(protocol: Protocol) -> int:
    """Rows that pass through the encoder, a backward pass counted as two: a measure of time within one task."""
    p = protocol
    trained = sum(p.start + p.query * round_ for round_ in range(p.rounds + 1)) * p.epochs * 3
    evaluated = (p.validation_rows or 5000) * (p.rounds + 1)
    scored = 0 if p.strategy == "random" else p.pool * p.rounds
    return trained + evaluated + scored


def say_time(seconds: float) -> str:
    """'40 s', '12 min', '3.5 h'"""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
