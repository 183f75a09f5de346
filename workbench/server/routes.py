"""Where the handlers stand: everything under the server's base_url + workbench/api/.

In: the Jupyter server. Out: its routes. Neighbours: `handlers`, `stream`, `desk`.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_server.utils import url_path_join

from workbench.server.desk import Desk
from workbench.server.handlers import (
    CompareHandler,
    ControlHandler,
    EngineHandler,
    ExportHandler,
    ForkHandler,
    LibraryHandler,
    LibraryRowHandler,
    LogHandler,
    ModelsHandler,
    PictureHandler,
    ProveHandler,
    ResumeHandler,
    RunHandler,
    RunsHandler,
    StatusHandler,
)
from workbench.server.stream import EventsSocket

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

KIND = "(?P<kind>tools|concepts)"
RUN = r"(?P<run_id>[A-Za-z0-9][A-Za-z0-9._-]{0,99})"


def add_handlers(app: ServerApp) -> None:
    """Mount the extension on the server."""
    app.web_app.settings["workbench_desk"] = Desk()
    base = url_path_join(app.web_app.settings["base_url"], "workbench", "api")
    routes = [
        ("status", StatusHandler),
        ("engine", EngineHandler),
        ("models", ModelsHandler),
        ("runs", RunsHandler),
        ("runs/compare", CompareHandler),
        (f"library/{KIND}", LibraryHandler),
        (f"library/{KIND}/(?P<row_id>[A-Za-z0-9._-]{{1,100}})", LibraryRowHandler),
        (f"runs/{RUN}", RunHandler),
        (f"runs/{RUN}/log", LogHandler),
        (f"runs/{RUN}/events", EventsSocket),
        (f"runs/{RUN}/control", ControlHandler),
        (f"runs/{RUN}/export", ExportHandler),
        (f"runs/{RUN}/picture", PictureHandler),
        (f"runs/{RUN}/prove", ProveHandler),
        (f"runs/{RUN}/fork", ForkHandler),
        (f"runs/{RUN}/resume", ResumeHandler),
    ]
    app.web_app.add_handlers(".*$", [(url_path_join(base, path), handler) for path, handler in routes])
