"""Runs leave as notebooks and pages, under the folder that JupyterLab shows and nowhere else."""

import json
from pathlib import Path
from typing import Any

import pytest
from recorded import record
from staged_runs import worksheet
from tornado.httpclient import HTTPClientError

from workbench.log import RunLog


async def export(fetch: Any, run_id: str, **body: str) -> str:
    reply = await fetch("workbench", "api", "runs", run_id, "export", method="POST", body=json.dumps(body))
    return str(json.loads(reply.body)["path"])


async def test_a_run_is_written_beside_what_is_there_already(jp_fetch: Any, jp_root_dir: Path, log: RunLog) -> None:
    run_id = record(log, worksheet(), "one")
    first = await export(jp_fetch, run_id)
    second = await export(jp_fetch, run_id, format="ipynb")
    assert (first, second) == ("run-one.ipynb", "run-one-2.ipynb")
    assert json.loads((jp_root_dir / first).read_text())["nbformat"] == 4
    assert (jp_root_dir / await export(jp_fetch, run_id, format="html")).read_text().startswith("<!")
    trace = await export(jp_fetch, run_id, format="json")
    assert trace == "run-one.json"
    assert json.loads((jp_root_dir / trace).read_text())["resourceSpans"]


async def test_a_run_that_has_ended_is_given_as_the_picture_that_a_notebook_keeps(jp_fetch: Any, log: RunLog) -> None:
    run_id = record(log, worksheet(), "one")
    found = json.loads((await jp_fetch("workbench", "api", "runs", run_id, "picture")).body)
    assert sorted(found) == ["text/html", "text/plain"]
    assert found["text/plain"].startswith("solved")


@pytest.mark.parametrize("body", [{"path": "../out.ipynb"}, {"path": "run.py"}, {"format": "exe"}], ids=str)
async def test_nothing_is_written_elsewhere(
    body: dict[str, str], jp_fetch: Any, jp_root_dir: Path, log: RunLog
) -> None:
    run_id = record(log, worksheet(), "one")
    with pytest.raises(HTTPClientError) as refused:
        await export(jp_fetch, run_id, **body)
    assert refused.value.code == 400
    assert not (jp_root_dir.parent / "out.ipynb").exists()
