"""What goes wrong around a run: Ctrl-C at any moment, a full disk, a log that is held or refused, broken models.

In: real processes, real signals, real disks. Out: one clear sentence or an orderly end, the right exit code, no
traceback, and a log that holds what had been said. Neighbours: `test_cli.py`, `test_session.py`, `test_log_crash.py`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))

from scripted_model import WORDS, save

from workbench import cli, evaluate_command, session
from workbench.log import RunLog
from workbench.paths import log_path

WORKBENCH = [sys.executable, str(Path(sys.executable).with_name("workbench"))]
LIMIT_S = 90.0
DISK_BYTES = 300_000

INTERRUPT = '''
import os, signal, sys

class Interrupt:
    """Sends this process a Ctrl-C whenever one of these modules begins to be imported."""

    def find_spec(self, name, path=None, target=None):
        if name in os.environ["INTERRUPT_AT"].split(","):
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
'''
"""Becomes sitecustomize.py of a child, which Python imports before everything else."""


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose workers write one line after the other, for ever."""
    chains = (["# Alice\n", "tick\n\n", "tick\n\n"], ["# Bob\n", "tock\n\n", "tock\n\n"])
    return str(save(tmp_path_factory.mktemp("endless"), *chains, max_positions=100_000))


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """main(*words): the command in this process."""
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WORKBENCH_DEBUG", "")

    def run(*words: str) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["workbench", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Ended(int(end.value.code or 0), *capsys.readouterr())

    return run


@contextlib.contextmanager
def started(data: Path, *words: str, **how: Any) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own, which is killed when it takes too long."""
    env = {**os.environ, "WORKBENCH_DATA_DIR": str(data), "WORKBENCH_DEBUG": "", **how.pop("env", {})}
    limit_s = how.pop("limit_s", LIMIT_S)
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([*WORKBENCH, *words], env=env, text=True, start_new_session=True, **pipes, **how)
    guard = threading.Timer(limit_s, process.kill)
    guard.start()
    try:
        yield process
    finally:
        guard.cancel()
        process.kill()
        process.communicate()


def end_of(process: subprocess.Popen[str]) -> Ended:
    out, err = process.communicate()
    return Ended(process.returncode, out, err)


def one_sentence(ended: Ended, said: str, code: int) -> None:
    assert "Traceback" not in ended.err
    (line,) = ended.err.strip().splitlines()
    assert line.startswith("workbench: ")
    assert said in line
    assert ended.code == code


def interrupted_in_order(ended: Ended) -> None:
    assert "Traceback" not in ended.err
    assert ended.err.strip() == ""
    assert ended.code == 130


# Ctrl-C.


def interrupted_at(modules: str, tmp_path: Path, endless: str) -> Ended:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT)
    env = {"PYTHONPATH": str(tmp_path), "INTERRUPT_AT": modules}
    with started(tmp_path / "data", "run", "What?", "--model", endless, "--max-tokens", "50", env=env) as process:
        return end_of(process)


@pytest.mark.parametrize("module", ["typer", "workbench.live"])
def test_ctrl_c_while_the_command_is_being_imported_ends_in_order(module: str, tmp_path: Path, endless: str) -> None:
    interrupted_in_order(interrupted_at(module, tmp_path, endless))


def test_ctrl_c_before_the_run_is_open_ends_in_order(tmp_path: Path, endless: str) -> None:
    interrupted_in_order(interrupted_at("workbench.session", tmp_path, endless))


def test_ctrl_c_while_the_model_is_being_loaded_ends_the_run_in_order(tmp_path: Path, endless: str) -> None:
    interrupted_in_order(interrupted_at("torch", tmp_path, endless))
    (summary,) = RunLog(log_path(tmp_path / "data")).runs()
    assert summary.status in ("stopped", "interrupted")


def test_ctrl_c_twice_while_the_model_is_being_loaded_ends_in_order(tmp_path: Path, endless: str) -> None:
    interrupted_in_order(interrupted_at("torch,transformers", tmp_path, endless))
    (summary,) = RunLog(log_path(tmp_path / "data")).runs()
    assert summary.status in ("stopped", "interrupted")


def test_ctrl_c_that_somebody_makes_another_error_of_is_still_one(
    main: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def loading(*_: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("Could not import module 'AttentionInterface'.") from None

    monkeypatch.setattr(evaluate_command, "load_engine", loading)
    before = signal.getsignal(signal.SIGINT)
    interrupted_in_order(main("eval", "worksheets", "--seeds", "0:1"))
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("as_json", [False, True], ids=["plain", "json"])
def test_ctrl_c_in_mid_run_stops_it_and_loses_nothing(as_json: bool, tmp_path: Path, endless: str) -> None:
    words = ["run", "What?", "--model", endless, *(["--json"] if as_json else [])]
    with started(tmp_path, *words) as process:
        _wait_for_tokens(tmp_path, process)
        process.send_signal(signal.SIGINT)
        ended = end_of(process)
    interrupted_in_order(ended)
    log = RunLog(log_path(tmp_path))
    (summary,) = log.runs()
    events = log.events(summary.run_id)
    assert summary.status == "stopped"
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].kind == "run_finished"
    if as_json:
        told = json.loads(ended.out)
        assert (told["status"], told["run_id"]) == ("stopped", summary.run_id)
        assert sum(worker["tokens"] for worker in told["workers"]) == summary.tokens
    else:
        assert "run: stopped" in ended.out


def _wait_for_tokens(data: Path, process: subprocess.Popen[str]) -> None:
    """Until the run has said something, as a second process sees it: by following the log."""
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
        runs = RunLog(log_path(data)).runs() if log_path(data).exists() else []
        if runs and any(e.kind == "tokens_added" for e in RunLog(log_path(data)).follow(runs[0].run_id)):
            return
    raise AssertionError(f"the run ended by itself: {process.communicate()}")


def test_an_output_that_is_closed_ends_the_run_without_a_traceback(tmp_path: Path, endless: str) -> None:
    """As with `workbench run ... | head -1`."""
    with started(tmp_path, "run", "What?", "--model", endless, "--max-tokens", "3000") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("run: ")
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        process.wait(LIMIT_S)
    assert "Traceback" not in err
    (summary,) = RunLog(log_path(tmp_path)).runs()
    assert summary.status != "running"


# Disks.


def test_an_output_that_takes_nothing_is_one_sentence(tmp_path: Path) -> None:
    """As with `workbench models > FILE` on a full disk."""
    with open("/dev/full", "w") as full:
        command = [*WORKBENCH, "models"]
        env = {**os.environ, "WORKBENCH_DATA_DIR": str(tmp_path), "WORKBENCH_DEBUG": ""}
        ended = subprocess.run(command, env=env, text=True, stdout=full, stderr=subprocess.PIPE)
    one_sentence(Ended(ended.returncode, "", ended.stderr), "no space", 1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder that takes DISK_BYTES and no more, and what a process needs for that to hold.

    A file system of its own where that is permitted, else a limit on the size of a file.
    """
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    mounted = bool(shutil.which("mount")) and subprocess.run(mount, capture_output=True).returncode == 0
    if mounted:
        yield folder, {}
        subprocess.run(["umount", "-l", str(folder)], check=True)
    else:
        limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (DISK_BYTES, DISK_BYTES))
        yield folder, {"preexec_fn": limit}


def test_a_disk_that_fills_up_ends_the_run_with_one_sentence_and_keeps_what_was_saved(
    small_disk: tuple[Path, dict[str, Any]], tmp_path: Path, endless: str
) -> None:
    disk, how = small_disk
    with started(disk, "run", "What?", "--model", endless, "--json", **how) as process:
        ended = end_of(process)
    one_sentence(ended, "disk", 1)
    rescued = shutil.copytree(disk, tmp_path / "rescued", dirs_exist_ok=True)
    log = RunLog(log_path(rescued))
    (summary,) = log.runs()
    events = log.events(summary.run_id)
    assert summary.status == "interrupted"
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert summary.tokens > 0


@pytest.mark.parametrize("place", ["/proc/nowhere", "{file}/below", "/dev/null"])
@pytest.mark.parametrize("words", [["run", "What?"], ["runs", "list"], ["runs", "show", "x"]], ids=" ".join)
def test_a_data_folder_that_cannot_be_written_is_one_sentence(
    place: str, words: list[str], main: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("WORKBENCH_DATA_DIR", place.format(file=tmp_path / "file"))
    one_sentence(main(*words), "WORKBENCH_DATA_DIR", 1)


def test_a_log_that_another_process_holds_is_one_sentence(
    main: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endless: str
) -> None:
    log = RunLog(log_path(tmp_path / "data"))
    monkeypatch.setattr(session, "RunLog", partial(RunLog, busy_timeout_s=0.2))
    hold = (
        "import sqlite3, sys; held = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "held.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(log.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        one_sentence(main("run", "What?", "--model", endless), "held by another program", 1)
        assert holder.stdin is not None
        holder.stdin.close()
    assert log.runs() == []
    assert main("run", "What?", "--model", endless, "--max-tokens", "3", "--json").code == 1


def test_a_log_that_is_none_is_one_sentence_and_left_alone(main: Callable[..., Ended], tmp_path: Path) -> None:
    path = log_path(tmp_path / "data")
    path.parent.mkdir()
    path.write_bytes(b"my diary" * 500)
    one_sentence(main("run", "What?"), "not a run log", 1)
    assert path.read_bytes() == b"my diary" * 500


# Models.


def _truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def _remove_the_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _remove_the_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def _break_the_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")


def _break_the_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{% for %}")


def _remove_the_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("damage", "said", "code"),
    [
        (_truncate, "fetch the model again", 1),
        (_remove_the_weights, "fetch the model again", 1),
        (_break_the_tokenizer, "tokenizer", 1),
        (_remove_the_tokenizer, "no tokenizer", 2),
        (_break_the_template, "chat template", 2),
        (_remove_the_configuration, "no config.json", 2),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_a_model_that_cannot_be_used_is_one_sentence(
    damage: Callable[[Path], None], said: str, code: int, main: Callable[..., Ended], tmp_path: Path
) -> None:
    folder = save(tmp_path / "model", ["# Alice\n", "done."])
    damage(folder)
    ended = main("run", "What?", "--model", str(folder), "--json")
    one_sentence(ended, said, code)
    assert ended.out == ""
    (summary,) = RunLog().runs()
    assert summary.status == "failed"


def test_a_model_without_a_chat_template_and_one_without_a_system_role_run(
    main: Callable[..., Ended], tmp_path: Path
) -> None:
    plain = save(tmp_path / "plain", ["# Alice\n", "done."], ["Joint answer:\n", "Yes."])
    refusing = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0].content }}"
    )
    without = save(tmp_path / "without", ["# Alice\n", "done."], ["Joint answer:\n", "Yes."], chat_template=refusing)
    for folder in (plain, without):
        ended = main("run", "What?", "--model", str(folder), "--json")
        assert (ended.code, json.loads(ended.out)["answer"]) == (0, "Yes.")


def test_a_model_without_words_of_its_own_gets_the_general_ones(main: Callable[..., Ended], tmp_path: Path) -> None:
    folder = save(tmp_path / "model", ["Final answer:", " 42"], words=None, max_positions=4096)
    ended = main("run", "What?", "--model", str(folder), "--json")
    assert (ended.code, json.loads(ended.out)["answer"]) == (0, "42")


def test_a_worksheet_that_is_longer_than_the_context_is_one_sentence(
    main: Callable[..., Ended], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = tmp_path / "sheet.txt"
    sheet.write_text("\n".join(f"{n}. What is {n} plus {n}?" for n in range(1, 900)))
    theirs = logging.getLogger("transformers")  # writes to a stream of its own
    monkeypatch.setattr(theirs, "handlers", [*theirs.handlers, caplog.handler])
    one_sentence(main("run", "--file", str(sheet), "--json"), "shorten the task", 2)
    assert caplog.messages == []


def test_a_huge_file_is_refused_by_its_size(main: Callable[..., Ended], tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.txt"
    sheet.write_text("1. What?\n" * 200_000)
    one_sentence(main("run", "--file", str(sheet)), "1,800,000 characters", 2)


@pytest.mark.parametrize("words", [["run", "--file", "/dev/zero"], ["plan", "/dev/zero"]], ids=" ".join)
def test_a_file_that_never_ends_is_read_no_further_than_a_task_may_be(
    words: list[str], main: Callable[..., Ended]
) -> None:
    one_sentence(main(*words), "/dev/zero is longer than 16 MB", 2)


def test_the_words_of_the_scripted_models_are_a_prompting() -> None:
    """Else every test here would fail for the wrong reason."""
    from hogwild import Prompting

    assert Prompting.from_json(WORDS).closing == "Joint answer:\n"
