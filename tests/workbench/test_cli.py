"""The command line: what is printed, where, and with which exit code; in this process, through the console script.

In: what a person types. Out: text, JSON, exit codes. Neighbours: `workbench.cli`; `test_bad_input.py` for processes
that are interrupted, and for disks and logs that refuse.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))

from scripted_model import WORDS, call, save

from workbench import cli
from workbench.errors import UsageError
from workbench.events import TokensAdded
from workbench.log import RunLog
from workbench.models import REFUSAL

JSON_KEYS = {
    "run_id", "status", "answer", "items", "workers", "steps", "wall_s", "tokens_per_s", "cache_tokens", "calls",
}  # fmt: skip
CHAINS = (
    ["# Alice\n", "I take 1.\n\n", call("gcd", a=84, b=126)],
    ["<tool_response>42</tool_response>", "\nAnswer 1: 42\n\n"],
    ["# Bob\n", "I see [bold]that[/bold].\n\n"],
    ["Joint answer, 1 to 1:\n", "1: 42"],
)
LIST = {**WORDS, "closing_part": "Joint answer, {first} to {last}:\n"}
TASK = "1. What is the gcd of 84 and 126?"


class Printed(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Cli = Callable[..., Printed]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save(tmp_path_factory.mktemp("scripted"), *CHAINS, words=LIST))


@pytest.fixture
def run_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """run_cli(*words): run the command with a log of this test's own."""
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WORKBENCH_DEBUG", "")
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words: str) -> Printed:
        monkeypatch.setattr(sys, "argv", ["workbench", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        # transformers draws a bar while the fixture saves its model.
        err = "\n".join(line for line in err.splitlines() if "Writing model shards" not in line)
        return Printed(int(end.value.code or 0), out, err)

    return run


def refused(printed: Printed, said: str, code: int = 2) -> None:
    """One sentence on stderr, nothing on stdout, no traceback."""
    assert printed.code == code
    assert printed.out == ""
    (line,) = printed.err.strip().splitlines()
    assert line.startswith("workbench: ")
    assert said in line


# run


def test_the_help_says_what_every_argument_and_option_is() -> None:
    def commands(command: Any, path: str = "workbench") -> Any:
        yield path, command
        for name, one in getattr(command, "commands", {}).items():
            yield from commands(one, f"{path} {name}")

    told = 0
    for path, command in commands(typer.main.get_command(cli.app)):
        for param in command.params:
            told += 1
            assert param.help, f"{path}: {param.name}"
            if param.param_type_name == "argument":
                assert param.metavar.isalpha(), f"{path}: {param.metavar}"
                assert param.metavar.isupper(), f"{path}: {param.metavar}"
    assert told > 200


def test_a_solved_run_is_told_in_plain_lines_and_ends_with_0(run_cli: Cli, model: str) -> None:
    printed = run_cli("run", TASK, "--model", model)
    assert (printed.code, printed.err) == (0, "")
    assert "Alice: calls gcd" in printed.out
    assert "Bob: I see [bold]that[/bold]." in printed.out
    assert "item 1: What is the gcd of 84 and 126? -> 42 (Alice)" in printed.out
    assert "\x1b" not in printed.out


def test_what_the_embedded_model_can_answer_is_said_where_it_refuses(run_cli: Cli) -> None:
    told = "--model takes any other one"
    refused = run_cli("run", "What is the capital of France?", "--workers", "1")
    assert f"-> {REFUSAL} (Alice)" in refused.out
    assert told in refused.out.splitlines()[-1]
    assert told not in run_cli("run", "What is the gcd of 84 and 126?", "--workers", "1").out


def test_why_a_run_failed_is_said_once(run_cli: Cli, tmp_path: Path) -> None:
    printed = run_cli("run", TASK, "--model", str(tmp_path))
    assert printed.code == 2
    (line,) = printed.err.strip().splitlines()
    assert line.removeprefix("workbench: ") not in printed.out


def test_an_output_of_few_letters_gets_the_others_as_json_writes_them(
    run_cli: Cli, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    printing = io.TextIOWrapper(raw, encoding="ascii")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", printing)
        assert run_cli("run", f"{TASK} \u00e9\U0001f469", "--model", model, "--json").code == 0
        assert run_cli("runs", "list").code == 0
        printing.flush()
    found = json.loads(raw.getvalue().splitlines()[0])
    assert found["items"][0]["question"].endswith("126? \u00e9\U0001f469")
    assert found["run_id"].encode() in raw.getvalue().splitlines()[-2]


def test_a_folder_that_is_gone_is_one_sentence(run_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    refused(run_cli("run", TASK), "The folder that you are in is gone")


def test_json_is_one_object_with_exactly_the_promised_keys(run_cli: Cli, model: str) -> None:
    printed = run_cli("run", TASK, "--model", model, "--json")
    assert (printed.code, printed.err) == (0, "")
    found = json.loads(printed.out)
    assert len(printed.out.splitlines()) == 1
    assert set(found) == JSON_KEYS
    assert (found["status"], found["answer"], found["calls"]) == ("solved", "1: 42", 1)
    assert found["items"] == [
        {"item": 1, "question": "What is the gcd of 84 and 126?", "answer": "42", "worker": "Alice"}
    ]
    assert [set(worker) for worker in found["workers"]] == [{"name", "tokens", "state"}] * 2
    assert [worker["name"] for worker in found["workers"]] == ["Alice", "Bob"]
    assert all(type(found[name]) in (int, float) for name in ("steps", "wall_s", "tokens_per_s", "cache_tokens"))


def test_a_run_without_an_answer_ends_with_1(run_cli: Cli, model: str) -> None:
    printed = run_cli("run", "1. What?\n2. And this?", "--model", model, "--json")
    assert printed.code == 1
    assert json.loads(printed.out)["status"] == "unanswered"
    assert json.loads(printed.out)["items"][1]["answer"] is None


def test_the_embedded_model_runs_by_default_and_says_of_an_item_that_nobody_did_that_it_has_no_answer(
    run_cli: Cli,
) -> None:
    printed = run_cli("run", TASK, "--max-tokens", "5", "--json")
    assert printed.code == 1
    found = json.loads(printed.out)
    assert set(found) == JSON_KEYS
    assert found["status"] == "unanswered"
    assert {item["answer"] for item in found["items"]} == {None}


def test_a_task_is_read_from_a_file_or_from_the_input(
    run_cli: Cli, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sheet.txt").write_text(TASK + "\r\n", encoding="utf-8")
    assert run_cli("run", "--file", str(tmp_path / "sheet.txt"), "-m", model, "--json").code == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TASK.encode()), encoding="utf-8"))
    printed = run_cli("run", "--file", "-", "-m", model, "--json")
    assert json.loads(printed.out)["items"][0]["answer"] == "42"


def test_options_reach_the_run(run_cli: Cli, model: str) -> None:
    found = json.loads(
        run_cli("run", TASK, "-m", model, "-n", "3", "--layout", "combined", "--seed", "7", "--json").out
    )
    assert len(found["workers"]) == 3
    started: Any = RunLog().events(found["run_id"])[0].payload
    assert (started.layout, started.seed) == ("combined", 7)


def test_attention_is_logged_when_it_is_asked_for(run_cli: Cli, model: str) -> None:
    found = json.loads(run_cli("run", TASK, "-m", model, "--attention", "--json").out)
    told = [one.payload for one in RunLog().events(found["run_id"]) if isinstance(one.payload, TokensAdded)]
    assert told
    assert all(one.attention for one in told)


def test_a_run_can_be_written_as_a_notebook(run_cli: Cli, model: str, tmp_path: Path) -> None:
    out = tmp_path / "run.ipynb"
    printed = run_cli("run", TASK, "-m", model, "--notebook", str(out))
    assert printed.code == 0
    assert f"The run is in {out}. Open it with: " in printed.out
    assert json.loads(out.read_text())["nbformat"] == 4


def test_a_notebook_that_cannot_be_written_is_told_before_the_run(run_cli: Cli, model: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    printed = run_cli("run", TASK, "-m", model, "--notebook", str(tmp_path / "file" / "run.ipynb"))
    assert printed.code == 2
    assert printed.err.startswith("workbench: ")
    assert len(printed.err.strip().splitlines()) == 1
    assert RunLog().runs() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "one of the two"),
        (["run", "x", "--file", "y"], "one of the two"),
        (["run", ""], "empty"),
        (["run", " \n "], "empty"),
        (["run", "x\0y"], "binary"),
        (["run", "x" * 200_001], "200,000"),
        (["run", "x", "--workers", "0"], "between 1 and 8"),
        (["run", "x", "--workers", "9"], "between 1 and 8"),
        (["run", "x", "--layout", "diagonal"], "contiguous, interleaved, combined, independent"),
        (["run", "x", "--max-tokens", "0"], "at least 1"),
        (["run", "x", "--max-tokens", "-5"], "at least 1"),
        (["run", "x", "--temperature", "-1"], "temperature"),
        (["run", "x", "--temperature", "nan"], "temperature"),
        (["run", "x", "--model", "./nowhere", "--json"], "nowhere"),
        (["run", "--file", "/no/such/file"], "/no/such/file cannot be read"),
        (["run", "--file", "/"], "cannot be read"),
        (["runs", "show", "nothing"], "no run 'nothing'"),
        (["runs", "follow", "nothing"], "no run 'nothing'"),
        (["runs", "export", "nothing", "out.ipynb"], "no run 'nothing'"),
        (["runs", "delete", "nothing"], "no run 'nothing'"),
        (["eval", "worksheets", "--seeds", "5"], "--seeds"),
        (["eval", "worksheets", "--seeds", "5:5"], "--seeds"),
        (["eval", "worksheets", "--seeds", "a:b"], "--seeds"),
        (["eval", "worksheets", "--workers", "0"], "between 1 and 8"),
        (["eval", "worksheets", "--layout", "x"], "no layout 'x'"),
        (["eval", "worksheets", "--model", "./nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_wrong_request_is_answered_with_one_sentence_and_2(words: list[str], said: str, run_cli: Cli) -> None:
    refused(run_cli(*words), said)


def test_a_device_that_is_none_is_bad_usage(run_cli: Cli, model: str) -> None:
    refused(run_cli("run", "x", "--model", model, "--device", "gpu", "--json"), "no device 'gpu'")


def test_a_task_that_is_longer_than_the_context_is_refused(run_cli: Cli, model: str) -> None:
    printed = run_cli("run", "what? " * 1000, "--model", model, "--json")
    refused(printed, "2,048")


def test_a_file_that_is_no_text_is_refused(run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" * 50)
    refused(run_cli("run", "--file", str(tmp_path / "photo.jpg")), "not UTF-8 text")


def test_an_input_that_is_no_text_is_refused(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xd8\xff\xe0" * 50), encoding="utf-8"))
    refused(run_cli("run", "--file", "-"), "text")


@pytest.mark.parametrize(
    "words",
    [["rnu"], ["run", "x", "--worker", "2"], ["run", "x", "--workers", "two"], ["runs"], ["runs", "show"], ["eval"]],
    ids=" ".join,
)
def test_what_cannot_be_parsed_ends_with_2_and_says_why(words: list[str], run_cli: Cli) -> None:
    printed = run_cli(*words)
    assert printed.code == 2
    assert (printed.out + printed.err).strip()
    assert "Traceback" not in printed.err


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["runs", "--help"], ["eval", "--help"]], ids=" ".join)
def test_help_ends_with_0(words: list[str], run_cli: Cli) -> None:
    printed = run_cli(*words)
    assert printed.code == 0
    assert "Usage" in printed.out


def test_the_command_line_imports_nothing_that_only_some_of_its_commands_need() -> None:
    heavy = {"torch", "transformers", "numpy", "pydantic", "httpx2", "faiss", "mcp", "toolsets.standard"}
    program = f"import sys, workbench.cli; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], text=True, stdout=subprocess.PIPE).stdout == "[]\n"


LEAVES = """
import atexit, sys, threading
from workbench.entry import main

atexit.register(print, "after that")
if sys.argv.pop(1) == "busy":
    threading.Thread(target=lambda: threading.main_thread().join() or print("first")).start()
main()
"""


@pytest.mark.parametrize(("busy", "last"), [("idle", ["after that"]), ("busy", ["first", "after that"])])
def test_a_process_that_leaves_early_does_first_what_is_registered_for_its_end(busy: str, last: list[str]) -> None:
    """It waits for threads that the end of Python would wait for, too."""
    program = [sys.executable, "-c", LEAVES, busy, "plan", "nowhere.txt"]
    ended = subprocess.run(program, text=True, capture_output=True)
    assert (ended.returncode, ended.stdout.splitlines()) == (2, last)
    assert ended.stderr.startswith("workbench: ")


@pytest.mark.parametrize(("command", "code"), [("plan nowhere.txt", 2), ("models", 0)])
def test_a_process_that_was_given_no_output_ends_in_order(command: str, code: int) -> None:
    program = f'exec "{sys.executable}" -c "from workbench.entry import main; main()" {command} >&-'
    ended = subprocess.run(["sh", "-c", program], text=True, stderr=subprocess.PIPE)
    assert (ended.returncode, "Traceback" in ended.stderr) == (code, False)


def test_a_traceback_is_shown_to_those_who_ask_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("WORKBENCH_DEBUG", "")
    monkeypatch.setattr(sys, "argv", ["workbench", "--debug", "run", ""])
    with pytest.raises(UsageError, match="empty"):
        cli.main()


# runs


def test_runs_are_listed_shown_exported_and_deleted(
    run_cli: Cli, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no runs yet" in run_cli("runs", "list").out
    assert json.loads(run_cli("runs", "list", "--json").out) == []
    made = json.loads(run_cli("run", TASK, "-m", model, "--json").out)
    listed = json.loads(run_cli("runs", "list", "--json").out)
    assert {"created", "ended", "events", "prompt_tokens", "tokens_per_s"} <= listed[0].keys()
    assert [(one["run_id"], one["status"], one["workers"]) for one in listed] == [(made["run_id"], "solved", 2)]
    assert "solved" in run_cli("runs", "list").out

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # as in a terminal
    assert made["run_id"] in run_cli("runs", "list").out, "an id that is cut cannot be given to another command"
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    (line,) = [line for line in run_cli("runs", "list").out.splitlines() if made["run_id"] in line]
    assert TASK in line, "a program that reads the list has each run in one line"

    start = made["run_id"][:18]  # any beginning that only it has
    shown = json.loads(run_cli("runs", "show", start, "--json").out)
    assert shown["answer"] == made["answer"]
    lines = run_cli("runs", "show", start).out
    assert "item 1: What is the gcd of 84 and 126? -> 42 (Alice)" in lines
    assert lines.startswith(run_cli("runs", "follow", start).out), "show draws short plans too"

    out = tmp_path / "exported.ipynb"
    assert run_cli("runs", "export", start, str(out)).code == 0
    assert made["run_id"] in out.read_text()

    assert made["run_id"] in run_cli("runs", "delete", start).out
    assert json.loads(run_cli("runs", "list", "--json").out) == []


def test_the_same_figures_stand_in_the_log_as_in_the_json(run_cli: Cli, model: str) -> None:
    made = json.loads(run_cli("run", TASK, "-m", model, "--json").out)
    shown = json.loads(run_cli("runs", "show", made["run_id"], "--json").out)
    assert shown["tokens"] == sum(worker["tokens"] for worker in made["workers"])


def test_the_log_counts_the_same_steps_as_the_json(run_cli: Cli, model: str) -> None:
    made = json.loads(run_cli("run", TASK, "-m", model, "--json").out)
    shown = json.loads(run_cli("runs", "show", made["run_id"], "--json").out)
    assert shown["steps"] == made["steps"]


# The rest.


def test_the_models_at_hand_are_named(run_cli: Cli) -> None:
    assert json.loads(run_cli("models", "--json").out)[0]["model"] == "embedded"
    assert "hub id" in run_cli("models").out


def test_the_doctor_says_what_there_is(run_cli: Cli, tmp_path: Path) -> None:
    found: dict[str, Any] = json.loads(run_cli("doctor", "--json").out)
    assert {"python", "torch", "transformers", "device", "memory_gib", "embedded_model", "data_dir", "runs"} <= set(
        found
    )
    assert found["data_dir"] == str(tmp_path / "data")
    assert found["embedded_model"] is True
    assert found["memory_gib"] > 0
    assert {"mcp", "faiss-cpu", "sentence-transformers", "sandbox", "sandbox, stopped"} <= set(found)
    assert found["cpu_attention"].startswith(("compiled by ", "plain torch: "))
    assert found["library"] == "none yet"
    printed = run_cli("doctor")
    assert (printed.code, len(printed.out.splitlines())) == (0, len(found))
    assert not (tmp_path / "data").exists(), "looking changes nothing"


def test_the_doctor_says_of_a_log_that_it_is_damaged_and_all_else_too(
    run_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "runs.sqlite3").write_bytes(b"my diary" * 500)
    found = json.loads(run_cli("doctor", "--json").out)
    assert "damaged" in found["runs"]
    assert "sandbox" in found
    (tmp_path / "file").touch()
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path / "file" / "data"))
    assert "set WORKBENCH_DATA_DIR" in json.loads(run_cli("doctor", "--json").out)["runs"]


def test_an_evaluation_is_one_object_with_exactly_the_promised_keys(run_cli: Cli, model: str) -> None:
    printed = run_cli("eval", "worksheets", "--seeds", "0:2", "--model", model, "--json")
    assert (printed.code, printed.err) == (0, "")
    found = json.loads(printed.out)
    assert list(found) == [
        "worksheets", "items_correct", "worksheets_correct", "duplicated_claims", "steps", "tokens", "wall_s",
    ]  # fmt: skip
    assert found["worksheets"] == 2
    table = run_cli("eval", "worksheets", "--seeds", "0:2", "--model", model, "--workers", "1").out
    assert all(name in table for name in found)


def test_a_run_is_proved_forked_and_compared_by_its_id(run_cli: Cli, model: str) -> None:
    first = json.loads(run_cli("run", TASK, "-m", model, "--json").out)["run_id"]
    proved = run_cli("runs", "prove", first)
    assert (proved.code, proved.out.startswith("Proved: all ")) == (0, True)
    assert json.loads(run_cli("runs", "prove", first, "--json").out)["proved"]
    forked = run_cli("runs", "fork", first, "--step", "1", "--without-tool", "gcd", "--replace", "Bob", "No.")
    assert forked.code == 0, forked.err
    child = next(line for line in forked.out.splitlines() if line.startswith("This is run "))[12:-1]
    again = json.loads(run_cli("runs", "fork", first, "--json").out)
    assert (again["status"], again["run_id"] not in (first, child)) == ("solved", True)
    found = json.loads(run_cli("runs", "compare", first, child, "--json").out)
    assert found["aligned"] == {"run": first, "seq": found["aligned"]["seq"], "step": 1}
    assert "They part after step 1" in run_cli("runs", "compare", first, child).out
    refused(run_cli("runs", "resume", child), "was not interrupted")
    refused(run_cli("runs", "fork", first, "--step", "999"), "choose one of 0 to")
