"""Tools made of runs, without any model: what recurs in the plans of solved runs becomes a composite tool.

In: the calls of runs with their values (`Trace`), and the tools that were called. Out: `Induced` composites, checked
against every run that they come from, to be proposed to a person.

    traces      calls with values, as plain data
    flow        which argument came from which result
    fragments   the sub-DAGs of a plan, and which of them have the same shape
    generalise  anti-unification: one composite of several instances
    naming      a name and a docstring for people and for retrieval
    induce      all of it, chosen by minimum description length and checked by running again
    proposing   composites as proposed rows of a library

Neighbours: `composites` is what comes out; `workbench` makes the traces from the run log. Pure, except for the calls of
tools in `induce`.
"""

from toolsets.induction.induce import Induced, induce
from toolsets.induction.proposing import propose
from toolsets.induction.traces import Trace, TracedCall

__all__ = ["Induced", "Trace", "TracedCall", "induce", "propose"]
