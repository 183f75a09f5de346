"""Modules that are put off: what is not needed is not executed, and whoever touches it gets the real thing."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hogwild.late import _compiler, execute, put_off


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `slow.later` with a submodule, which counts how often it is executed."""
    later = tmp_path / "slow" / "later"
    later.mkdir(parents=True)
    (tmp_path / "slow" / "__init__.py").write_text("executed = []\n", encoding="utf-8")
    lines = "import time\nimport slow\nslow.executed.append(1)\ntime.sleep(0.05)\nfrom slow.later.part import number\n"
    (later / "__init__.py").write_text(lines + "def twice(x):\n    return 2 * x\n", encoding="utf-8")
    (later / "part.py").write_text("number = 7\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("slow")
    yield later
    for name in [name for name in sys.modules if name.partition(".")[0] == "slow"]:
        del sys.modules[name]


def executed() -> int:
    return len(sys.modules["slow"].executed)


def test_a_module_is_executed_when_something_is_asked_of_it(package: Path) -> None:
    with put_off("slow.later", lambda module: {"twice": lambda x: execute(module).twice(x)}):
        import slow.later
        from slow.later import twice
    assert executed() == 0
    assert twice(4) == 8
    assert executed() == 1
    assert slow.later.number == 7
    assert type(slow.later) is type(sys)
    assert "number" in dir(slow.later)
    with pytest.raises(AttributeError, match="nothing"):
        _ = slow.later.nothing


def test_a_submodule_executes_its_package_first(package: Path) -> None:
    with put_off("slow.later", lambda _: {}):
        import slow.later
    from slow.later.part import number

    assert (number, executed()) == (7, 1)
    assert slow.later.number == 7


def test_many_threads_get_one_whole_module(package: Path) -> None:
    with put_off("slow.later", lambda _: {}):
        import slow.later
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(slow.later.twice(slow.later.number))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (seen, executed()) == ([14] * 8, 1)


def test_who_comes_while_it_is_executed_waits_for_the_whole(package: Path) -> None:
    lines = "import threading\nimport slow\nslow.executed.append(1)\ndef early(): return helper()\n"
    waits = "slow.begun.set()\nslow.goes_on.wait(0.3)\ndef helper(): return 5\n"
    (package / "__init__.py").write_text(lines + waits, encoding="utf-8")
    sys.modules["slow"].begun, sys.modules["slow"].goes_on = threading.Event(), threading.Event()
    with put_off("slow.later", lambda _: {}):
        import slow.later
    first = threading.Thread(target=lambda: slow.later.early)
    first.start()
    sys.modules["slow"].begun.wait(10)
    assert slow.later.early() == 5
    first.join()


def test_a_module_may_be_executed_while_others_are_still_put_off(package: Path) -> None:
    """Its package is a package all the time, and an answer that was given before waits for the real one."""
    lines = "import slow\nslow.executed.append(1)\nslow.begun.set()\nslow.goes_on.wait(0.3)\n"
    ends = "from slow.later.part import number\ndef disable(function, recursive): return lambda: number\n"
    (package / "__init__.py").write_text(lines + ends, encoding="utf-8")
    sys.modules["slow"].begun, sys.modules["slow"].goes_on = threading.Event(), threading.Event()
    with put_off("slow.later", _compiler):
        import slow.later

        disable = slow.later.disable
        first = threading.Thread(target=lambda: slow.later.number)
        first.start()
        sys.modules["slow"].begun.wait(10)
    assert disable(executed)() == 7
    first.join()
    assert (slow.later.number, executed()) == (7, 1)


def test_threads_that_would_wait_for_each_other_go_on(package: Path) -> None:
    """One executes the module, which imports another one; that is being imported, and waits for the module."""
    lines = "import slow\nslow.executed.append(1)\nslow.begun.set()\nslow.both.wait(10)\nimport slow.user\n"
    (package / "__init__.py").write_text(lines + "def tail(): return 1\n", encoding="utf-8")
    (package.parent / "user.py").write_text(
        "import slow\nslow.begun.wait(10)\nslow.both.set()\nfrom slow.later import tail\n", encoding="utf-8"
    )
    sys.modules["slow"].begun, sys.modules["slow"].both = threading.Event(), threading.Event()
    with put_off("slow.later", lambda _: {}):
        import slow.later
    seen: list[int] = []
    works = (lambda: slow.later.tail(), lambda: importlib.import_module("slow.user").tail())
    threads = [threading.Thread(target=lambda do=do: seen.append(do()), daemon=True) for do in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (seen, executed()) == ([1, 1], 1)


def test_walks_through_all_modules_do_not_execute_it_and_it_can_be_pickled(package: Path) -> None:
    with put_off("slow.later", lambda _: {}):
        import slow.later
    for name in ("__version__", "__wrapped__", "__warningregistry__"):
        assert not hasattr(slow.later, name)
    assert pickle.loads(pickle.dumps(slow.later)) is slow.later
    assert executed() == 0


def test_a_module_that_failed_is_tried_again(package: Path) -> None:
    good = (package / "__init__.py").read_text(encoding="utf-8")
    (package / "__init__.py").write_text(
        "import slow\nslow.executed.append(1)\nraise OSError('not yet')\n", encoding="utf-8"
    )
    with put_off("slow.later", lambda _: {}):
        import slow.later
    with pytest.raises(OSError, match="not yet"):
        _ = slow.later.twice
    (package / "__init__.py").write_text(good + "# longer, so that nobody takes the old one\n", encoding="utf-8")
    assert slow.later.twice(3) == 6
    assert executed() == 2


def test_what_is_there_or_missing_is_left_alone(package: Path) -> None:
    import slow.later

    for name in ("slow.later", "slow.nowhere", "nothing_of_this_name.at_all"):
        with put_off(name, lambda _: {"twice": None}):
            pass
    assert slow.later.twice(1) == 2
    assert execute(slow.later) is slow.later


BASE = """
import sys
import hogwild.late
from hogwild import Engine
from workbench.models import embedded_directory

engine = Engine.from_pretrained(embedded_directory())
engine.decode([5, 6, 7], heads=[[8], [9]], separator_ids=[4], max_new_tokens=3)
heavy = ("torch._dynamo.trace_rules", "scipy.optimize._linprog", "sklearn", "triton")
print("executed:", *[name for name in heavy if name in sys.modules])

from transformers.utils import import_utils
from pathlib import Path
import transformers.models
place = Path(transformers.models.__file__)
again = import_utils.create_import_structure_from_path.__wrapped__(str(place))
print("read once:", import_utils.define_import_structure(str(place)) == import_utils.spread_import_structure(again))

from transformers.loss.loss_for_object_detection import linear_sum_assignment
print("assigned:", *linear_sum_assignment([[4, 1], [2, 8]])[1])

from transformers.generation.continuous_batching import PagedAttentionCache
from transformers.integrations.deepgemm import is_sm100
import torch
apart = torch._dynamo.disable
print("compiled:", torch.compile(lambda x: 2 * x, backend="eager")(torch.ones(2)).tolist())
print("apart:", apart(lambda x: x + 1)(2))
print("marked:", is_sm100._dynamo_marked_constant, "torch._dynamo.trace_rules" in sys.modules)
"""


def test_the_modelling_base_is_whole() -> None:
    """In a process of its own, because this one has imported everything."""
    done = subprocess.run([sys.executable, "-c", BASE], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.splitlines() == [
        "executed:",
        "read once: True",
        "assigned: 1 0",
        "compiled: [2.0, 2.0]",
        "apart: 3",
        "marked: True True",
    ], done.stderr[-2000:]
