"""The recorded run that exports carry: complete, private, harmless, and shown without a script too."""

import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from staged_runs import HOSTILE, Story, worksheet

from workbench import front_end, stored
from workbench.errors import UsageError
from workbench.event_json import to_json
from workbench.export import export_run
from workbench.record import Record
from workbench.stored import RUN_TYPE, StoredRun, page


def test_the_notebooks_panel_holds_every_event_and_executed_it_shows_the_same(tmp_path: Path) -> None:
    made = nbformat.read(export_run(worksheet(), tmp_path / "run.ipynb"), as_version=4)
    (panel,) = [cell for cell in made.cells if cell.id == "panel"]
    (output,) = panel.outputs
    assert output.data[RUN_TYPE]["events"] == [to_json(event) for event in worksheet()]
    assert "mean attention of" in output.data["text/html"]
    found: dict[str, object] = {}
    exec(panel.source.replace("StoredRun.from_text", "again = StoredRun.from_text"), found)
    again = found["again"]
    assert isinstance(again, StoredRun)
    assert again._repr_mimebundle_() == output.data


def test_no_home_and_no_credential_leaves_with_the_events(tmp_path: Path) -> None:
    secret, home = "hf_abcdefghijklmnopqrstuv", os.path.expanduser("~/somewhere")
    story = Story()
    story.begin(["Alice"], settings={"place": home})
    story.call("Alice", "c1", "read", {"path": home}, f"the key is {secret}")
    for name in ("run.ipynb", "run.html"):
        text = export_run(story.events, tmp_path / name).read_text()
        assert secret not in text
        assert home not in text
    assert secret not in json.dumps(StoredRun.of(story.events).events)


def test_a_page_runs_its_own_two_scripts_only_and_closes_no_tag_early() -> None:
    story = Story()
    story.begin(["Alice"], [(HOSTILE + "</script><!--", "", "gcd", {}, "")])
    story.tokens(Alice="</script><script>alert(1)</script></style>")
    text = page(Record.of(story.events), StoredRun.of(story.events))
    assert text.count("<script") == 3
    assert text.count("</script>") == 3
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'")
    assert policy[1].count("sha256-") == 2


def test_a_run_too_long_to_be_carried_is_exported_with_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "MOST_STORED", 1000)
    made = nbformat.read(export_run(worksheet(), tmp_path / "run.ipynb"), as_version=4)
    assert not [cell for cell in made.cells if cell.id.startswith("panel")]
    text = export_run(worksheet(), tmp_path / "run.html").read_text()
    assert "I take 1: Greatest common divisor" in text
    assert "data-workbench-run=" not in text.split("<script", maxsplit=1)[0]


def test_a_page_without_a_built_front_end_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_end, "VIEW", tmp_path / "missing.js")
    with pytest.raises(UsageError, match="make ui"):
        export_run(worksheet(), tmp_path / "run.html")
