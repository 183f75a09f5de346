"""What the command line complains of: one line each, on the error output.

In: an error's or a warning's sentence, which may quote what a file, a model or a server says. Out: the line, with
nothing in it that a terminal would act upon. Neighbours: `cli` puts both to use.
"""

import sys
import warnings
from typing import Any

from workbench.visible import visible


def complain(what: object) -> None:
    print(visible(f"workbench: {what}"), file=sys.stderr)


def warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """In the place of `warnings.showwarning`: a sentence to the person, without Python's note of where it was said."""
    if category is UserWarning:
        complain(message)
    else:
        print(visible(warnings.formatwarning(message, category, filename, lineno, line)), end="", file=sys.stderr)
