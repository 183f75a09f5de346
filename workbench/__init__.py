"""The workbench: several LLM workers on one shared KV cache, started, watched and kept from Python or a terminal.

from workbench import Workbench

wb = Workbench(workers=2)
run = wb.run("1. What is the gcd of 48 and 36?")
print(run.answer)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.rooms import check_rooms

if TYPE_CHECKING:
    from workbench.breakpoints import Breakpoint
    from workbench.session import Run, Workbench
    from workbench.worker_settings import Worker

check_rooms()

import hogwild  # noqa: E402, F401 - says how threads wait, before anybody imports torch

__all__ = ["Breakpoint", "Run", "Workbench", "Worker"]


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext workbench`: cells that begin with `%%workbench` are tasks."""
    from workbench.magic import register

    register(shell)


def __getattr__(name: str) -> Any:
    # Imported when first asked for: `workbench.log` alone must not cost a second.
    if name in __all__:
        from workbench import session

        return getattr(session, name)
    raise AttributeError(f"module 'workbench' has no attribute '{name}'")
