"""Labelling one's own rows by active learning: notebook 07."""

from lib.data import own_rows
from lib.labelling.chooser import recipe
from lib.labelling.state import Labelling, kappa, output_folder

__all__ = ["Labelling", "kappa", "output_folder", "own_rows", "recipe"]
