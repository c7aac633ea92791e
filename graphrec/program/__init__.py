"""A cell recorded as a small program over rows of nodes and of edges, with a reverse derived from it.

Belongs here: recording, the program's values, their derivatives, what must be kept. Does not: who runs a program
(backends), schedules.
"""
