"""Data made for the examples: sequences and formulas that are drawn, and Python code as it lies on the machine.

Belongs here: data sets and generators that examples share. Does not: readers of published corpora (graphrec.datasets).
An example, which is run as a script, imports them as `from data.tomita import Tomita`.
"""
