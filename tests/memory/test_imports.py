"""Others' formats: CRAFT's CSV, ArcMemo's YAML, folders of Python, skills; and files that are malformed half-way."""

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from rows_at_hand import move

from memory.errors import ContentRefused, ImportRefused
from memory.imports import plan_import, read_items
from memory.store import Library

ADD = 'def add(a, b):\n    """Sum, of two."""\n    return a + b\n'
QUOTED = ADD.replace('"', '""')
HEAD = ["question", "answer", "level", "code", "api_call", "tool", "tool_call"]


def write_csv(path: Path, *lines: list[str], head: list[str] = HEAD) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *lines])
    return path


def write_yaml(path: Path, value: Any) -> Path:
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    return path


def contents(path: Path) -> list[dict[str, Any]]:
    return [dict(item.content) for item in read_items(path)]


def test_a_craft_line_becomes_a_tool_with_its_problem_and_every_column(tmp_path: Path) -> None:
    line = ['What is 1 + 2, "quickly"?\nNow.', "3", "4", "def one(): ...", "one()", ADD, "add(1, 2)"]
    (item,) = read_items(write_csv(tmp_path / "t.csv", line))
    assert (item.kind, item.state, item.name) == ("tool", "proposed", "add")
    assert item.content["code"] == ADD
    assert item.content["problems"] == [
        {
            "text": 'What is 1 + 2, "quickly"?\nNow.',
            "answer": "3",
            "call": "add(1, 2)",
            "solution": "def one(): ...",
            "solution_call": "one()",
            "fields": {"level": "4"},
        }
    ]
    assert item.provenance["source"] == "t.csv"


def test_craft_lines_with_the_same_code_are_one_tool_with_all_their_problems(tmp_path: Path) -> None:
    lines = [[f"Question {n}", "", "", "", "", ADD, ""] for n in (1, 2, 1)]
    (item,) = read_items(write_csv(tmp_path / "t.csv", *lines))
    assert [problem["text"] for problem in item.content["problems"]] == ["Question 1", "Question 2"]


TWO = "def half(x: float) -> float:\n    return x / 2\n\ndef quarter(x: float) -> float:\n    return half(half(x))\n"


@pytest.mark.parametrize(
    ("call", "name", "note"),
    [
        ("quarter(8)", "quarter", "quarter is the tool, which its call uses"),
        ("x = half(8)\nprint(quarter(half(x)))", "quarter", "quarter is the tool, which its call uses"),
        ("print(half(quarter(8)))", "half", "half is the tool, which its call uses"),
        ("", "half", "half is the tool, the first one, because no call"),
        ("half(8", "half", "half is the tool, the first one, because no call"),
        ("other(8)", "half", "half is the tool, the first one, because no call"),
    ],
)
def test_of_several_functions_in_a_craft_line_the_one_that_is_called_is_the_tool(
    tmp_path: Path, call: str, name: str, note: str
) -> None:
    (item,) = read_items(write_csv(tmp_path / "t.csv", ["Question", "2", "", "", "", TWO, call]))
    assert (item.name, item.content["code"]) == (name, TWO)
    assert note in item.provenance["note"]


def test_craft_lines_that_call_different_functions_of_one_code_are_different_tools(tmp_path: Path) -> None:
    lines = [[f"Question {n}", "", "", "", "", TWO, f"{name}(8)"] for n, name in enumerate(("quarter", "half") * 2)]
    items = read_items(write_csv(tmp_path / "t.csv", *lines))
    assert [(item.name, len(item.content["problems"])) for item in items] == [("quarter", 2), ("half", 2)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("question,code\nq,c\n", "lacks tool"),
        ("", "lacks question and tool"),
        ("question,tool,question\nq,c,q\n", "names 'question' twice"),
        (f'question,tool\nq,"{QUOTED}"\nq\n', "has fewer fields"),
        (f'question,tool\nq,"{QUOTED}"\nq,"{QUOTED}",x\n', "has more fields"),
        (f'question,tool\nq,"{QUOTED}"\nq,def f(:\n', "line 6: The code is not Python"),
        (f'question,tool\nq,"{QUOTED}"\n,"{QUOTED}"\n', "has no 'text'"),
        (f'question,tool\nq,"{QUOTED}"\nq,"unclosed\n', "is no CSV"),
        (f'question,tool\nq,"{QUOTED}"\nq,"closed" early\n', "is no CSV"),
    ],
)
def test_a_csv_that_is_malformed_half_way_is_refused_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ImportRefused, match=sentence):
        read_items(path)


def test_a_file_in_another_encoding_is_refused_with_a_sentence(tmp_path: Path) -> None:
    for name in ("t.csv", "t.yaml", "t/x.py", "s/SKILL.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"question,tool\n\xff\xfe")
        with pytest.raises(ImportRefused, match="cannot be read"):
            read_items(path if path.parent == tmp_path else path.parent)


def test_lessons_become_open_ended_concepts_by_problem_or_in_a_list(tmp_path: Path) -> None:
    told = {"situation": "All rows are equal.", "suggestion": "Look at columns.", "confidence": 0.5}
    for value in ([told], {"p1": [told], "p2": [told]}):
        (content,) = contents(write_yaml(tmp_path / "l.yaml", value))
        assert content["form"] == "open-ended"
        assert (content["situation"], content["confidence"]) == (told["situation"], 0.5)
        if isinstance(value, dict):
            assert content["used_in"] == ["p1", "p2"]


CONCEPT = {
    "concept": "recolor object",
    "kind": "routine",
    "routine_subtype": "grid manipulation",
    "output_typing": "grid",
    "parameters": [
        {"name": "object", "typing": "object"},
        {"name": "scheme", "typing": "color | Callable[[object], color]", "description": "what gets which color"},
    ],
    "description": "Change colors.",
    "cues": ["colors differ", {"if so": "positions stay"}],
    "implementation": ["for each object"],
    "house": {"kept": True},
}


def test_a_lesson_of_several_problems_remembers_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "lessons.yaml"
    lesson = "concepts: [{situation: a grid is small, suggestion: count its cells}]"
    path.write_text(f"one: {{summary: Count red., {lesson}}}\ntwo: {{summary: Count blue., {lesson}}}\n")
    (found,) = read_items(path)
    assert [problem["text"] for problem in found.content["problems"]] == ["Count red.", "Count blue."]
    assert found.content["used_in"] == ["one", "two"]


def test_program_concepts_keep_their_types_and_unknown_fields_and_gather_where_they_were_used(tmp_path: Path) -> None:
    again = {"concept": "recolor object", "cues": ["another cue"], "parameters": [{"name": "mask"}]}
    value = {
        "p1": {"summary": "Paint what matches.", "pseudocode": "...", "concepts": [CONCEPT]},
        "p2": {"concepts": [again]},
    }
    (content,) = contents(write_yaml(tmp_path / "c.yaml", value))
    assert (content["title"], content["kind"], content["used_in"]) == ("recolor object", "routine", ["p1", "p2"])
    assert content["cues"] == ["colors differ", "if so: positions stay", "another cue"]
    assert [one["name"] for one in content["parameters"]] == ["object", "scheme", "mask"]
    assert content["parameters"][1]["typing"] == "color | Callable[[object], color]"
    assert content["problems"] == [{"text": "Paint what matches.", "id": "p1"}]
    assert content["house"] == {"kept": True}


def test_the_other_shapes_of_concept_files_mean_the_same(tmp_path: Path) -> None:
    by_title = {key.replace("_", " ").title(): value for key, value in CONCEPT.items() if key != "concept"}
    named = {"name": CONCEPT["concept"], **{key: value for key, value in CONCEPT.items() if key != "concept"}}
    shapes = [
        [CONCEPT],
        {"concepts": [CONCEPT], "summary": ""},
        {"p1": {"recolor object": {**by_title, "Routine Subtype": "grid manipulation"}}},
        {"concepts": {"recolor object": named}, "solutions": {}, "custom_types": {}},
    ]
    found = []
    for shape in shapes:
        (content,) = contents(write_yaml(tmp_path / "c.yaml", shape))
        found.append({key: value for key, value in content.items() if key != "used_in"})
    assert found[0] == found[1] == found[2] == found[3]


def test_what_is_said_to_be_absent_is_absent_and_a_type_definition_is_a_concept(tmp_path: Path) -> None:
    fields = {"Kind": "term definition", "Output Typing": "N/A", "Parameters": "N/A", "Description": "Empty inside."}
    (content,) = contents(write_yaml(tmp_path / "c.yaml", {"p": {"hole": fields}}))
    assert content["parameters"] == []
    assert "output_typing" not in content
    (content,) = contents(write_yaml(tmp_path / "c.yaml", ["axis := Literal['x', 'y']"]))
    assert (content["title"], content["kind"], content["output_typing"]) == ("axis", "type", "Literal['x', 'y']")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- concept: a\n  kind: routine\n- concept: [b\n", "line 3 is no YAML|line 4 is no YAML"),
        ("- concept: a\n  kind: routine\n- kind: routine\n", "entry 2: The concept has no 'title'"),
        ("- situation: s\n  suggestion: t\n- situation: s\n", "entry 2: The concept has no 'suggestion'"),
        ("- just a text\n", "entry 1: It is no concept but 'just a text'"),
        ("[]\n", "has no concept in it"),
        ("", "It is no concept|no concept in it"),
        ("- concept: a\n  kind: routine\n  parameters: [{name: x}, {name: x}]\n", "two parameters named 'x'"),
        ("- !!python/object/apply:os.system ['true']\n", "is no YAML"),
        ("p:\n  recolor: {kind: routine}\n  recolor: {kind: type}\n", "line 3 is no YAML .*'recolor' twice"),
    ],
)
def test_a_yaml_that_is_malformed_half_way_is_refused_with_its_place(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ImportRefused, match=sentence):
        read_items(path)


def test_days_in_a_yaml_are_kept_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "- situation: s\n  suggestion: t\n  since: 2024-01-31\n  at: 2024-01-31 10:00:00\n"
    )
    (content,) = contents(tmp_path / "c.yaml")
    assert (content["since"], content["at"]) == ("2024-01-31", "2024-01-31 10:00:00")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "- &l0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(f"- &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 9)),
            "aliases, written out, are more than 1,000,000 values",
        ),
        ("- &a\n  situation: s\n  suggestion: t\n  me: *a\n", "an alias of something that the alias is part of"),
        ("[" * 2000, "nested too deeply"),
        (f"- situation: s\n  suggestion: t\n  n: {'9' * 5000}\n", "Exceeds the limit"),
    ],
)
def test_a_hostile_yaml_is_refused_before_it_takes_memory_or_time(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ImportRefused, match=sentence):
        read_items(tmp_path / "c.yaml")
    (tmp_path / "SKILL.md").write_text(
        f"---\nname: s\ndescription: d\nmore:\n  {text.replace(chr(10), chr(10) + '  ')}\n---\nX.\n"
    )
    with pytest.raises(ImportRefused, match=sentence):
        read_items(tmp_path)


def test_each_public_function_of_a_folder_is_a_tool_with_its_whole_file(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    code = f"import math\n\n\ndef _helper(): ...\n\n\n{ADD}\n\ndef other(): ...\n"
    (tmp_path / "deep" / "a.py").write_text(code)
    (tmp_path / ".hidden.py").write_text("def (")
    items = read_items(tmp_path)
    assert [(item.name, item.provenance["source"]) for item in items] == [("add", "deep/a.py"), ("other", "deep/a.py")]
    assert {item.content["code"] for item in items} == {code}
    assert {item.state for item in items} == {"proposed"}
    alone = read_items(tmp_path / "deep" / "a.py")
    assert [(item.name, item.provenance["source"]) for item in alone] == [("add", "a.py"), ("other", "a.py")]
    (tmp_path / "none.py").write_text("x = 1")
    with pytest.raises(ImportRefused, match=r"none\.py has no public function"):
        read_items(tmp_path / "none.py")


def test_code_that_is_imported_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nwhile True: pass\n{ADD}")
    assert [item.name for item in read_items(tmp_path)] == ["add"]
    assert not (tmp_path / "ran").exists()


def test_one_broken_file_of_a_folder_refuses_the_folder_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(ADD)
    (tmp_path / "b.py").write_text("def broken(:")
    with pytest.raises(ImportRefused, match=r"b\.py: The code is not Python"):
        read_items(tmp_path)
    (tmp_path / "b.py").unlink()
    (tmp_path / "a.py").write_text("x = 1")
    with pytest.raises(ImportRefused, match=r"no \.py file with a public function"):
        read_items(tmp_path)


SKILL = (
    "---\nname: invoices\ndescription: Use when an invoice is checked.\nlicense: MIT\nday: 2024-01-02\n---\nAdd up.\n"
)


def test_a_skill_is_a_concept_and_its_scripts_are_tools_under_its_tag(tmp_path: Path) -> None:
    (tmp_path / "SKILL.md").write_text(SKILL)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "sums.py").write_text(ADD)
    skill, script = read_items(tmp_path)
    assert (skill.kind, skill.name, skill.content["form"]) == ("concept", "invoices", "open-ended")
    assert skill.content["situation"] == "Use when an invoice is checked."
    assert skill.content["suggestion"] == "Add up."
    assert skill.content["skill"] == {"license": "MIT", "day": "2024-01-02"}
    assert (script.kind, script.name, script.state) == ("tool", "add", "proposed")
    assert skill.tags == script.tags == ("skill:invoices",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Add up.", "does not begin with a head"),
        ("---\nname: x\n---\nAdd up.", "has no description"),
        ("---\nname: [x\n---\nAdd up.", "head of .* is no YAML"),
        ("---\n- x\n---\nAdd up.", "no named fields"),
        ("---\nname: x\ndescription: y\n---\n", "nothing after its head"),
    ],
)
def test_a_malformed_skill_is_refused_with_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "SKILL.md").write_text(text)
    with pytest.raises(ImportRefused, match=sentence):
        read_items(tmp_path)


def test_what_cannot_be_imported_is_refused_with_what_can(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=r"nothing at .* that can be imported"):
        read_items(tmp_path / "none.txt")


def test_an_import_is_planned_first_and_what_is_known_is_not_proposed_again(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", *([f"Q{n}", "", "", "", "", ADD.replace("add", f"f{n}"), ""] for n in (1, 2)))
    with Library(tmp_path / "library") as library:
        planned = plan_import(library, read_items(path))
        assert (len(planned.plan.changes), planned.known) == (2, ())
        assert library.rows() == []
        library.apply(planned.plan, author="ana")
        assert [row.state for row in library.rows()] == ["proposed", "proposed"]
        row = library.rows()[0]
        move(library, row.row_id, "reject", author="ana", expected_version=1)
        again = plan_import(library, read_items(path))
        assert (again.plan.changes, again.known) == ((), ("f1", "f2"))


def test_content_that_no_importer_made_is_checked_by_the_plan_too(tmp_path: Path) -> None:
    from memory.values import Snapshot

    with Library(tmp_path) as library, pytest.raises(ContentRefused):
        plan_import(library, [Snapshot("tool", {"code": "def f(:"})])
