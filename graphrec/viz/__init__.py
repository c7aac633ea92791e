"""Pictures of structures and of their schedules; needs matplotlib, which is imported when something is drawn.

The extra `viz` installs it: `pip install 'graphrec[viz]'`.

Belongs here: where nodes are placed, and how they are drawn. Does not: data sets, models, whole figures.
"""

from .draw import draw_schedule, draw_tree
from .layout import layered, place, tidy

__all__ = ["draw_schedule", "draw_tree", "layered", "place", "tidy"]
