"""The library over REST: looked at, searched, curated with versions, and no torch for any of it in this process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from workbench.libraries import Libraries
from workbench.log import RunLog

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def row_id(data_dir: Path) -> str:
    with Libraries(data_dir) as libraries:
        concept = {"title": "halving", "kind": "routine", "description": HOSTILE, "cues": ["a sorted list"]}
        return libraries.concepts.add(concept).id


async def get(fetch: Any, *path: str, **params: str) -> Any:
    return json.loads((await fetch("workbench", "api", "library", *path, params=params)).body)


async def post(fetch: Any, *path: str, key: str = "", **body: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    reply = await fetch("workbench", "api", "library", *path, method="POST", body=json.dumps(body), headers=headers)
    return json.loads(reply.body)


async def test_rows_are_listed_and_found_by_words_with_the_reason(jp_fetch: Any, log: RunLog) -> None:
    listed = await get(jp_fetch, "tools", limit="5")
    assert len(listed["rows"]) == 5
    found = await get(jp_fetch, "tools", search="greatest common")
    assert "gcd" in [row["name"] for row in found["rows"]]
    assert found["by"] == "words"
    assert all(row["why"]["exemplar"] == "greatest common" for row in found["rows"])
    assert (await get(jp_fetch, "tools", search="no such words anywhere"))["rows"] == []


async def test_a_proposed_concept_is_shown_edited_approved_and_retired(jp_fetch: Any, row_id: str) -> None:
    (row,) = (await get(jp_fetch, "concepts", state="proposed"))["rows"]
    assert row["id"] == row_id
    shown = await get(jp_fetch, "concepts", row_id)
    assert HOSTILE in shown["row"]["text"]
    edited = shown["row"]["text"].replace("a sorted list", "a list in order")
    done = await post(jp_fetch, "concepts", row_id, verb="edit", text=edited, expected_version=1)
    assert done["row"]["version"] == 2
    approved = await post(jp_fetch, "concepts", row_id, key="a", verb="approve", expected_version=2)
    again = await post(jp_fetch, "concepts", row_id, key="a", verb="approve", expected_version=2)
    assert approved == again
    assert approved["row"]["state"] == "active"
    assert any("a list in order" in line for line in (await get(jp_fetch, "concepts", row_id))["history"][1]["diff"])
    assert (await post(jp_fetch, "concepts", row_id, verb="retire"))["row"]["state"] == "retired"


async def test_a_change_is_taken_back_by_its_entry(jp_fetch: Any, row_id: str) -> None:
    approved = await post(jp_fetch, "concepts", row_id, verb="approve", expected_version=1)
    undone = await post(jp_fetch, "concepts", row_id, verb="undo", entry=approved["entry"])
    assert undone["row"]["state"] == "proposed"
    for entry in (approved["entry"], 999, "1", None):
        with pytest.raises(HTTPClientError) as refused:
            await post(jp_fetch, "concepts", row_id, verb="undo", entry=entry)
        assert refused.value.code in (400, 404)


async def test_a_change_to_a_row_that_has_moved_on_is_refused(jp_fetch: Any, row_id: str) -> None:
    await post(jp_fetch, "concepts", row_id, verb="approve", expected_version=1)
    for body, code in (
        ({"verb": "retire", "expected_version": 1}, 409),
        ({"verb": "fly"}, 400),
        ({"verb": "edit", "text": "no: [yaml"}, 400),
        ({"verb": "approve"}, 400),
    ):
        with pytest.raises(HTTPClientError) as refused:
            await post(jp_fetch, "concepts", row_id, **body)
        assert refused.value.code == code, body
        assert json.loads(refused.value.response.body)["message"].endswith(".")
    with pytest.raises(HTTPClientError) as refused:
        await get(jp_fetch, "concepts", "concept-unknown")
    assert refused.value.code == 404


async def test_a_tool_is_tried_on_its_examples(jp_fetch: Any, log: RunLog) -> None:
    (gcd,) = [row for row in (await get(jp_fetch, "tools", search="gcd"))["rows"] if row["name"] == "gcd"]
    tried = await post(jp_fetch, "tools", gcd["id"], verb="try")
    assert tried["passed"]
    assert tried["calls"]


def test_the_server_loads_no_torch() -> None:
    code = "import sys, workbench.server.routes; print([m for m in sys.modules if m in ('torch', 'transformers')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
