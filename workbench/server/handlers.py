"""REST handlers: each reads its request, asks the desk, and answers with JSON.

Every one of them is authenticated, authorised for the resource `workbench`, and checked for XSRF where it changes
anything. An error is an HTTP status and {message: one sentence, code}. Neighbours: `routes` mounts them, `desk` works.
"""

# mypy: disable-error-code="untyped-decorator"
# (jupyter_server's and tornado's decorators are not typed)
from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError, authenticated

from workbench.errors import UsageError
from workbench.models import EMBEDDED
from workbench.server.desk import OURS, Desk, explained, row

_NUMBER = re.compile("[0-9a-f]{32}")
MOST_ROWS = 500
MOST_EVENTS = 5000
FORMS = ("ipynb", "html", "json")
"""As what a run can be exported: a notebook, a page, an OpenTelemetry trace."""


class WorkbenchHandler(APIHandler):
    """What all handlers here have in common."""

    auth_resource = "workbench"

    @property
    def desk(self) -> Desk:
        desk: Desk = self.settings["workbench_desk"]
        return desk

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, OURS):
            status, code = explained(error)
            self.set_status(status)
            message = str(error)
        else:
            code = "not_found" if status_code == 404 else "refused" if status_code < 500 else "failed"
            message = (error.log_message if isinstance(error, HTTPError) else None) or self._reason
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"message": message, "code": code}))

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, OURS):  # a sentence for a person, not a bug
            self.log.info("workbench: %s", error)
        else:
            super().log_exception(kind, error, trace)

    def body(self) -> dict[str, Any]:
        """The request's JSON object; raises UsageError."""
        try:
            given = json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError) as error:
            raise UsageError("The request is not JSON: send one JSON object.") from error
        if not isinstance(given, dict):
            raise UsageError("The request must be one JSON object.")
        return given

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number from the query, between 0 and `most`; raises UsageError."""
        text = self.get_query_argument(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise UsageError(f"{name} must be a whole number of at least 0; it is {text!r}.")
        return min(int(text), most)

    def key(self) -> str:
        """The request's idempotency key; one of ours where it has none."""
        return self.request.headers.get("Idempotency-Key", "")[:200] or uuid.uuid4().hex

    def answer(self, value: Any, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(value if isinstance(value, str) else json.dumps(value))


class RunsHandler(WorkbenchHandler):
    """The list of runs."""

    @authenticated
    @authorized
    async def get(self) -> None:
        search, before = self.get_query_argument("search", ""), self.get_query_argument("before", None)
        limit = max(1, self.number("limit", 50, MOST_ROWS))
        self.answer(await self.desk.reading(self.desk.rows, search, limit, before))

    @authenticated
    @authorized
    async def post(self) -> None:
        given = self.body()
        settings = given.get("settings") or {}
        if not isinstance(settings, dict):
            raise UsageError("A run's settings must be one JSON object.")
        self.answer(
            await self.desk.reading(self.desk.start_run, given.get("task", ""), settings, self.key()), status=201
        )


class StatusHandler(WorkbenchHandler):
    """The version, and how the engine is."""

    @authenticated
    @authorized
    async def get(self) -> None:
        self.answer(await self.desk.reading(self.desk.status))


class EngineHandler(WorkbenchHandler):
    """Starting and ending the engine."""

    @authenticated
    @authorized
    async def post(self) -> None:
        given = self.body()
        action, model = str(given.get("action", "")), given.get("model") or ""
        if not isinstance(model, str):
            raise UsageError(f"model must be a name, as text; it is {model!r:.60}.")
        self.answer(await self.desk.reading(self.desk.command_engine, action, model))


class ModelsHandler(WorkbenchHandler):
    """The models at hand; any directory and any hub id is one, too."""

    @authenticated
    @authorized
    async def get(self) -> None:
        self.answer([{"name": EMBEDDED, "kind": "embedded"}])


def _name_of(user: Any) -> str:
    """Who steers, for the log: the name of an account; whoever has only a token is given a number for one."""
    return str(user.display_name if _NUMBER.fullmatch(user.username) and user.display_name else user.username)


class ControlHandler(WorkbenchHandler):
    """Commands to a run that goes on."""

    @authenticated
    @authorized
    async def post(self, run_id: str) -> None:
        given = self.body()
        command, by, key = str(given.pop("command", "")), _name_of(self.current_user), self.key()
        told = await self.desk.reading(self.desk.control, run_id, command, given, key, by)
        self.answer({"key": key, "accepted": True, **told}, status=202)


class ForkHandler(WorkbenchHandler):
    """A run that begins with another's past."""

    @authenticated
    @authorized
    async def post(self, run_id: str) -> None:
        self.answer(await self.desk.reading(self.desk.fork, run_id, self.body(), self.key()), status=201)


class ResumeHandler(WorkbenchHandler):
    """An interrupted run goes on."""

    @authenticated
    @authorized
    async def post(self, run_id: str) -> None:
        self.answer(await self.desk.reading(self.desk.resume, run_id, self.key()), status=201)


class CompareHandler(WorkbenchHandler):
    """Two runs side by side."""

    @authenticated
    @authorized
    async def get(self) -> None:
        a, b = self.get_query_argument("a", ""), self.get_query_argument("b", "")
        self.answer(await self.desk.reading(self.desk.compare, a, b))


class ProveHandler(WorkbenchHandler):
    """A run replayed, token by token."""

    @authenticated
    @authorized
    async def post(self, run_id: str) -> None:
        self.answer(await self.desk.reading(self.desk.prove, run_id))


class ExportHandler(WorkbenchHandler):
    """A run as a notebook, a page or a trace, under the folder that the server shows."""

    @authenticated
    @authorized
    async def post(self, run_id: str) -> None:
        given = self.body()
        form = str(given.get("format", "ipynb"))
        if form not in FORMS:
            raise UsageError(f"A run is exported as {', '.join(FORMS[:-1])} or {FORMS[-1]}; not as {form!r}.")
        root = Path(self.settings.get("server_root_dir") or ".").expanduser().resolve()
        name = str(given.get("path") or f"run-{run_id}.{form}")
        if "\0" in name:  # asking where it lies would be an error already
            raise UsageError("The path holds a null character, which no file's name can have: choose another one.")
        path = (root / name.lstrip("/")).resolve()
        if not path.is_relative_to(root) or path.suffix != f".{form}":
            raise UsageError(f"The path must end in .{form} and lie in the folder that JupyterLab shows.")
        written = await self.desk.reading(self.desk.export, run_id, path)
        self.answer({"path": written.relative_to(root).as_posix()})


class PictureHandler(WorkbenchHandler):
    """What a notebook shows of a run where nothing is live, as it is now."""

    @authenticated
    @authorized
    async def get(self, run_id: str) -> None:
        self.answer(await self.desk.reading(self.desk.picture, run_id))


class LibraryHandler(WorkbenchHandler):
    """The rows of one kind."""

    @authenticated
    @authorized
    async def get(self, kind: str) -> None:
        search, state = self.get_query_argument("search", ""), self.get_query_argument("state", "")
        limit = max(1, self.number("limit", 100, MOST_ROWS))
        self.answer(await self.desk.reading(self.desk.library.rows, kind, search, state, limit))


class LibraryRowHandler(WorkbenchHandler):
    """One row, and what is done to it."""

    @authenticated
    @authorized
    async def get(self, kind: str, row_id: str) -> None:
        self.answer(await self.desk.reading(self.desk.library.show, kind, row_id))

    @authenticated
    @authorized
    async def post(self, kind: str, row_id: str) -> None:
        self.answer(await self.desk.reading(self.desk.library.act, kind, row_id, self.body(), self.key()))


class RunHandler(WorkbenchHandler):
    """One run."""

    @authenticated
    @authorized
    async def get(self, run_id: str) -> None:
        found = await self.desk.reading(lambda: self.desk.log.summary(run_id))
        self.answer(
            {
                "frame": "hello",
                "run_id": run_id,
                "since": 0,
                "last_seq": found.events,
                "live": found.status == "running",
                "run": row(found),
                "snapshot": None,
            }
        )

    @authenticated
    @authorized
    async def delete(self, run_id: str) -> None:
        await self.desk.reading(lambda: self.desk.log.delete(run_id))
        self.set_status(204)
        self.finish()


class LogHandler(WorkbenchHandler):
    """A run's events by number, for those who cannot hold a WebSocket open."""

    @authenticated
    @authorized
    async def get(self, run_id: str) -> None:
        since, limit = self.number("since", 0, 1 << 53), max(1, self.number("limit", MOST_EVENTS, MOST_EVENTS))
        self.answer(await self.desk.reading(self._page, run_id, since, limit))

    def _page(self, run_id: str, since: int, limit: int) -> str:
        tail = self.desk.log.tail(run_id, since)
        try:
            page = tail.read(limit)
        finally:
            tail.close()
        head = {"last_seq": page.last_seq, "live": page.live, "status": page.status}
        return f'{{"events":[{",".join(page.events)}],{json.dumps(head)[1:]}'
