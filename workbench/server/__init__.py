"""The Jupyter server extension: runs, their events and the engine, over REST and WebSockets. See docs/protocol.md.

In: requests of the side bar, the panel and scripts. Out: JSON. Importing this costs a few milliseconds and brings no
torch into the Jupyter server; models live in the engine's own process. Neighbours: `workbench.log` is read,
`workbench.engine` is commanded; the view core in `workbench/ui` speaks this protocol.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "workbench.server"}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    from workbench.engine.client import WISH
    from workbench.server.routes import add_handlers

    os.environ.setdefault(WISH, "process")  # for the kernels that this server starts
    add_handlers(app)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    from pathlib import Path

    built = Path(__file__).parent.parent / "labextension"
    return [{"src": str(built), "dest": "agent-workbench"}] if built.is_dir() else []
