"""The explorer: what BALD sees, live in JupyterLab, and as a table wherever there is no kernel."""

from lib.explorer.data import pair
from lib.explorer.widget import Explorer

__all__ = ["Explorer", "pair"]
