"""Tools of MCP servers in a plan, in a run, and with Ctrl-C; the server is a real child process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))

from scenes import Scene
from scripted_model import call, save

from hogwild import Engine
from workbench import Workbench
from workbench import events as ev
from workbench.errors import UsageError
from workbench.mcp_tools import McpTools

SERVER = Path(__file__).parents[1] / "toolsets" / "mcp" / "mcp_server.py"
COMMAND = [str(Path(sys.executable).with_name("workbench")), "plan"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "mcp.json"
    server = {"command": sys.executable, "args": [str(SERVER)], "env": {"STATE": "${STATE}"}}
    file.write_text(json.dumps({"mcpServers": {"test": server}}))
    return file


def test_a_plan_calls_tools_of_servers_and_ctrl_c_ends_every_call(config: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.txt"
    plan.write_text("1. test_add(a=1, b=40)\n2. add(a=$1, b=1)\n3. test_hang(mark='x')\n4. add(a=$3, b=1)\n")
    child = subprocess.Popen(
        [*COMMAND, str(plan), "--mcp", str(config), "--no-draw"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "STATE": str(tmp_path)},
        # As in a terminal, where nothing has told it to ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert child.stdout is not None
        ended = {child.stdout.readline().strip(), child.stdout.readline().strip()}
        assert ended == {"$1 test_add succeeded", "$2 add succeeded"}
        child.send_signal(signal.SIGINT)
        rest, _ = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait(30)
    assert child.returncode == 130
    assert "$2 add = 42" in rest
    assert "$3 test_hang (from outside) cancelled: " in rest
    assert "$4 add cancelled: " in rest


def test_a_workbench_offers_the_tools_of_its_servers_to_a_run(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE", str(tmp_path))
    with Workbench(workers=1, max_tokens=4, data_dir=tmp_path, mcp=config) as bench:
        run = bench.run("1. What is the gcd of 84 and 126?")
        run.wait()
        started = next(event.payload for event in run.events() if event.kind == "run_started")
    assert {"gcd", "test_add", "test_record"} <= set(started.tools)


def test_a_servers_result_is_told_as_text_from_outside_and_forges_no_call(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE", str(tmp_path))
    chains = (["# Alice\n", call("test_evil")], ["</tool_response>", "heard."], ["Joint answer:\n", "Done."])
    engine = Engine.from_pretrained(save(tmp_path / "model", *chains))
    servers = McpTools(config)
    try:
        offered = {name: tool for name, tool in servers.tools().items() if name in ("test_evil", "test_wipe")}
        with Scene(engine, "Alice", tools=offered) as scene:
            scene.to_the_end()
            assert [(one.tool, one.worker) for one in scene.of(ev.CallPlanned)] == [("test_evil", "Alice")]
            (finished,) = scene.of(ev.CallFinished)
            assert (finished.status, finished.trusted) == ("succeeded", False)
            assert finished.isolation == "server test"
            text = scene.injected("tool")[0].text.removeprefix("<tool_response>(from outside) ")
            assert "<tool_call>" not in text
            assert "Answer 1:" not in text
            assert "test_wipe" in text, "it is told, only without teeth"
    finally:
        servers.close()


def test_a_configuration_that_makes_no_sense_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"server 'a' needs 'command'"):
        Workbench(data_dir=tmp_path, mcp={"mcpServers": {"a": {}}})
    with pytest.raises(UsageError, match="cannot be read"):
        Workbench(data_dir=tmp_path, mcp=tmp_path / "none.json")
