"""A person's own file with the name of one of our rooms is named, not tripped over; each case in its own process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`code` as the first cell of a notebook in `cwd` would run it: that folder comes first on the path."""
    env = {**os.environ, "PYTHONPATH": f"{cwd}:{ROOT}:{ROOT / 'kernels'}"}
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("room", ["memory", "toolsets", "hogwild", "hogwild_kernels"])
def test_a_file_that_hides_a_room_is_named(tmp_path: Path, room: str) -> None:
    mine = tmp_path / f"{room}.py"
    mine.write_text("notes = []\n")
    done = python("import workbench", cwd=tmp_path)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].endswith(
        f"{mine} hides the workbench's own package `{room}`: rename it, or start Python in another folder."
    )


def test_a_file_that_was_imported_before_us_is_named(tmp_path: Path) -> None:
    (tmp_path / "memory.py").write_text("")
    done = python("import memory, workbench", cwd=tmp_path)
    assert f"{tmp_path / 'memory.py'} hides" in done.stderr


def test_a_package_that_hides_a_room_is_named(tmp_path: Path) -> None:
    (tmp_path / "toolsets").mkdir()
    (tmp_path / "toolsets" / "__init__.py").write_text("")
    done = python("import workbench", cwd=tmp_path)
    assert f"{tmp_path / 'toolsets' / '__init__.py'} hides" in done.stderr


def test_a_data_folder_with_the_name_of_a_room_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "notes.txt").write_text("mine")
    done = python("import workbench, memory; print(memory.__file__)", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == ROOT / "memory" / "__init__.py"


def test_a_room_that_is_not_there_is_missed(tmp_path: Path) -> None:
    # An editable install is found by a finder of its own, a wheel by the path.
    code = "from workbench.rooms import check_rooms; import sys; sys.path.clear(); sys.meta_path.clear(); check_rooms()"
    done = python(code, cwd=tmp_path)
    assert "is missing from" in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].endswith("install agent-workbench again.")


def test_looking_imports_nothing(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from workbench.rooms import check_rooms\n"
        "before = set(sys.modules)\n"
        "check_rooms()\n"
        "print(sorted(set(sys.modules) - before), 'memory' in sys.modules)\n"
    )
    assert python(code, cwd=tmp_path).stdout == "[] False\n"


def test_the_answer_is_one_of_our_own_errors(tmp_path: Path) -> None:
    (tmp_path / "memory.py").write_text("")
    code = (
        "try:\n"
        "    import workbench\n"
        "except ImportError as why:\n"
        "    print([kind.__name__ for kind in type(why).__mro__][:2])\n"
    )
    assert python(code, cwd=tmp_path).stdout == "['ShadowedRoom', 'WorkbenchError']\n"
