"""What the documentation tells people to type is typed here.

In the documents below every fenced block has one of three languages. `python` is run, the blocks of one file
in one process, in their order. `sh` is a list of commands: a make target must exist, a `workbench` command must parse
and, where it takes seconds, is run on the embedded model. `text` is for reading. Links to files of the project must
lead somewhere.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from workbench.cli import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/runs.md",
    "docs/libraries.md",
    "docs/plans.md",
    "docs/calls.md",
    "docs/tools_made.md",
    "docs/big_models.md",
    "docs/evaluation.md",
    "docs/protocol.md",
    "docs/front-end.md",
)
LANGUAGES = {"python", "sh", "text"}
FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)|<(?:img|source) [^>]*src(?:set)?=\"(?!https?:)([^\"]+)\"")
MODULE = re.compile(r"`((?:workbench|hogwild|hogwild_kernels|memory|toolsets)(?:\.(?!py`)\w+)+)`")
FILE = re.compile(r"`((?:[\w.]+/)+[\w.]*)`")
# These take minutes or wait for a person; that they parse has to be enough.
ONLY_PARSED = (
    ["eval"],
    *(["runs", name] for name in ("follow", "prove", "fork", "compare", "resume", "export", "delete")),
    ["concepts", "ablate"],
    ["tools", "ablate"],
    ["tools", "build"],
    ["tools", "dedupe"],
)
PROGRAMS = {"git", "cd", "source", "make", "workbench", "python", "jupyter", ".ci/run"}


class Block(NamedTuple):
    document: str
    language: str
    text: str


def blocks(language: str) -> list[Block]:
    return [block for block in every_block() if block.language == language]


def every_block() -> list[Block]:
    return [
        Block(document, language, text)
        for document in DOCUMENTS
        for language, text in FENCE.findall((ROOT / document).read_text())
    ]


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.text.replace("\\\n", " ").splitlines()]
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def workbench_commands() -> list[list[str]]:
    return [words[1:] for words in commands() if Path(words[0]).name == "workbench"]


def environment(data_dir: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    here = {"PATH": path, "WORKBENCH_DATA_DIR": str(data_dir), "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **here, "CUDA_VISIBLE_DEVICES": ""}


def test_every_block_says_how_it_is_checked() -> None:
    assert {block.language for block in every_block()} == LANGUAGES


def test_every_command_starts_a_program_that_the_reader_has() -> None:
    assert {words[0] for words in commands()} <= PROGRAMS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_to_a_file(document: str) -> None:
    targets = [image or link for link, image in LINK.findall((ROOT / document).read_text())]
    assert targets or document.startswith("docs/")
    assert [target for target in targets if not (ROOT / document).parent.joinpath(target).exists()] == []


def test_every_module_and_file_that_the_map_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    modules = {
        name.replace(".", "/").replace("hogwild_kernels", "kernels/hogwild_kernels") for name in MODULE.findall(text)
    }
    assert modules
    assert [name for name in modules if not ((ROOT / f"{name}.py").exists() or (ROOT / name).is_dir())] == []
    assert [name for name in FILE.findall(text) if not (ROOT / name).exists()] == []


def test_every_make_target_exists() -> None:
    named = {word for words in commands() if words[0] == "make" for word in words[1:] if "=" not in word}
    assert {"run", "test"} <= named
    for target in sorted(named):
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", workbench_commands(), ids=" ".join)
def test_every_workbench_command_parses(words: list[str]) -> None:
    command = typer.main.get_command(app)
    context = command.make_context("workbench", list(words))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        context = command.make_context(name, list(rest), parent=context)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the documented commands find the files that they name."""
    desk = tmp_path_factory.mktemp("desk")
    (desk / "notebooks").mkdir()
    for name in ("worksheet.txt", "plan.txt"):
        (desk / "notebooks" / name).write_text((ROOT / "notebooks" / name).read_text())
    return desk


def test_the_workbench_commands_run_in_the_order_in_which_they_stand(desk: Path) -> None:
    quick = [words for words in workbench_commands() if not any(words[: len(slow)] == slow for slow in ONLY_PARSED)]
    assert quick
    for words in quick:
        done = subprocess.run(
            ["workbench", *words],
            cwd=desk,
            env=environment(desk / "data"),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"workbench {shlex.join(words)}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_python_blocks_run(document: str, desk: Path) -> None:
    code = "\n".join(block.text for block in blocks("python") if block.document == document)
    if not code:
        assert document != "README.md"
        return
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=desk,
        env=environment(desk / "data"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
