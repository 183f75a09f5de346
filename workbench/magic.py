"""`%%workbench` in a notebook: a cell that is a task. Its output is the run, live, and a variable holds it.

    %load_ext workbench

    %%workbench --workers 3 --tools builtin,double
    1. What is 15 percent of {price}?
    2. What is double 21?

In: a cell's text and options. Out: a `Run`. `{name}` stands for a variable of the notebook; braces around anything else
stay as they are. Neighbours: `session` does the work; `workbench.load_ipython_extension` hangs this in.
"""

# mypy: disable-error-code="no-untyped-call, untyped-decorator"
# (IPython's decorators are not typed)

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from IPython.core.error import UsageError as Refused
from IPython.core.magic import register_line_cell_magic
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from memory.errors import LibraryError
from toolsets.errors import ToolsetError
from workbench.breakpoints import of_options
from workbench.errors import UsageError, WorkbenchError
from workbench.worker_settings import of_options as of_worker_options

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from workbench.session import Run, Workbench

_NAMED: Final = re.compile(r"\{([A-Za-z_]\w*)\}")
_SETTINGS: Final = ("workers", "layout", "temperature", "seed", "max_tokens", "memory")


class Benches:
    """The workbenches that cells of one notebook use: one for each model and choice of tools, made when first asked
    for, because the model stays loaded in it."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names
        self._made: dict[tuple[str, tuple[tuple[str, int], ...]], Workbench] = {}

    def named(self, name: str) -> Workbench:
        """A workbench of the notebook itself."""
        from workbench.session import Workbench

        found = self._names.get(name)
        if not isinstance(found, Workbench):
            raise UsageError(f"{name} is no Workbench of this notebook: make one, such as {name} = Workbench().")
        return found

    def of(self, model: str, tools: str) -> Workbench:
        """tools: names with commas; a function of the notebook comes before a tool of the same name."""
        from workbench.session import Workbench

        given = [self._tool(name.strip()) for name in tools.split(",") if name.strip()]
        key = model, tuple((str(one), id(one)) if callable(one) else (one, 0) for one in given)
        if key not in self._made:
            self._made[key] = Workbench(model, tools=given or None)
        return self._made[key]

    def _tool(self, name: str) -> Any:
        found = self._names.get(name)
        return found if callable(found) else name


def filled(text: str, names: dict[str, Any]) -> str:
    """The text with variables in the place of `{name}`, once: what a variable holds is not read again."""
    return _NAMED.sub(lambda found: str(names[found[1]]) if found[1] in names else found[0], text)


def register(shell: InteractiveShell) -> None:
    """Hang `%workbench` and `%%workbench` into this notebook."""
    names = shell.user_ns
    benches = Benches(names)

    @magic_arguments()
    @argument("-n", "--workers", type=int, help="How many, 1 to 8.")
    @argument("--worker", action="append", help="One of them, such as Alice:temperature=0.2,tools=gcd+add.")
    @argument("--layout", help="contiguous, interleaved, combined or independent.")
    @argument("-m", "--model", default="embedded", help="embedded, a model directory, or a hub id.")
    @argument("--tools", default="", help="Names with commas: functions of this notebook, or tools of the workbench.")
    @argument("--temperature", type=float, help="0 is greedy.")
    @argument("--seed", type=int, help="Of what is random, where the temperature is not 0.")
    @argument("--max-tokens", type=int, help="Tokens per worker.")
    @argument("--memory", help="none, fixed or continual: what a run knows of the library.")
    @argument("--answer", help="Its form: int, number, bool, text, date, or a variable with a type or a JSON Schema.")
    @argument("--break-before", action="append", help="Pause before a call of this tool; *: of any.")
    @argument("--break-at-step", action="append", type=int, help="Pause once that step is done.")
    @argument("--break-on", action="append", help="Pause when a worker writes this text; /.../: a pattern.")
    @argument("--break-at-end", action="store_true", help="Pause when a worker has ended its turn.")
    @argument("--bench", default="", help="A Workbench of this notebook, in the place of --model and --tools.")
    @argument("--as", dest="variable", default="run", help="The variable that will hold the run.")
    @argument("task", nargs="*", help="The task, for %%workbench in one line; {name} is a variable of the notebook.")
    def workbench(line: str, cell: str | None = None) -> Run:
        """Let several workers solve the task in this cell; the run is shown live, and kept in a variable."""
        given = parse_argstring(workbench, line)
        try:
            return _begin(benches, names, given, cell)
        except (WorkbenchError, ToolsetError, LibraryError) as error:
            raise Refused(str(error)) from None

    register_line_cell_magic(workbench)


def _begin(benches: Benches, names: dict[str, Any], given: Any, cell: str | None) -> Run:
    if not given.variable.isidentifier():
        raise UsageError(f"--as takes the name of a variable; {given.variable!r} is none.")
    if cell is not None and given.task:
        raise UsageError(f"The task stands in the cell: {given.task[0]!r} is no option (see %%workbench?).")
    bench = benches.named(given.bench) if given.bench else benches.of(given.model, given.tools)
    chosen: dict[str, Any] = {name: value for name in _SETTINGS if (value := getattr(given, name)) is not None}
    if given.answer is not None:
        chosen["answer"] = names.get(given.answer, given.answer)
    if given.worker:
        chosen["workers"] = of_worker_options(given.worker, given.workers)
    chosen["break_at"] = of_options(given.break_before, given.break_at_step, given.break_on, given.break_at_end)
    run = bench.run(filled(" ".join(given.task) if cell is None else cell, names), **chosen)
    names[given.variable] = run
    return run
