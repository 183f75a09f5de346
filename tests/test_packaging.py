"""What `pip install` brings: a wheel is built from the tree, unpacked, and used from there."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {
    "workbench": ROOT / "workbench",
    "hogwild": ROOT / "hogwild",
    "memory": ROOT / "memory",
    "toolsets": ROOT / "toolsets",
    "hogwild_kernels": ROOT / "kernels" / "hogwild_kernels",
}
MODEL = "hogwild/embedded/model"
UI = ROOT / "workbench" / "ui"
EXTENSION = "share/jupyter/labextensions/agent-workbench"


def python(code: str, cwd: Path, path: str) -> str:
    env = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name and ".data/" not in name}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_holds_every_module_of_every_room_and_no_other_folder(names: set[str]) -> None:
    modules = {
        f"{room}/{file.relative_to(folder).as_posix()}"
        for room, folder in ROOMS.items()
        for file in folder.rglob("*.py")
        if UI not in file.parents
    }
    assert modules == {name for name in names if name.endswith(".py")}
    assert {name.split("/")[0] for name in names} == set(ROOMS)


def test_the_embedded_model_is_in_the_wheel_and_small(wheel: Path, names: set[str]) -> None:
    assert {f"{MODEL}/{name}" for name in ("config.json", "model.safetensors", "tokenizer.json")} <= names
    with zipfile.ZipFile(wheel) as archive:
        size = sum(entry.file_size for entry in archive.infolist() if entry.filename.startswith(MODEL))
    assert size <= 30 * 10**6


def test_the_built_front_end_is_in_the_wheel_and_its_sources_are_not(wheel: Path, names: set[str]) -> None:
    assert {f"workbench/static/{name}" for name in ("widget.js", "view.js", "run.css")} <= names
    assert not {name for name in names if name.startswith(("workbench/ui/", "workbench/labextension/"))}
    with zipfile.ZipFile(wheel) as archive:
        shared = {name.split("/data/")[1] for name in archive.namelist() if ".data/data/" in name}
    assert {f"{EXTENSION}/package.json", f"{EXTENSION}/schemas/agent-workbench/panel.json"} <= shared
    assert [name for name in shared if name.startswith(f"{EXTENSION}/static/remoteEntry.")]


def test_the_wheel_installs_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        entry = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "workbench = workbench.entry:main" in archive.read(entry).decode()


def test_an_installed_wheel_finds_its_rooms_and_its_model(installed: Path, tmp_path: Path) -> None:
    code = (
        "import workbench, hogwild, memory, toolsets, hogwild_kernels\n"
        "from workbench.rooms import check_rooms\n"
        "check_rooms()\n"
        "from transformers import AutoConfig, AutoTokenizer\n"
        "from pathlib import Path\n"
        f"model = Path(hogwild.__file__).parents[1] / {MODEL!r}\n"
        "AutoTokenizer.from_pretrained(model)\n"
        "print(workbench.__file__, AutoConfig.from_pretrained(model).model_type)\n"
    )
    file, kind = python(code, tmp_path, str(installed)).split()
    assert Path(file).is_relative_to(installed)
    assert kind in {"llama", "qwen3"}


def test_no_room_takes_the_name_of_a_package_that_transformers_imports(tmp_path: Path) -> None:
    code = (
        "import hogwild_kernels\n"
        "from transformers.utils.import_utils import is_kernels_available\n"
        "from transformers.models.qwen3.modeling_qwen3 import Qwen3ForCausalLM\n"
        "print(Qwen3ForCausalLM.__name__, is_kernels_available())\n"
    )
    assert python(code, ROOT, f"{ROOT}:{ROOT / 'kernels'}").startswith("Qwen3ForCausalLM")
    assert not (ROOT / "kernels" / "__init__.py").exists()


def test_what_is_constrained_is_what_is_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    asked = {name.split(">")[0].split("[")[0] for name in [*project["dependencies"], *extras]}
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = dict(line.split("==") for line in lines)
    assert set(pinned) <= asked
    assert pinned["torch"] == "2.13.0"


def test_the_wheel_switches_the_server_extension_on(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (place,) = [name for name in archive.namelist() if "/etc/jupyter/jupyter_server_config.d/" in name]
        config = json.loads(archive.read(place))
    assert config["ServerApp"]["jpserver_extensions"] == {"workbench.server": True}
