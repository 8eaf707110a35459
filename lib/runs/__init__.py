"""What is computed and kept: the store, published studies, sweeps of many runs, their state and checks."""

from lib.runs.compute import sweep

__all__ = ["sweep"]
