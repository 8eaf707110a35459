"""Many runs: compute and resume them, say what is there, verify it."""

from lib.sweeps.compute import sweep

__all__ = ["sweep"]
