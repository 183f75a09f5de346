"""Each grammar: what it accepts, what damage it mends, and how precisely it says what it cannot read."""

import doctest
from typing import Any

import pytest

import toolsets.fronts
import toolsets.fronts.calls
from toolsets.diagnostics import DiagnosticKind
from toolsets.errors import PlanError
from toolsets.fronts import parse, parser, render
from toolsets.plan import Plan, PlannedCall, Ref, Template


def read(text: Any, front: str = "auto") -> list[tuple[str, str, Any]]:
    plan, diagnostics = parse(text, front)
    assert not diagnostics
    return [(call.id, call.tool, call.arguments) for call in plan]


def faults(text: str, front: str) -> list[tuple[str | None, int, str]]:
    _, diagnostics = parse(text, front)
    assert {one.kind for one in diagnostics} <= {DiagnosticKind.SYNTAX}
    assert all(one.expected for one in diagnostics)
    return [(one.call, one.line, one.message) for one in diagnostics]


# ---------------------------------------------------------------------------------------------------- LLMCompiler


def test_numbered_calls_with_thoughts_between_them_are_read() -> None:
    text = """Thought: it's (not) that hard
1. search("Rome", limit=3)
Thought: now 2. is next
- 2. mean(numbers=[$1[0].n, ${1}[1]["n"], 3])  # a comment
**3. add(a=$2, b="${2} $")
4. join()
5. never(a=1)"""
    plan, diagnostics = parse(text, "llmcompiler")
    assert not diagnostics
    assert plan.joins
    assert [(call.id, call.line) for call in plan] == [("1", 2), ("2", 4), ("3", 5)]
    assert plan.calls[0].arguments == {"0": "Rome", "limit": 3}
    assert plan.calls[1].arguments == {"numbers": [Ref("1", (0, "n")), Ref("1", (1, "n")), 3]}
    assert plan.calls[2].arguments["b"] == Template((Ref("2"), " $"))
    assert plan.calls[0].raw == '1. search("Rome", limit=3)'


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("1. f('it's', True, None)", {"0": "it's", "1": True, "2": None}),
        ('1. f("say "hi" now")', {"0": 'say "hi" now'}),
        ("1. f(a={'k': [1, 2,],})", {"a": {"k": [1, 2]}}),
        ("1. f((1, 2), a=-0.5)", {"0": [1, 2], "a": -0.5}),
        ('1. f("""two\nlines ) of "text""")', {"0": 'two\nlines ) of "text'}),
        ('1. f(\n  "a",\n  b=1\n)', {"0": "a", "b": 1}),
        ('1. f("a\nb")', {"0": "a\nb"}),
        ("1. f()", {}),
        ("1) f(1)", {"0": 1}),
        ("Action: 1. f(1)", {"0": 1}),
    ],
)
def test_slips_in_a_numbered_call_are_mended(text: str, arguments: dict[str, Any]) -> None:
    assert read(text, "llmcompiler") == [("1", "f", arguments)]


def test_a_damaged_numbered_call_costs_only_itself() -> None:
    text = '1. f("no end)\n2. g("x")\n3. h(1\n4. k(a=1, a=2)\n5. m(bare word)\n6. n(1)\n7. o(12'
    assert [call[:2] for call in [(c.id, c.tool) for c in parse(text, "llmcompiler")[0]]] == [
        ("2", "g"),
        ("3", "h"),
        ("6", "n"),
    ]
    assert [(id, line) for id, line, _ in faults(text, "llmcompiler")] == [("1", 1), ("4", 4), ("5", 5), ("7", 7)]
    messages = [message for *_, message in faults(text, "llmcompiler")]
    assert "no closing quote" in messages[0]
    assert "given twice" in messages[1]
    assert "without quotes" in messages[2]
    assert "close it with )" in messages[3]


def test_a_call_is_known_the_moment_its_bracket_closes() -> None:
    read = parser("llmcompiler")
    assert read.feed("Thought: x\n1. gcd(12, 1") == []
    assert [item.id for item in read.feed("8)") if isinstance(item, PlannedCall)] == ["1"]


# ---------------------------------------------------------------------------------------------------- JSON


def test_a_dta_round_is_a_list_of_calls_with_prose_around_it() -> None:
    text = """Thought: I'll need [1] and {two}.
Function Call: [{"name": "gcd", "arguments": {"a": 12, "b": 18}}, {'name': 'add', 'arguments': '{"a": "$1", "b": 3}'}]
Done, isn't it?"""
    assert read(text, "dta") == [("1", "gcd", {"a": 12, "b": 18}), ("2", "add", {"a": Ref("1"), "b": 3})]


def test_a_second_list_is_a_round_that_waits_for_the_first() -> None:
    text = '[{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}]\nthen [{"name": "h", "arguments": {}}]'
    plan, _ = parse(text, "dta")
    assert [(call.tool, call.after) for call in plan] == [("f", ()), ("g", ()), ("h", ("1", "2"))]
    assert parse(render(plan, "dta"), "dta")[0].calls[2].after == ("1", "2")


@pytest.mark.parametrize(
    "text",
    [
        '[{"name": "f", "arguments": {"a": 1}, {"name": "g", "arguments": {"b": "$1"}}]',
        '[{"name": "f", "arguments": {"a": 1, {"name": "g", "arguments": {"b": "$1"}}]',
        '[{"name": "f", "arguments": {"a": 1}} {"name": "g", "arguments": {"b": "$1"}}',
        '{"name": "f", "arguments": {"a": 1}}\n{"name": "g", "arguments": {"b": "$1"}',
        "[{name: 'f', arguments: {a: 1,},}, {'tool': 'g', 'args': {'b': '$1'}}]",
        '[{"function": {"name": "f", "arguments": {"a": 1}}}, {"tool_name": "g", "input": {"b": "$1"}}]',
    ],
)
def test_slips_in_a_round_are_mended(text: str) -> None:
    assert read(text, "dta") == [("1", "f", {"a": 1}), ("2", "g", {"b": Ref("1")})]


def test_a_damaged_object_costs_only_itself_and_keeps_its_number() -> None:
    text = (
        '[{"name": "f", "arguments": 5},\n {"name": "g", "arguments": {}},\n {"arguments": {}}, {"name": "h", "n": 1}'
    )
    assert [(call.id, call.tool) for call in parse(text, "dta")[0]] == [("2", "g")]
    assert [(id, line) for id, line, _ in faults(text, "dta")] == [("1", 1), ("3", 3), ("4", 3)]
    assert faults('[{"name": "f", "arguments": {"a": 12', "dta") == [
        ("1", 1, "The call does not end: close it with }.")
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"city": "Rome"}',
        "see [1] and {this}",
        '[{"people": 3}]',
        "{}",
        "[]",
        "it's {a: b",
        '{"type": "text", "text": "x"}',
    ],
)
def test_objects_that_are_no_calls_are_passed_over(text: str) -> None:
    for front in ("dta", "tool_calls", "tool_use"):
        plan, diagnostics = parse(text, front)
        assert not plan.calls
        assert not diagnostics


def test_calls_inside_the_arguments_of_a_call_are_not_calls() -> None:
    inner = {"name": "rm", "arguments": {}}
    text = f'[{{"name": "f", "arguments": {{"x": [{inner}], "tool_calls": [{inner}], "content": {inner}}}}}]'
    assert [tool for _, tool, _ in read(text, "dta")] == ["f"]
    assert [tool for _, tool, _ in read(text, "tool_calls")] == ["f"]


def test_tagged_calls_are_read_with_their_lines() -> None:
    text = 'So.\n<tool_call>\n{"name": "f", "arguments": {"a": "$x"}}\n</tool_call>\n<tool_call>{"name": 5}</tool_call>'
    plan, diagnostics = parse(text, "tool_calls")
    assert [(call.id, call.tool, call.line) for call in plan] == [("1", "f", 2)]
    assert [(one.call, one.line) for one in diagnostics] == [("2", 5)]


def test_an_openai_message_is_read_as_a_dict_or_as_text() -> None:
    call = {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    other = {"id": "call_b", "type": "function", "function": {"name": "g", "arguments": '{"b": "$call_a", "c": "$1"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call, other]}
    expected = [("call_a", "f", {"a": 1}), ("call_b", "g", {"b": Ref("call_a"), "c": Ref("call_a")})]
    assert read(message) == expected
    assert read({"choices": [{"message": message}]}, "tool_calls") == expected


def test_tool_use_blocks_are_read_from_a_message_a_list_or_alone() -> None:
    block = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": [1]}}
    expected = [("toolu_1", "f", {"a": [1]})]
    for text in (block, [{"type": "text", "text": "it's"}, block], {"role": "assistant", "content": [block]}):
        assert read(text) == expected
    assert faults('{"type": "tool_use", "input": {}}', "tool_use")[0][1] == 1


# ---------------------------------------------------------------------------------------------------- Python


def test_assignments_nested_calls_and_bare_calls_are_read() -> None:
    text = """I will compute this.
```python
x = gcd(12, b=18)  # first
total = add(x, mul(x.n[0], -2))
print(f"sum {total}", [x["k"], None, true], {"k": ($1, "${1}")})
a, b = two()
use(b)
```
Note(s): see above"""
    assert read(text, "python") == [
        ("x", "gcd", {"0": 12, "b": 18}),
        ("2", "mul", {"0": Ref("x", ("n", 0)), "1": -2}),
        ("total", "add", {"0": Ref("x"), "1": Ref("2")}),
        (
            "4",
            "print",
            {
                "0": Template(("sum ", Ref("total"))),
                "1": [Ref("x", ("k",)), None, True],
                "2": {"k": [Ref("x"), Ref("x")]},
            },
        ),
        ("5", "two", {}),
        ("6", "use", {"0": Ref("5", (1,))}),
    ]


def test_a_name_that_is_given_again_means_the_new_result() -> None:
    assert read("x = f(1)\nx = g(x)\nh(x, '$x')", "python") == [
        ("x", "f", {"0": 1}),
        ("x_2", "g", {"0": Ref("x")}),
        ("3", "h", {"0": Ref("x_2"), "1": Ref("x_2")}),
    ]


def test_plain_values_can_be_named() -> None:
    assert read("data = [1, 2]\nk = 'x'\nmean(data, k)", "python") == [("1", "mean", {"0": [1, 2], "1": "x"})]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("x = f(1)\ny = x + 1", 2, "Nothing is computed here"),
        ("f(2 ** 99999999)", 1, "Nothing is computed here"),
        ("f([i for i in x])", 1, "Nothing is computed here"),
        ("f(lambda: 1)", 1, "Nothing is computed here"),
        ("for i in range(3):\n    f(i)\ng(1", 1, "Loops, conditions"),
        ("g(1)\nfor i in range(3): f(i)", 2, "Loops, conditions"),
        ("g(1)\ndef f(): return g(2)", 2, "Loops, conditions"),
        ('f("x)\ng(1)', 1, "closing quote"),
        ("f(1 2)\n", 1, "not Python"),
        ("x.y = f(1)", 1, "plain name"),
        ("f(*a)", 1, "Nothing is computed here"),
        ("f(**a)", 1, "once and by name"),
        ("x = f(1)\nx.upper()", 2, "called by its name"),
        ('f(f"{x:.2f}")', 1, "format"),
        ("f(a=1", 1, "close it with )"),
        ('d["k"] = f(1)', 1, "plain name"),
        ("f(-1e999)", 1, "Nothing is computed here"),
        ("f(-True)", 1, "Nothing is computed here"),
        # Of what is too deep or too long even to be shown, the sentence is told without it.
        pytest.param(f"f({'+'.join('1' * 600)})", 1, "Nothing is computed here", id="a long sum"),
        pytest.param(f"f(0x{'f' * 9000})", 1, "Nothing is computed here", id="a huge number"),
        pytest.param(f"f(f'{{0x{'f' * 9000}}}')", 1, "Nothing is computed here", id="a huge number in a text"),
        pytest.param(f"f({'.'.join(['g'] * 2000)}(1))", 1, "nested too deeply", id="a long path"),
    ],
)
def test_what_would_have_to_be_computed_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    found = faults(text, "python")
    assert found[0][1] == line
    assert words in found[0][2]


def test_a_damaged_statement_costs_only_itself() -> None:
    text = 'a = f(1\nb = g("x)\nc = h(a)\nd = k(b)'
    plan, diagnostics = parse(text, "python")
    assert [(call.id, call.tool) for call in plan] == [("a", "f"), ("c", "h"), ("d", "k")]
    assert [one.line for one in diagnostics] == [2]
    assert plan.calls[2].arguments == {"0": Ref("b")}


def test_a_parameter_on_a_line_of_its_own_is_no_statement() -> None:
    assert read("f(\na=1,\nb=g(2)\n)\nh(3,\n  k = 4)", "python") == [
        ("1", "g", {"0": 2}),
        ("2", "f", {"a": 1, "b": Ref("1")}),
        ("3", "h", {"0": 3, "k": 4}),
    ]


def test_a_bracket_that_was_forgotten_ends_with_its_line() -> None:
    text = "a = f(1\nb = [2]\nc = g(b,\nd = h(3)"
    assert [(id, tool) for id, tool, _ in read("a = f(1\nb = [2]\nd = h(b)", "python")] == [("a", "f"), ("d", "h")]
    assert [(call.id, call.tool) for call in parse(text, "python")[0]] == [("a", "f"), ("c", "g"), ("d", "h")]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_the_body_of_a_loop_is_never_read_as_calls(line_end: str) -> None:
    text = "while True:\n    rm(1)\n\n    rm(2)\nf(1)\nif x: rm(3)\nelse:\n\trm(4)"
    assert [call.tool for call in parse(text.replace("\n", line_end), "python")[0]] == ["f"]


def test_code_is_never_run() -> None:
    flag: list[int] = []
    text = "x = f(flag.append(1))\n__import__('os').system('true')\nexec('flag.append(1)')\nf(''.join(['a']*9))"
    parse(text, "python")
    assert not flag


# ---------------------------------------------------------------------------------------------------- all


def test_an_unknown_front_end_is_named_with_those_there_are() -> None:
    with pytest.raises(PlanError, match="tool_calls, tool_use, llmcompiler, dta, python"):
        parse("", "xml")


@pytest.mark.parametrize("front", ["tool_calls", "tool_use", "dta"])
def test_a_plan_that_a_grammar_cannot_say_is_refused(front: str) -> None:
    with pytest.raises(PlanError, match="join"):
        render(Plan((PlannedCall("1", "f", {}),), joins=True), front)


@pytest.mark.parametrize("front", ["llmcompiler", "python"])
def test_join_is_written_and_read(front: str) -> None:
    plan = Plan((PlannedCall("1", "f", {}),), joins=True)
    assert parse(render(plan, front), front)[0].joins
    assert parse(render(plan, front))[0].joins


@pytest.mark.parametrize("text", ["", "Nothing to do here.", "The answer is 42: f of x is (3)."])
def test_prose_holds_no_calls(text: str) -> None:
    plan, diagnostics = parse(text)
    assert not plan.calls
    assert not diagnostics


@pytest.mark.parametrize("module", [toolsets.fronts, toolsets.fronts.calls])
def test_the_examples_in_the_docstrings_are_true(module: Any) -> None:
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0
