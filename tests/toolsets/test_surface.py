"""What the room shows, and what it must not bring along."""

import doctest
import importlib
import subprocess
import sys

import pytest

import toolsets


def test_every_public_name_exists_and_is_listed_once() -> None:
    assert len(set(toolsets.__all__)) == len(toolsets.__all__)
    for name in toolsets.__all__:
        assert hasattr(toolsets, name)


@pytest.mark.parametrize("module", ["damaged", "diagnostics", "direct", "parse", "rendering"])
def test_the_examples_in_the_docstrings_are_true(module: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(f"toolsets.{module}"))
    assert attempted > 0
    assert failed == 0


def test_importing_the_room_loads_no_model_code() -> None:
    heavy = "{'torch', 'transformers', 'numpy', 'pydantic'}"
    program = f"import sys, toolsets; print(sorted({heavy} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout.strip() == "[]"
