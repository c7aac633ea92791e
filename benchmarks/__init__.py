"""How fast graphrec is: against its peers on trees, and against its own promise of linear cost.

Run `python -m benchmarks`. Nothing here is imported by the library or its tests.
"""
