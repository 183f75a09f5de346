"""Who is let in: no token, no access; no XSRF token, no change; no foreign page, no socket."""

import json
from typing import Any

import pytest
from jupyter_server.auth.authorizer import Authorizer
from recorded import record
from staged_runs import worksheet
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from workbench.log import RunLog

READS = [
    ("status",),
    ("models",),
    ("runs",),
    ("runs", "some-run"),
    ("runs", "some-run", "log"),
    ("runs", "some-run", "events"),
]


@pytest.mark.parametrize("path", READS, ids="/".join)
async def test_without_a_token_nothing_is_read(jp_fetch: Any, path: tuple[str, ...]) -> None:
    with pytest.raises(HTTPClientError) as refused:
        await jp_fetch("workbench", "api", *path, headers={"Authorization": ""})
    assert refused.value.code == 403


async def test_a_socket_without_a_token_is_refused(jp_fetch: Any, jp_http_port: int, jp_base_url: str) -> None:
    url = f"ws://127.0.0.1:{jp_http_port}{jp_base_url}workbench/api/runs/some-run/events"
    with pytest.raises(HTTPClientError) as refused:
        await websocket_connect(url)
    assert refused.value.code == 403


async def test_a_socket_from_another_page_is_refused(
    jp_fetch: Any, jp_http_port: int, jp_base_url: str, log: RunLog
) -> None:
    run_id = record(log, worksheet())
    reply = await jp_fetch("workbench", "api", "runs")  # a browser that is logged in: it sends its cookie on its own
    cookie = "; ".join(one.split(";")[0] for one in reply.headers.get_list("Set-Cookie"))
    url = f"ws://127.0.0.1:{jp_http_port}{jp_base_url}workbench/api/runs/{run_id}/events"
    with pytest.raises(HTTPClientError) as refused:
        await websocket_connect(HTTPRequest(url, headers={"Cookie": cookie, "Origin": "https://elsewhere.example"}))
    assert refused.value.code == 403
    own = await websocket_connect(
        HTTPRequest(url, headers={"Cookie": cookie, "Origin": f"http://127.0.0.1:{jp_http_port}"})
    )
    own.close()


CHANGES = [
    ("engine",),
    ("library", "tools", "some-row"),
    ("runs",),
    ("runs", "some-run", "control"),
    ("runs", "some-run", "export"),
]


@pytest.mark.parametrize("path", CHANGES, ids="/".join)
async def test_without_a_token_or_from_a_foreign_page_nothing_is_changed(jp_fetch: Any, path: tuple[str, ...]) -> None:
    reply = await jp_fetch("workbench", "api", "runs")
    cookie = "; ".join(one.split(";")[0] for one in reply.headers.get_list("Set-Cookie"))
    for headers in ({"Authorization": ""}, {"Authorization": "", "Cookie": cookie}):  # the latter lacks the XSRF token
        with pytest.raises(HTTPClientError) as refused:
            await jp_fetch("workbench", "api", *path, method="POST", body="{}", headers=headers)
        assert refused.value.code == 403


class Nobody(Authorizer):
    """Lets nobody do anything with the workbench."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return resource != "workbench"


@pytest.fixture
def strict(jp_serverapp: Any) -> Any:
    jp_serverapp.web_app.settings["authorizer"] = Nobody(parent=jp_serverapp)
    return jp_serverapp


@pytest.mark.parametrize("path", READS[:6], ids="/".join)
async def test_a_user_who_may_not_is_refused(strict: Any, jp_fetch: Any, path: tuple[str, ...]) -> None:
    with pytest.raises(HTTPClientError) as refused:
        await jp_fetch("workbench", "api", *path)
    assert refused.value.code == 403


async def test_a_user_who_may_not_gets_no_socket(strict: Any, jp_ws_fetch: Any, log: RunLog) -> None:
    run_id = record(log, worksheet())
    with pytest.raises(HTTPClientError) as refused:
        await jp_ws_fetch("workbench", "api", "runs", run_id, "events")
    assert refused.value.code == 403


async def test_an_unknown_run_is_a_sentence(jp_fetch: Any, jp_ws_fetch: Any) -> None:
    with pytest.raises(HTTPClientError) as refused:
        await jp_fetch("workbench", "api", "runs", "some-run", "log")
    assert refused.value.code == 404
    assert json.loads(refused.value.response.body)["code"] == "run_not_found"
    with pytest.raises(HTTPClientError) as refused:
        await jp_ws_fetch("workbench", "api", "runs", "some-run", "events")
    assert refused.value.code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (("runs",), '{"task": ' + "[" * 20_000 + "]" * 20_000 + "}"),
        (("engine",), '{"action": "start", "model": 5}'),
        (("runs", "one", "export"), '{"path": "a\\u0000b.ipynb"}'),
        (("library", "tools", "gcd"), '{"verb": "revert", "version": "x"}'),
    ],
    ids=["deep", "model", "path", "version"],
)
async def test_a_request_that_makes_no_sense_is_a_sentence_and_no_fault_of_the_server(
    path: tuple[str, ...], body: str, jp_fetch: Any, log: RunLog
) -> None:
    record(log, worksheet(), "one")
    with pytest.raises(HTTPClientError) as refused:
        await jp_fetch("workbench", "api", *path, method="POST", body=body)
    assert refused.value.code == 400
    assert json.loads(refused.value.response.body)["code"] == "usage"
