"""Pictures of runs, made of nothing but what the runs have written down.

Words: a **band** is a line with the lowest and highest around it; a chart's **notes** stand below its
title.
"""

from skerry_train.chart.files import COMPARISON, PAGE, draw, draw_comparison, drawn
from skerry_train.chart.page import figures
from skerry_train.chart.single import CHARTS

__all__ = ["CHARTS", "COMPARISON", "PAGE", "draw", "draw_comparison", "drawn", "figures"]
