"""A run as a notebook: it opens, it executes, it says nothing that it should not, and it is written whole."""

import ast
import errno
import html
import json
import math
import os
import re
import stat
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from staged_runs import HOSTILE, QUESTIONS, RUN_ID, Story, raw_call, worksheet

from toolsets.builtin import BUILTINS
from toolsets.standard import STANDARD
from workbench import Workbench, static_view
from workbench import events as ev
from workbench.errors import UsageError, WorkbenchError
from workbench.export import export_run, notebook
from workbench.export_place import write_whole
from workbench.log import RunLog
from workbench.privacy import scrub, scrub_text
from workbench.record import Record

ROOT = Path(__file__).parents[2]
HOSTILE_QUESTION = (HOSTILE, HOSTILE, "gcd", {HOSTILE: HOSTILE}, HOSTILE)


def exported(tmp_path: Path, events: Sequence[ev.Event]) -> Any:
    return nbformat.read(export_run(events, tmp_path / "run.ipynb"), as_version=4)


def cell(made: Any, name: str) -> Any:
    (found,) = [cell for cell in made.cells if cell.id == name]
    return found


def shown(made: Any, name: str) -> Any:
    """The data of a code cell's one output."""
    (output,) = cell(made, name).outputs
    return output.data


class Reader(HTMLParser):
    """The text and the tags of a piece of HTML, as a browser would see them."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_notebook_holds_the_whole_run_in_order(tmp_path: Path) -> None:
    made = exported(tmp_path, worksheet())
    nbformat.validate(made)
    assert [cell.id for cell in made.cells] == [
        "title", "task", "settings", "answer", "panel-title", "panel", "lanes-title", "record", "lanes", "calls-title",
        "calls", "tools-title", "tool-0", "tool-1", "tool-2", "tool-3",
        "timeline-title", "timeline", "figures-title", "figures", "proof-title", "proof", "log-title", "log",
        "again-title", "again", "compare",
    ]  # fmt: skip
    assert RUN_ID in cell(made, "title").source
    assert "Solved by 2 workers, in 75 steps and 3.2 s" in cell(made, "title").source
    assert "How many days lie between" in cell(made, "task").source
    for fact in ("embedded", "sha256:0f1e", "contiguous", "Alice, Bob", "400", "2.13.0"):
        assert fact in cell(made, "settings").source
    assert "1. 12" in cell(made, "answer").source
    assert Reader(cell(made, "answer").source).tags.count("tr") == 1 + 4


def test_lanes_calls_timeline_and_figures_are_shown_without_executing_anything(tmp_path: Path) -> None:
    made = exported(tmp_path, worksheet())
    lanes = shown(made, "lanes")
    assert "gcd(a=48, b=36) → 12" in Reader(lanes["text/html"]).text
    assert "    gcd(a=48, b=36) -> 12" in lanes["text/plain"].splitlines()
    assert "tool_call" not in lanes["text/html"] + lanes["text/plain"]
    assert Reader(shown(made, "calls")["text/html"]).tags.count("tr") == 1 + 4
    assert re.search(r"^c2 +Bob +days_between\(.*succeeded +59", shown(made, "calls")["text/plain"], re.M)
    assert re.search(r"Alice +says +I take 1", shown(made, "timeline")["text/plain"])
    assert re.search(r"cache tokens +512", shown(made, "figures")["text/plain"])


def test_the_same_log_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a.ipynb", tmp_path / "b.ipynb"
    export_run(worksheet(), first)
    export_run(worksheet(), second)
    assert first.read_bytes() == second.read_bytes()


def test_a_log_that_ends_in_the_middle_makes_a_notebook_of_an_interrupted_run(tmp_path: Path) -> None:
    made = exported(tmp_path, worksheet(finished=False)[:40])
    assert "Interrupted" in cell(made, "title").source
    assert "The run has no answer." in cell(made, "answer").source
    assert "none" in shown(made, "calls")["text/plain"]


def test_even_an_empty_log_makes_a_notebook(tmp_path: Path) -> None:
    nbformat.validate(exported(tmp_path, []))


def test_the_record_in_the_notebook_is_the_record_of_the_run(tmp_path: Path) -> None:
    for events in (worksheet(), worksheet(questions=[HOSTILE_QUESTION, ("'''", "\\'''", "f", {"'": "\\"}, "'")])):
        record = Record.of(events)
        found: dict[str, Any] = {}
        exec(cell(notebook(record), "record").source, found)
        assert found["record"] == record


@given(st.text(st.characters(exclude_categories=[]), max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_text_survives_as_a_record_and_as_a_task_to_run_again(text: str) -> None:
    story = Story()
    story.begin(["Alice"], [(text, "", "f", {}, "")], task=text)
    story.tokens(Alice=text)
    record = Record.of(story.events)
    made = notebook(record)
    found: dict[str, Any] = {}
    exec(cell(made, "record").source, found)
    assert found["record"] == record
    tasks = [node for node in ast.walk(ast.parse(cell(made, "again").source)) if isinstance(node, ast.Assign)]
    assert ast.literal_eval(tasks[0].value) == record.data["task"]
    json.loads(nbformat.writes(made).encode("utf-8"), parse_constant=_no_constant)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_the_task_is_run_again_with_the_settings_it_was_run_with(tmp_path: Path) -> None:
    source = cell(exported(tmp_path, worksheet(settings={"max_tokens": 90, "attention": True})), "again").source
    assert 'task = """1. What is the gcd of 48 and 36?\n2. How' in source
    how = "Workbench(model='embedded', workers=2, layout='contiguous', seed=7, max_tokens=90, attention=True, "
    tools = "tools=['gcd', 'days_between', 'reverse_text', 'percent_of']"
    assert f"{how}guided_calls=False, {tools})" in source  # as runs were before there was a guide
    source = cell(exported(tmp_path, worksheet(settings={"guided_calls": True}, tools=list(BUILTINS))), "again").source
    assert "seed=7, guided_calls=True)" in source, "the usual tools need no naming"
    source = cell(exported(tmp_path, worksheet(tools=list(STANDARD))), "again").source
    assert "tools='standard'" in source


def test_the_task_is_run_again_with_its_tools_and_what_it_knew_of_the_library(tmp_path: Path) -> None:
    code = 'def twice(n: int) -> int:\n    """Twice."""\n    return 2 * n'
    own = {"name": "thrice", "of": "person", "code": "def thrice(n): return 3 * n", "effect": "read"}
    events = worksheet(
        tools=["gcd", "lcm", "thrice", "twice", "delete", "remote", "x\nimport os", "found"],
        sources=[
            own,
            {"name": "twice", "of": "library", "code": code, "effect": "read"},
            {**own, "name": "delete", "effect": "write"},
            {"name": "lcm", "of": "process", "code": "", "effect": "read"},  # not the one of the standard set
        ],
        settings={"front": "python", "memory": "fixed", "policy": {"timeout_s": 3}, "approve": "none"},
    )
    row = ev.Shown(row="t", name="found", version=3, why={"view": "cue", "exemplar": "<b>twice</b>"})
    events.append(ev.Event(RUN_ID, len(events) + 1, events[-1].time, ev.LibraryShown("tool", [row])))
    made = exported(tmp_path, events)
    source = cell(made, "again").source
    assert "tools=['gcd', thrice, twice]" in source
    assert "only the run's process had them: 'lcm', 'delete', 'remote', 'x\\nimport os'." in source
    assert "front='python'" in source
    assert "memory='fixed'" in source
    assert "approve='none'" in source
    assert "workbench.run(task, policy={'timeout_s': 3})" in source
    assert "sandboxed('twice'" in cell(made, "tool-1").source
    assert "found" in cell(made, "shown").source
    assert "&lt;b&gt;twice" in cell(made, "shown").source
    assert shown(made, "tool-3")["text/plain"] == "12", "gcd, as it was called"
    space: dict[str, Any] = {}
    for number in range(4):
        exec(cell(made, f"tool-{number}").source, space)
    assert (space["thrice"](2), space["gcd"](4, 6), space["twice"].trusted) == (6, 2, False)


def test_hostile_text_is_shown_and_never_acted_upon(tmp_path: Path) -> None:
    made = exported(tmp_path, worksheet(questions=[HOSTILE_QUESTION], model=HOSTILE, layout=HOSTILE))
    pages = [cell.source for cell in made.cells if cell.cell_type == "markdown"]
    pages += [output.data["text/html"] for cell in made.cells for output in cell.get("outputs", [])]
    allowed = {"div", "section", "pre", "table", "thead", "tbody", "tr", "th", "td", "strong", "span", "p", "br"}
    for page in pages:
        read = Reader(page)
        assert set(read.tags) <= allowed
        assert set(read.attributes) <= {"style", "class", "scope", "role", "aria-label", "title"}
        assert "$" not in page
    for page in (cell(made, "task").source, *(shown(made, name)["text/html"] for name in ("lanes", "calls"))):
        text = Reader(page).text
        assert "<script>alert(1)</script> [bold]loud[/bold]" in text
        assert "&amp;" in text
    assert not set("\x1b\x9b\u202e") & set((tmp_path / "run.ipynb").read_text())


def test_hostile_text_stays_text_when_the_notebook_becomes_a_web_page(tmp_path: Path) -> None:
    questions = [(f"{HOSTILE}\n\n# big\n\n<b>x</b>\n\n```\n", HOSTILE, "gcd", {"a": HOSTILE}, f"{HOSTILE}\n\n- *a*")]
    made = exported(tmp_path, worksheet(questions=questions))
    page, _ = HTMLExporter().from_notebook_node(made)
    body = page[page.index("<main") :]
    assert "<script>alert(1)" not in page
    assert "<b>x</b>" not in body
    assert not re.search(r"<h1[^>]*>\s*big", body)
    assert "<em>a</em>" not in body
    assert html.unescape(body).count("<b>x</b>") >= 3


@pytest.mark.parametrize(
    "secret",
    [
        "hf_abcdefghijklmnopqrstuvwx", "sk-proj-abcdefghijklmnop1234", "ghp_abcdefghijklmnopqrst1234",
        "AKIAABCDEFGHIJKLMNOP", "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "-----BEGIN PRIVATE KEY-----\nMIIE\n",
        "xoxb-1234567890-abc",
    ],
)  # fmt: skip
def test_no_home_and_no_credential_leaves_with_the_notebook(tmp_path: Path, secret: str) -> None:
    home = os.path.expanduser("~")
    texts = f"{secret} and {home}/x and /home/carol/y and /Users/carol/z and C:\\Users\\carol\\w and {home}"
    story = Story()
    story.begin(
        ["Alice"], [(texts, "", "f", {}, "")], task=texts, model="/home/carol/models/tiny",
        settings={"max_tokens": 9, "api_key": "swordfish", "url": "https://carol:swordfish@example.org/"},
        versions={"workbench": texts},
    )  # fmt: skip
    story.tokens(Alice=texts + raw_call("f", {"path": texts}))
    story.call("Alice", "c1", "f", {"path": texts, "password": "swordfish"}, texts)
    story.finish("failed", texts, error=texts)
    export_run(story.events, tmp_path / "run.ipynb")
    written = (tmp_path / "run.ipynb").read_text()
    for private in (secret.split("\n")[-1], "carol", "swordfish", f"{home}/"):
        assert not private or private not in written
    source = cell(nbformat.reads(written, as_version=4), "again").source
    assert "model=os.path.expanduser('~/models/tiny')" in source
    assert "max_tokens=9" in source


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/root/x", "~/x"), ("/rooted/x", "/rooted/x"), ("/mnt/home/x", "/mnt/home/x"), ("see /home/a.", "see ~"),
        ("file:///home/a/b", "file://~/b"), ("/home", "/home"), ("max_tokens: 400", "max_tokens: 400"),
        ("the secret word", "the secret word"),
        ("Authorization: Bearer abcdefghijklmnopqrs", "Authorization: Bearer [hidden]"),
        ('{"password": "hunter22"}', '{"password": "[hidden]"}'), ("API_KEY=abcdef123", "API_KEY=[hidden]"),
    ],
)  # fmt: skip
def test_what_counts_as_private(text: str, kept: str) -> None:
    assert scrub_text(text) == kept
    assert scrub([{"a": text}]) == [{"a": kept}]


def test_a_long_run_lists_its_first_moments_and_counts_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_view, "MOST_ROWS", 5)
    assert "... and 14 more" in Record.of(worksheet()).timeline.text


def test_the_notebook_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "run.ipynb"
    export_run(worksheet(), target)
    before = target.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkbenchError, match="disk is full: free some space"):
        export_run(worksheet(workers=4), target)
    assert target.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.ipynb"]


def test_two_threads_may_write_one_place_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, place = os.replace, tmp_path / "run.ipynb"

    def late(old: Path, new: Path) -> None:
        monkeypatch.setattr(os, "replace", real)
        write_whole(place, "the second")
        real(old, new)

    monkeypatch.setattr(os, "replace", late)
    write_whole(place, "the first")
    assert place.read_text() == "the first"
    assert list(tmp_path.iterdir()) == [place]


def test_an_older_export_is_replaced_and_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "real" / "run.ipynb")
    for workers in (1, 2):
        export_run(worksheet(workers), tmp_path / "link.ipynb")
    assert (tmp_path / "link.ipynb").is_symlink()
    assert "2 workers" in (tmp_path / "real" / "run.ipynb").read_text()
    assert stat.S_IMODE((tmp_path / "real" / "run.ipynb").stat().st_mode) == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("folder", "is a folder: name a file in it"),
        ("folder.ipynb", "is a folder: name a file in it"),
        ("notes.txt", "let its name end in .ipynb"),
        ("nowhere/run.ipynb", "There is no folder .*nowhere: make it first"),
        ("pipe.ipynb", "may not be overwritten: choose another name"),
        ("n" * 300 + ".ipynb", "choose another place"),
        ("file.ipynb/run.ipynb", "There is no folder"),
        ("circle.ipynb", "choose another place"),
        ("null\0.ipynb", "choose another place"),
        ("/proc/run.ipynb", "choose another place"),  # unwritable even for root
    ],
)
def test_a_place_that_cannot_hold_a_notebook_is_refused_in_one_sentence(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "file.ipynb").write_text("mine")
    os.mkfifo(tmp_path / "pipe.ipynb")
    (tmp_path / "circle.ipynb").symlink_to("circle.ipynb")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(UsageError, match=says) as caught:
        export_run(worksheet(), tmp_path / name)
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "notes.txt").read_text() == "mine"


def executed(made: Any, data: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The notebook after a kernel of its own has run it from top to bottom."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'kernels'}")
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(data))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return NotebookClient(
        made, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(data)}}
    ).execute()


def printed(made: Any, name: str) -> str:
    return "".join(output.get("text", "") for output in cell(made, name).outputs)


def test_executed_the_notebook_draws_the_same_pictures_from_its_own_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = exported(tmp_path, worksheet(questions=[*QUESTIONS, HOSTILE_QUESTION]))
    names = ("lanes", "calls", "timeline", "figures")
    before = {name: dict(shown(made, name)) for name in names}
    made.cells = [cell for cell in made.cells if cell.id not in ("proof", "log", "again", "compare")]
    after = executed(made, tmp_path, monkeypatch)
    assert {name: dict(shown(after, name)) for name in names} == before


def test_executed_from_top_to_bottom_the_notebook_finds_its_run_and_does_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RunLog(tmp_path / "runs.sqlite3")
    writer = log.open_run(RUN_ID, "two questions", "embedded")
    for event in worksheet(questions=QUESTIONS[:2], settings={"max_tokens": 60}):
        writer.append(event.payload)
    writer.close()
    made = executed(exported(tmp_path, log.events(RUN_ID)), tmp_path, monkeypatch)
    assert "The log holds this run, with the same record as above." in printed(made, "log")
    assert f"{RUN_ID}: solved, 2 workers" in printed(made, "log")
    assert any("text/html" in output.get("data", {}) for output in cell(made, "again").outputs)
    assert printed(made, "compare").rstrip().endswith("recorded.")


def thrice(n: int) -> int:
    """Three times a number."""
    return math.prod([3, n])


def test_executed_the_notebook_of_a_run_proves_it_without_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Workbench(data_dir=tmp_path / "elsewhere", max_tokens=40, tools=["gcd", "mean", thrice]) as bench:
        run = bench.run("1. What is the gcd of 48 and 36?")
        assert run.wait(60)
        made = nbformat.read(run.export(tmp_path / "run.ipynb"), as_version=4)
    assert str(tmp_path) not in (tmp_path / "run.ipynb").read_text()
    ran = executed(made, tmp_path, monkeypatch)
    assert "same answer as recorded" in printed(ran, "compare"), "the same tools are offered once more"
    assert "import math" in cell(ran, "tool-0").source
    assert "def thrice" in cell(ran, "tool-0").source
    assert re.match(r"Proved: all \d+ choices of \d+ steps are identical", printed(ran, "proof"))
    assert printed(ran, "log").startswith("The log of this machine does not hold this run")


def test_executed_where_nobody_knows_the_run_the_notebook_prints_what_it_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = exported(tmp_path, worksheet(questions=QUESTIONS[:2]))
    made.cells = [cell for cell in made.cells if cell.id not in ("again", "compare")]
    text = printed(executed(made, tmp_path, monkeypatch), "log")
    assert text.startswith("The log of this machine does not hold this run")
    assert "1. What is the gcd of 48 and 36? -> 12" in text
    assert str(tmp_path) not in text
