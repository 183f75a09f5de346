"""Memory: the library store (rows in SQLite, vectors beside them) and the concepts that runs teach.

In comes what a finished run taught, out go the tools and concepts that fit a new task. Neighbours: `workbench` shows
and curates them, `toolsets` keeps its tools in the store. Nothing lives here yet: the name is held so that the
direction of imports can be checked from the start.
"""
