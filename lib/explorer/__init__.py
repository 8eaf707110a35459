"""The explorer: what BALD sees, live in JupyterLab, and as a table wherever there is no kernel."""

from lib.explorer.data import pair
from lib.explorer.widget import Explorer, of_runs

__all__ = ["Explorer", "of_runs", "pair"]
