"""What the benchmark measures: each function times a part of the study in turns with what it is compared with."""

from lib.benchmark import encoding, runs, scoring, training

# name → measurement: Bench → rows of the table
MEASUREMENTS = {
    "encode": encoding.encode,
    "bald_50": lambda bench: scoring.bald(bench, 50, "≤ 1.05 ×"),
    "bald_1000": lambda bench: scoring.bald(bench, 1000, "≤ 1.6 ×"),
    "full_passes": scoring.full_passes,
    "fine_tuning": training.fine_tuning,
    "later_rounds": scoring.later_rounds,
    "pool_4000": lambda bench: scoring.pool(bench, 1),
    "pool_20000": lambda bench: scoring.pool(bench, 5),
    "pool_80000": lambda bench: scoring.pool(bench, 20),
    "start": training.start,
    "processes": training.processes,
    "sweep": runs.sweep_of_twelve,
    "precision": scoring.precision,
    "redraw": runs.redraw,
    "whole_run": runs.whole_run,
}
