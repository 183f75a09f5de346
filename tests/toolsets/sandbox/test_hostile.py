"""The corpus of hostile code: every snippet is stopped, which is seen from outside and not by asking it.

A snippet is a function in `hostile/`; its value begins with OUT if it believes to have got out.
"""

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from toolsets.sandbox import Isolation, Limits, Sandbox
from toolsets.sandbox.isolation import STOPPED
from toolsets.sandbox.mechanisms import PLAIN_PROCESS, Mechanisms

CORPUS = Path(__file__).with_name("hostile")
LIMITS = Limits(time_s=10.0, memory_mb=64, threads=4)
SHORT = replace(LIMITS, time_s=1.0)

# What the outcome has to name, where a limit is what stops the snippet.
TIME = {
    "endless_loop",
    "endless_loop_in_c",
    "endless_match",
    "endless_power",
    "endless_sleep",
    "endless_loop_that_ignores_signals",
    "endless_wait_for_itself",
    "endless_error",
    "endless_goodbye",
}
MEMORY = {
    "memory_at_once",
    "memory_bit_by_bit",
    "memory_of_small_things",
    "memory_by_mapping",
    "memory_by_shared_mapping",
    "text_that_doubles",
}
OUTPUT = {"huge_output", "huge_error_output"}
RESULT = {"huge_result", "answer_without_end"}


def snippets() -> Iterator[tuple[str, str]]:
    for path in sorted(CORPUS.glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield path.stem, node.name


@pytest.fixture(scope="module")
def warm(isolation: Isolation) -> Iterator[Sandbox]:
    with Sandbox(LIMITS) as sandbox:
        yield sandbox


@pytest.mark.parametrize(("file", "name"), list(snippets()))
def test_a_hostile_snippet_gets_nowhere(warm: Sandbox, world, file: str, name: str) -> None:
    source = (CORPUS / f"{file}.py").read_text()
    world.renew()
    outcome = warm.call_sync(source, name, {"target": world.target}, limits=SHORT if name in TIME else LIMITS)
    assert world.breaches(outcome) == []
    named = " ".join(outcome.limits_hit)
    for words, names in (
        ("time limit of 1 s", TIME),
        ("memory limit of 64 MB", MEMORY),
        ("output limit of 64 KB", OUTPUT),
        ("result limit of 1024 KB", RESULT),
    ):
        assert (words in named) == (name in names) or (words.startswith("memory") and file == "bombs"), outcome
    assert outcome.wall_s < 12, "it was not stopped in time"
    # And nothing has reached the next call.
    assert warm.call_sync(AFTERWARDS, "look", {}).value == [7, 2.0, False, {}, False]


AFTERWARDS = """
import math, os, sys

def look():
    return [abs(-7), math.sqrt(4), hasattr(sys.modules["__tool__"], "left"), dict(os.environ), "/tmp" in sys.path]
"""


def test_the_corpus_is_large_enough_to_mean_something() -> None:
    assert len(list(snippets())) >= 150


def weakened(mechanisms: Mechanisms) -> Isolation:
    """A claim of isolation with less behind it, to see that the corpus notices."""
    return Isolation(mechanisms, STOPPED, ())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("files", "read_secret"),
        ("files", "map_secret"),
        ("files", "read_repository"),
        ("files", "list_root"),
    ],
)
def test_without_landlock_files_are_read(isolation: Isolation, world, file: str, name: str) -> None:
    breaches_with(replace(isolation.mechanisms, bubblewrap="", landlock=0, own_count=""), world, file, name)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("network", "unix_stream"),
        ("network", "unix_datagram"),
        ("processes", "fork"),
        ("kernel_doors", "user_namespace"),
        ("kernel_doors", "semaphores"),
        ("kernel_doors", "unnamed_memory_file"),
        ("files", "change_mode"),
        ("files", "change_times"),
    ],
)
def test_without_seccomp_what_landlock_does_not_see_gets_out(isolation: Isolation, world, file: str, name: str) -> None:
    breaches_with(replace(isolation.mechanisms, bubblewrap="", seccomp=False, own_count=""), world, file, name)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("network", "tcp_connection"),
        ("network", "tcp_by_plain_system_calls"),
        ("network", "tcp_server"),
        ("network", "tcp_through_asyncio"),
        ("network", "udp_datagram"),
        ("network", "udp_version_6"),
        ("network", "unix_abstract"),
        ("network", "unix_datagram_from_a_pair"),
        ("network", "netlink"),
        ("files", "write_file_by_ctypes"),
        ("files", "delete_file"),
        ("files", "read_environment_of_bystander"),
        ("files", "read_memory_of_parent"),
        ("files", "truncate_file_by_name"),
        ("files", "truncate_while_opening_to_read"),
        ("files", "rename_file"),
        ("files", "link_secret"),
        ("files", "make_pipe"),
        ("files", "read_command_lines"),
        ("files", "host_name"),
        ("processes", "run_command"),
        ("processes", "run_shell"),
        ("processes", "signal_parent"),
        ("processes", "signal_by_descriptor"),
        ("processes", "signal_by_owning_a_descriptor"),
        ("processes", "slow_the_bystander"),
        ("processes", "read_memory_of_parent"),
        ("processes", "thread_bomb"),
        ("kernel_doors", "shared_memory"),
        ("forgeries", "finds_popen_among_subclasses"),
    ],
)
def test_a_plain_process_with_limits_is_no_sandbox(linux: None, world, file: str, name: str) -> None:
    breaches_with(PLAIN_PROCESS, world, file, name)


def breaches_with(mechanisms: Mechanisms, world, file: str, name: str) -> None:
    """The snippet gets out once its layer is gone, so it is the layer that stops it and not the snippet's own fault."""
    source = (CORPUS / f"{file}.py").read_text()
    world.renew()
    with Sandbox(LIMITS, isolation=weakened(mechanisms)) as sandbox:
        outcome = sandbox.call_sync(source, name, {"target": world.target})
    assert world.breaches(outcome) != [], outcome
    world.repair()
