"""Labelling one's own rows by active learning: notebook 07."""

from lib.labelling.chooser import recipe
from lib.labelling.state import Labelling, kappa, output_folder

__all__ = ["Labelling", "kappa", "output_folder", "recipe"]
