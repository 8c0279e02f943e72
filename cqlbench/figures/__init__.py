"""From a suite's statistics tables to its figures, each as SVG, PDF and PNG with its data beside it as CSV.

A figure reads tables and never computes one. Scores are stored 0-1 and drawn x100. The bytes depend on the tables
only: no date, no random ids.
"""

from cqlbench.figures.draw import FOLDER, draw_figures, figure_names
from cqlbench.figures.pages import PAGES, SUFFIXES

__all__ = ["FOLDER", "PAGES", "SUFFIXES", "draw_figures", "figure_names"]
