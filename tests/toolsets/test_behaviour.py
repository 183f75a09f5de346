"""Duplicates by behaviour: tools run on each other's calls, in the real sandbox; what is merged, and what never is."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.store import Library
from memory.values import Row, Snapshot
from toolsets import shelf
from toolsets.composites import Composite, Parameter, Part, Result, python_of
from toolsets.making.answers import same_answer
from toolsets.making.behaviour import Comparison, compare, merge_plan
from toolsets.making.checking import Recorded, Subject, recorded_calls, run_code_call
from toolsets.making.probes import probes_of
from toolsets.sandbox import Sandbox
from toolsets.seeding import seed_library
from toolsets.shelf import tool_of
from toolsets.standard import STANDARD

DOC = '    """Count the groups {}."""\n'


def counting(word: str, sign: str, name: str = "", parameters: str = "groups: list[int], bound: int") -> str:
    groups, bound = (part.partition(":")[0].strip() for part in parameters.split(", "))
    return (
        f"def {name or f'count_groups_{word}'}({parameters}) -> int:\n{DOC.format(word)}"
        f"    return sum(value {sign} {bound} for value in {groups})\n"
    )


def call(result: Any, **arguments: Any) -> dict[str, Any]:
    return {"arguments": arguments, "result": result}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as opened:
        yield opened


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library(tmp_path) as opened:
        yield opened


def put(library: Library, code: str, *calls: dict[str, Any], **fields: Any) -> Row:
    return library.add(Snapshot("tool", {"code": code, "calls": list(calls), **fields}), author="ana")


def test_above_and_below_never_merge_even_where_their_recorded_calls_agree(library: Library, sandbox: Sandbox) -> None:
    # Of [1, 5], one is above 3 and one is below: the recorded calls alone would call them the same.
    recorded = call(1, groups=[1, 5], bound=3), call(2, groups=[2, 9, 1, 8], bound=5)
    above = put(library, counting("above", ">"), *recorded)
    below = put(library, counting("below", "<"), *recorded)
    found = compare(above, below, library, sandbox=sandbox)
    assert found.alike is False
    assert "with a small change" in found.differs
    assert found.sentence().startswith("count_groups_above and count_groups_below differ: ")


def test_the_same_under_other_names_and_in_another_order_is_alike(library: Library, sandbox: Sandbox) -> None:
    one = put(library, counting("above", ">"), call(2, groups=[1, 7, 9], bound=5), call(0, groups=[1], bound=3))
    code = counting("beyond", ">", "number_beyond", "numbers: list[int], limit: int")
    swapped = code.replace("numbers: list[int], limit: int", "limit: int, numbers: list[int]")
    other = put(library, swapped, call(1, limit=4, numbers=[4, 5]))
    found = compare(one, other, library, sandbox=sandbox)
    assert found.alike is True
    assert found.mapping == {"groups": "numbers", "bound": "limit"}
    assert found.agreed >= 6


def test_a_swap_of_the_same_names_is_found(library: Library, sandbox: Sandbox) -> None:
    one = put(
        library, 'def minus(a: int, b: int) -> int:\n    """Difference."""\n    return a - b\n', call(3, a=5, b=2)
    )
    other = put(
        library, 'def minus_from(a: int, b: int) -> int:\n    """Rest."""\n    return b - a\n', call(3, a=4, b=7)
    )
    found = compare(one, other, library, sandbox=sandbox)
    assert found.alike is True
    assert found.mapping == {"a": "b", "b": "a"}


def test_a_tool_from_the_library_is_compared_with_a_built_in_one_and_with_a_composite(
    library: Library, sandbox: Sandbox
) -> None:
    seed_library(library)
    own = put(
        library,
        'def common(x: int, y: int) -> int:\n    """Divisor."""\n    return math.gcd(x, y)\n',
        call(6, x=12, y=18),
    )
    gcd = library.active("tool", "gcd")
    assert gcd is not None
    found = compare(own, gcd, library, sandbox=sandbox)
    assert found.alike is True
    plan = merge_plan(found)
    assert plan.changes[0].row_id == gcd.row_id
    assert call(6, a=12, b=18) in plan.changes[0].after.content["calls"]
    twice = Composite(
        {"n": {"type": "integer"}},
        (
            Part("1", "add", {"a": Parameter("n"), "b": Parameter("n")}),
            Part("2", "add", {"a": Result("1"), "b": Parameter("n")}),
        ),
        "2",
    )
    code = python_of(twice, "thrice", "Three times.", STANDARD)
    composite = put(library, code, call(21, n=7), plan=twice.as_json())
    plain = put(library, 'def triple(n: int) -> int:\n    """Three times."""\n    return 3 * n\n', call(6, n=2))
    assert compare(composite, plain, library, sandbox=sandbox).alike is True


def test_without_calls_nothing_can_be_said(library: Library, sandbox: Sandbox) -> None:
    one, other = put(library, counting("above", ">")), put(library, counting("over", ">"))
    found = compare(one, other, library, sandbox=sandbox)
    assert found.alike is None
    assert "no recorded calls" in found.sentence()


def test_where_no_call_runs_it_is_said_why(library: Library, sandbox: Sandbox) -> None:
    code = "import nowhere\n\ndef {}(groups: list[int]) -> int:\n    return 1\n"
    one, other = (put(library, code.format(name), call(1, groups=[1])) for name in ("gone", "lost"))
    found = compare(one, other, library, sandbox=sandbox)
    assert found.alike is None
    assert "No module named 'nowhere'" in found.sentence()


def test_calls_that_are_code_are_run_on_the_other_tool(library: Library, sandbox: Sandbox) -> None:
    def craft(word: str, sign: str, question: str, numbers: list[int], bound: int, positional: bool = False) -> Row:
        name = f"count_groups_{word}"
        given = "table, bound" if positional else "groups=table, bound=bound"
        text = f"table = {numbers}\nbound = {bound}\nprint({name}({given}))"
        return put(library, counting(word, sign), problems=[{"text": question, "call": text, "answer": "2"}])

    above = craft("above", ">", "How many of them are more than 5?", [1, 7, 9], 5)
    below = craft("below", "<", "How many of them are fewer than 5?", [1, 2, 9], 5)
    more = craft("over", ">", "How many of them exceed 3?", [1, 7, 9], 3, positional=True)
    assert compare(above, below, library, sandbox=sandbox).alike is False
    found = compare(above, more, library, sandbox=sandbox)
    assert found.alike is True
    entry = library.apply(merge_plan(found), author="ana")
    kept = library.rows("tool", name="count_groups_above") or library.rows("tool", name="count_groups_over")
    (row,) = [row for row in kept if row.state == "proposed"]
    assert len(row.content["problems"]) == 2
    # The call of the tool that is gone still runs, on the one that stayed.
    subject = Subject(row, library, sandbox)
    assert [subject.run(one).value for one in recorded_calls(row.content)] == [2, 2]
    library.undo(entry.number, author="ana")
    assert len([row for row in library.rows("tool") if row.state == "proposed"]) == 3


def test_a_merge_keeps_the_more_general_tool_and_all_exemplars(library: Library, sandbox: Sandbox) -> None:
    one = put(library, counting("above", ">"), call(2, groups=[1, 7, 9], bound=5), problems=[{"text": "More than 5?"}])
    general = (
        'def count(numbers: list[int], limit: int, step: int = 1) -> int:\n    """Count."""\n'
        "    return sum(n > limit for n in numbers[::step])\n"
    )
    other = put(library, general, call(1, numbers=[4, 5], limit=4), problems=[{"text": "Beyond 4?"}])
    found = compare(one, other, library, sandbox=sandbox)
    assert found.alike is True
    library.apply(merge_plan(found), author="ana")
    kept = library.row(other.row_id)
    assert [problem["text"] for problem in kept.content["problems"]] == ["Beyond 4?", "More than 5?"]
    assert kept.content["calls"] == [call(1, limit=4, numbers=[4, 5]), call(2, limit=5, numbers=[1, 7, 9])]
    assert library.row(one.row_id).state == "retired"
    assert all(Subject(kept, library, sandbox).run(each).value == each.result for each in recorded_calls(kept.content))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def spin(groups: list[int], bound: int) -> int:\n    while True:\n        pass\n", "differ"),
        ("import nowhere\n\ndef gone(groups: list[int], bound: int) -> int:\n    return 1\n", "No module named"),
        (
            'def text(groups: str, bound: str) -> str:\n    """Text."""\n    return groups + bound\n',
            "cannot be matched",
        ),
        ("def many(*groups):\n    return 1\n", "cannot be passed by name"),
    ],
)
def test_a_tool_that_cannot_do_it_is_another_tool(
    library: Library, sandbox: Sandbox, code: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "LIMITS", replace(shelf.LIMITS, time_s=1.0))
    one = put(library, counting("above", ">"), call(2, groups=[1, 7, 9], bound=5))
    found = compare(one, put(library, code), library, sandbox=sandbox)
    assert not found.alike
    assert said in found.sentence()


def test_a_call_in_a_fence_prints_or_returns_its_value(sandbox: Sandbox) -> None:
    code = "def double(n):\n    return 2 * n\n"
    for text in ("```python\nn = 4\nprint(double(n))\n```", "double(4)", "for n in [4]:\n    print(double(n))"):
        assert same_answer(run_code_call(code, "double", text, sandbox=sandbox).value, 8)
    assert run_code_call(code, "double", 'double("\u2028a")', sandbox=sandbox).value == "\u2028a\u2028a"
    broken = run_code_call(code, "double", "double(", sandbox=sandbox)
    assert broken.error is not None
    assert "not Python" in broken.error


def test_a_call_that_is_too_deep_to_be_written_again_has_no_probes() -> None:
    assert list(probes_of(Recorded(text=f"f({'+'.join('1' * 900)})"))) == []


def test_probes_change_one_thing_each() -> None:
    probes = [probe.arguments for probe in probes_of(Recorded({"groups": [1, 2], "bound": 3}, 1))]
    assert {"groups": [2], "bound": 3} in probes
    assert {"groups": [1, 2], "bound": 4} in probes
    texts = [probe.text for probe in probes_of(Recorded(text="f([1, 2], 3)"))]
    assert texts[:2] == ["f([1, 2], 4)", "f([1, 3], 3)"]


@given(
    st.one_of(st.integers(-(10**12), 10**12), st.floats(-1e9, 1e9), st.booleans(), st.lists(st.integers(), max_size=4))
)
def test_every_value_is_the_same_as_its_own_text(value: Any) -> None:
    assert same_answer(value, str(value))


def test_comparisons_say_what_they_found(library: Library) -> None:
    one = put(library, counting("above", ">"))
    assert Comparison(one, one, True, agreed=7).sentence().endswith("returned the same on 7 calls.")
    assert tool_of(one, library).name == "count_groups_above"
