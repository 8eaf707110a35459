"""What a run leaves: its place, its code's and machine's description, a published study."""

from lib.store.results import Run, load

__all__ = ["Run", "load"]
