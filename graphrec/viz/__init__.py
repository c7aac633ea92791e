"""Pictures of structures, of their schedules, and of gradients over distance; runs as pages.

Pictures need matplotlib, which is imported when something is drawn. The extra `viz` installs it, in a
checkout `pip install '.[viz]'`. Pages (`html`) need nothing.

Belongs here: where nodes are placed, and how they are drawn. Does not: data sets, models, whole figures.
"""

from .draw import draw_schedule, draw_tree
from .gradient_flow import draw_gradient_flow, gradient_flow
from .layout import layered, place, tidy
from .pages import Page, html

__all__ = [
    "Page",
    "html",
    "draw_gradient_flow",
    "draw_schedule",
    "draw_tree",
    "gradient_flow",
    "layered",
    "place",
    "tidy",
]
