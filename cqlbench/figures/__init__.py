"""From a suite's statistics tables to its figures, each as SVG and PNG. A figure reads tables and never computes one.

Scores are stored 0-1 and drawn x100. The bytes depend on the tables only: no date, no random ids.
"""

from cqlbench.figures.draw import FOLDER, SUFFIXES, draw_figures, figure_names

__all__ = ["FOLDER", "SUFFIXES", "draw_figures", "figure_names"]
