"""Labelling one's own rows by active learning: notebook 07."""

from lib.labelling.state import Labelling, kappa, output_folder, recipe

__all__ = ["Labelling", "kappa", "output_folder", "recipe"]
