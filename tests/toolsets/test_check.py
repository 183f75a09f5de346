"""Everything that is wrong with a plan is found before anything runs, each with its own kind, and the rest can run."""

import doctest
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import TypedDict

import toolsets.check
from toolsets.check import Checker, DiagnosticKind, check
from toolsets.fronts import parse
from toolsets.plan import Plan, PlannedCall, Ref, Template
from toolsets.tool import Tool, tool

K = DiagnosticKind


class Place(TypedDict):
    name: str
    lat: float


@tool
def places(query: str, limit: int = 3) -> list[Place]:
    """Places by name."""
    return [{"name": query, "lat": limit}]


@tool
def place(name: str) -> Place:
    """One place."""
    return {"name": name, "lat": 1}


@tool
def add(a: float, b: float) -> float:
    """Sum."""
    return a + b


@tool
def count(items: list[str], way: Literal["up", "down"] = "up") -> int:
    """How many."""
    return len(items)


@tool
def anything(value: Any = None) -> Any:
    """Anything at all."""
    return value


TOOLS = {each.name: each for each in (places, place, add, count, anything)}


def kinds(*calls: PlannedCall) -> list[tuple[str | None, str]]:
    return [(one.call, one.kind.value) for one in check(Plan(calls), TOOLS).diagnostics]


def sound(*calls: PlannedCall) -> list[str]:
    return [call.id for call in check(Plan(calls), TOOLS).calls]


def call(id: str, tool: str, after: tuple[str, ...] = (), **arguments: Any) -> PlannedCall:
    return PlannedCall(id, tool, arguments, line=int(id) if id.isdigit() else 0, after=after)


def test_a_sound_plan_passes_as_it_is() -> None:
    calls = (call("1", "places", query="Rome"), call("2", "add", a=Ref("1", (0, "lat")), b=1))
    checked = check(Plan(calls, joins=True), TOOLS)
    assert checked.plan == Plan(calls, joins=True)
    assert checked.diagnostics == ()


@pytest.mark.parametrize(
    ("bad", "kind", "words"),
    [
        (call("2", "plces", query="x"), K.UNKNOWN_TOOL, "did you mean places or place?"),
        (call("2", "functions.add", a=1, b=1), K.UNKNOWN_TOOL, "did you mean add"),
        (call("2", "zzz"), K.UNKNOWN_TOOL, "use one of add, anything, count"),
        (call("2", "add", a=1), K.MISSING_ARGUMENT, "needs the parameter 'b'"),
        (call("2", "add", a=1, b=2, c=3), K.UNKNOWN_ARGUMENT, "has no parameter 'c'"),
        (call("2", "add", a="one", b=2), K.ILL_TYPED_ARGUMENT, "a of add must be a number, not 'one'"),
        (call("2", "add", a=[Ref("1"), {"x": Ref("1")}], b=2), K.ILL_TYPED_ARGUMENT, "not [$1, {'x': $1}]"),
        (call("2", "count", items=[], way="left"), K.ILL_TYPED_ARGUMENT, '"up" or "down"'),
        (call("2", "add", a=Ref("9"), b=1), K.UNKNOWN_REFERENCE, "call 9, which does not exist"),
        (call("2", "add", a=Ref("3"), b=1), K.FORWARD_REFERENCE, "call 3, which comes later"),
        (call("2", "place", name="see $3"), K.FORWARD_REFERENCE, "$$3 for the text"),
        (call("2", "add", a=Ref("2"), b=1), K.CYCLE, "waits for itself"),
        (call("2", "add", after=("3",), a=1, b=1), K.FORWARD_REFERENCE, "call 3"),
        (call("2", "add", a=Ref("1", ("lon",)), b=1), K.UNKNOWN_FIELD, "$1 is a record with name and lat"),
        (call("2", "add", a=Ref("1", ("lat", 0)), b=1), K.UNKNOWN_FIELD, "$1.lat is a number"),
        (call("2", "add", a=Ref("1", (0,)), b=1), K.UNKNOWN_FIELD, "$1[0] does not exist"),
        (call("2", "add", a=Ref("1"), b=1), K.ILL_TYPED_REFERENCE, "must be a number, but $1 of place is an object"),
        (call("2", "count", items=Ref("1", ("lat",))), K.ILL_TYPED_REFERENCE, "must be a list"),
        (call("2", "count", items=Template(("a", Ref("1")))), K.ILL_TYPED_REFERENCE, "must be a list"),
        (call("1", "add", a=1, b=1), K.DUPLICATE_ID, "given to two calls"),
    ],
)  # fmt: skip
def test_each_fault_has_its_kind_and_one_sentence(bad: PlannedCall, kind: DiagnosticKind, words: str) -> None:
    checked = check(Plan((call("1", "place", name="Rome"), bad, call("3", "anything"))), TOOLS)
    [diagnostic] = checked.diagnostics
    assert diagnostic.kind is kind
    assert (diagnostic.call, diagnostic.line) == (bad.id, bad.line)
    assert words in diagnostic.message
    assert diagnostic.message[-1] in ".?"
    assert "\n" not in diagnostic.message
    assert [one.id for one in checked.calls] == ["1", "3"]


def test_every_fault_of_a_call_is_told_at_once() -> None:
    bad = call("1", "add", a="one", c=Ref("7"))
    assert sorted(kind for _, kind in kinds(bad)) == [
        "ill_typed_argument",
        "missing_argument",
        "unknown_argument",
        "unknown_reference",
    ]


def test_whoever_waits_for_an_unsound_call_is_told_so_and_the_others_run() -> None:
    calls = (
        call("1", "nothing"),
        call("2", "anything", value=Ref("1")),
        call("3", "anything", value=[{"deep": Ref("2", ("x",))}]),
        call("4", "anything", after=("1",)),
        call("5", "anything", value="free"),
    )
    assert kinds(*calls) == [
        ("1", "unknown_tool"),
        ("2", "depends_on_unsound"),
        ("3", "depends_on_unsound"),
        ("4", "depends_on_unsound"),
    ]
    assert sound(*calls) == ["5"]


def test_the_calls_of_a_cycle_are_named_and_no_others() -> None:
    calls = (
        call("1", "anything", value=Ref("3")),
        call("2", "anything", value=Ref("1")),
        call("3", "anything", value=[Ref("2")]),
        call("4", "anything", value=Ref("3")),
        call("5", "anything"),
    )
    assert kinds(*calls) == [("1", "cycle"), ("2", "cycle"), ("3", "cycle"), ("4", "depends_on_unsound")]
    assert "calls 1, 2 and 3 wait for each other" in check(Plan(calls), TOOLS).diagnostics[0].message
    assert sound(*calls) == ["5"]


def test_the_first_call_keeps_an_id_that_two_claim() -> None:
    calls = (call("1", "place", name="a"), call("1", "add", a=1, b=1), call("2", "place", name=Ref("1", ("name",))))
    assert sound(*calls) == ["1", "2"]


@pytest.mark.parametrize(
    ("source", "path", "fits"),
    [
        ("places", (), set()),
        ("places", (0, "name"), {"text", "number", "list"}),
        ("place", ("lat",), {"number"}),
        ("place", (), set()),
        ("anything", ("what", 0, "ever"), {"text", "number", "list"}),
    ],
)
def test_a_reference_is_accepted_where_the_result_can_fit(source: str, path: Any, fits: set[str]) -> None:
    """A text can be a number or a list that is written as a text."""
    given = {"places": {"query": "x"}, "place": {"name": "x"}, "anything": {}}[source]
    ref = Ref("1", path)
    users = {"text": ("place", {"name": ref}), "number": ("add", {"a": ref, "b": 1}), "list": ("count", {"items": ref})}
    for kind, (user, arguments) in users.items():
        expected = [] if kind in fits else [("2", "ill_typed_reference")]
        assert kinds(call("1", source, **given), call("2", user, **arguments)) == expected, kind


def test_arguments_given_by_place_get_their_names() -> None:
    plan, _ = parse("1. add(1, 2)\n2. add(b=1, 2)\n3. add(1, 2, 3)\n4. add({'a': 1, 'b': $1})\n5. place('x')")
    checked = check(plan, TOOLS)
    assert [one.arguments for one in checked.calls] == [
        {"a": 1, "b": 2},
        {"b": 1, "a": 2},
        {"a": 1, "b": Ref("1")},
        {"name": "x"},
    ]
    assert [one.message for one in checked.diagnostics] == [
        "add takes no argument at place 3: call it as add(a: number, b: number)."
    ]


def test_calls_of_earlier_rounds_can_be_referred_to_and_their_fields_are_known() -> None:
    plan = Plan((call("2", "add", a=Ref("1", ("lat",)), b=1), call("3", "add", a=Ref("1", ("lon",)), b=1)))
    checked = check(plan, TOOLS, earlier={"1": "place"})
    assert [(one.call, one.kind) for one in checked.diagnostics] == [("3", K.UNKNOWN_FIELD)]


def test_whoever_refers_to_an_unreadable_call_waits_for_an_unsound_one() -> None:
    plan, diagnostics = parse("1. add(1, bare words)\n2. anything($1)", "llmcompiler")
    checked = check(plan, TOOLS, unread=[one.call for one in diagnostics if one.call])
    assert [(one.call, one.kind) for one in checked.diagnostics] == [("2", K.DEPENDS_ON_UNSOUND)]


def test_calls_can_be_judged_one_by_one_while_the_plan_is_written() -> None:
    checker = Checker(TOOLS)
    first, none = checker.add(call("1", "place", name="Rome"))
    assert first is not None
    assert none == []
    later, found = checker.add(call("2", "add", a=Ref("3"), b=1))
    assert later is None
    assert [one.kind for one in found] == [K.UNKNOWN_REFERENCE]
    assert checker.add(call("3", "add", a=Ref("2"), b=1))[1][0].kind is K.DEPENDS_ON_UNSOUND


def test_a_long_chain_is_judged_without_recursion() -> None:
    calls = [call("0", "anything")]
    calls += [call(str(n), "anything", value=Ref(str(n - 1))) for n in range(1, 5_000)]
    assert len(check(Plan(tuple(calls)), TOOLS).calls) == 5_000
    circle = replace(calls[0], arguments={"value": Ref("4999")})
    assert {one.kind for one in check(Plan((circle, *calls[1:])), TOOLS).diagnostics} == {K.CYCLE}


@given(st.lists(st.tuples(st.integers(0, 6), st.lists(st.integers(0, 8), max_size=3)), max_size=7))
def test_the_sound_part_of_any_plan_can_run_in_its_order(shape: list[tuple[int, list[int]]]) -> None:
    calls = tuple(call(str(id), "anything", value=[Ref(str(need)) for need in needs]) for id, needs in shape)
    checked = check(Plan(calls), TOOLS)
    done: set[str] = set()
    for one in checked.calls:
        assert done.issuperset(one.needs())
        assert one.id not in done
        done.add(one.id)
    faulty = len(calls) - len(checked.calls)
    assert (faulty > 0) == bool(checked.diagnostics)
    assert len({id(one) for one in calls}) == len(checked.calls) + faulty


def test_the_example_in_the_docstring_is_true() -> None:
    failed, attempted = doctest.testmod(toolsets.check)
    assert attempted > 0
    assert failed == 0


def test_tools_without_a_returns_schema_accept_every_reference() -> None:
    unknown = Tool("far", "Far", {"type": "object", "properties": {}}, lambda: None, "value")
    plan = Plan((call("1", "far"), call("2", "add", a=Ref("1", ("x", 3)), b=Ref("1"))))
    assert not check(plan, TOOLS | {"far": unknown}).diagnostics
