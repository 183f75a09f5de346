"""Tools made from problems: a scripted model behind real HTTP, its code in the real sandbox, a library on the disk."""

import json
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted_endpoint import Answer, endpoint

from memory.errors import ImportRefused
from memory.lexical import words_of
from memory.planning import plan_move
from memory.store import Library
from memory.values import Snapshot
from toolsets.chat import ChatRefused
from toolsets.endpoint import ChatEndpoint, Prices
from toolsets.making.build import Built, build
from toolsets.making.diverse import farthest_first
from toolsets.making.journal import BuildError, Head, Journal, Record
from toolsets.making.problems import Problem, ProblemsRefused, read_problems
from toolsets.making.replies import ReplyRefused, read_tool
from toolsets.sandbox import Limits, Sandbox

LESS = Problem("What is left of 80 dollars after 25 percent off?", "60")
MORE = Problem("What is left of 200 dollars after 15 percent off?", "170")
AREA = Problem("How large is a field of 12 m by 30 m?", "360")


def block(text: str) -> str:
    return f"Here it is:\n\n```python\n{text}\n```\n"


def tool(name: str, parameters: str, body: str, call: str, about: str = "") -> str:
    head = f'def {name}({parameters}) -> float:\n    """{about or name.replace("_", " ").capitalize()}."""\n'
    return block(f"{head}    return {body}\n\n{call}")


DISCOUNT = "price: float, percent: float", "price * (100 - percent) / 100"
Replies = dict[tuple[str, str], str | list[str]]
REPLIES: Replies = {
    (LESS.text, "solve"): block("def left():\n    return 80 * 0.75\n\nleft()"),
    (MORE.text, "solve"): block("200 - 200 * 15 / 100"),
    (AREA.text, "solve"): block("12 * 30"),
    (LESS.text, "abstract"): tool("discounted_price", *DISCOUNT, "discounted_price(80, 25)"),
    (MORE.text, "abstract"): tool(
        "price_after_discount",
        "amount: float, rate: float",
        "amount - amount * rate / 100",
        "price_after_discount(200, 15)",
        "Discounted price",
    ),
    (AREA.text, "abstract"): tool("area", "width: float, length: float", "width * length", "area(12, 30)"),
}


def script(replies: Replies) -> Callable[[dict[str, Any]], Answer]:
    """Answers by problem and step; a list is answered in order, by how often it was tried."""

    def answer(request: dict[str, Any]) -> Answer:
        messages = request["messages"]
        step = "abstract" if "tool for many" in messages[0]["content"] else "solve"
        text = next(text for text, _ in replies if messages[1]["content"].startswith(text))
        reply = replies[text, step]
        return Answer(reply if isinstance(reply, str) else reply[len(messages) // 2 - 1])

    return answer


def encode(texts: Sequence[str]) -> Any:
    vectors = np.full((len(texts), 256), 1e-3, np.float32)
    for vector, text in zip(vectors, texts, strict=True):
        for word in words_of(text):
            vector[zlib.crc32(word.encode()) % 256] += 1
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as opened:
        yield opened


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library(tmp_path / "library") as opened:
        yield opened


Make = Callable[..., Built]


@pytest.fixture
def make(tmp_path: Path, library: Library, sandbox: Sandbox) -> Make:
    def make_(problems: Sequence[Problem], url: str, build_id: str = "b1", **more: Any) -> Built:
        settings = {"endpoint": url, "model": "m", "limit": None, "tries": 2}
        folder = tmp_path / "builds"
        known = (folder / f"{build_id}.jsonl").exists()
        journal = (
            Journal.resume(folder, build_id)
            if known
            else Journal.begin(folder, Head(build_id, tuple(problems), settings))
        )
        with journal, ChatEndpoint(url, "m", prices=Prices(1.0, 2.0), sleep=lambda _: None) as chat:
            return build(journal, chat, library, encode, sandbox=sandbox, limits=Limits(time_s=1.0), **more)

    return make_


def figures(built: Built) -> dict[str, tuple[int, int]]:
    return {one.stage: (one.came, one.passed) for one in built.figures}


def test_problems_become_proposed_tools_that_solve_them_again_and_what_does_the_same_is_one(
    make: Make, library: Library
) -> None:
    with endpoint(script(REPLIES)) as server:
        built = make([LESS, MORE, AREA], server.url)
    assert {row.name for row in built.rows} & {"discounted_price", "price_after_discount"}
    assert sorted(len(row.content["problems"]) for row in built.rows) == [1, 2]
    assert all(row.state == "proposed" for row in library.rows("tool"))
    row = next(row for row in built.rows if len(row.content["problems"]) == 2)
    assert {one["text"] for one in row.content["problems"]} == {LESS.text, MORE.text}
    assert all(one["solution"] or one["solution_call"] for one in row.content["problems"])
    assert row.snapshot.provenance["build"] == "b1"
    assert row.snapshot.provenance["model"] == "scripted-1"
    assert row.snapshot.provenance["evidence"]["merged"] == 1
    assert figures(built) == {
        "choose": (3, 3), "solve": (3, 3), "check": (3, 3), "abstract": (3, 3), "validate": (3, 3), "siblings": (3, 3),
        "deduplicate": (3, 2), "propose": (2, 2),
    }  # fmt: skip
    solve = next(one for one in built.figures if one.stage == "solve")
    assert solve.usage.replies == 3
    assert solve.usage.cost == pytest.approx((solve.usage.tokens_in + 2 * solve.usage.tokens_out) / 1e6)
    # The answer is never told.
    assert not any(LESS.answer in str(request["messages"][0]) for request in server.requests)


def test_a_wrong_solution_is_told_what_was_wrong_but_not_the_answer(make: Make) -> None:
    wrong = block("80 - 25")
    with endpoint(script({**REPLIES, (LESS.text, "solve"): [wrong, block("80 * 0.75")]})) as server:
        built = make([LESS], server.url)
    assert [row.name for row in built.rows] == ["discounted_price"]
    again = server.requests[1]["messages"][-1]["content"]
    assert "returns 55, which is not the answer" in again
    assert LESS.answer not in again
    assert figures(built)["check"] == (1, 1)


NEVER = {
    "that is no python": (block("def broken(:\n    pass\n\nbroken()"), "not Python"),
    "that never ends": (block("while True:\n    pass\n\n1"), "time limit"),
    "that imports what is not there": (block("import nowhere_at_all\n\nnowhere_at_all.answer()"), "nowhere_at_all"),
    "without a call": (block("def left(price: float) -> float:\n    return price"), "no call after the code"),
    "without code": ("It is 60.", "no code"),
    "that breaks off": ("```python\ndef left():\n    ret", "not closed"),
    "that fails on its types": (block("'80' - 20"), "TypeError"),
}


@pytest.mark.parametrize(("reply", "said"), NEVER.values(), ids=NEVER.keys())
def test_a_solution_ends_there_with_a_sentence(make: Make, library: Library, reply: str, said: str) -> None:
    with endpoint(script({(LESS.text, "solve"): reply})) as server:
        built = make([LESS], server.url)
    assert built.rows == ()
    assert library.rows("tool") == []
    (ended,) = built.ended
    assert said in ended.why
    assert len(server.requests) == 2


def test_a_tool_that_knows_the_answer_by_heart_is_refused(make: Make) -> None:
    heart = tool("left_of_price", "price: float, percent: float", "60.0", "left_of_price(80, 25)")
    with endpoint(script({**REPLIES, (LESS.text, "abstract"): heart})) as server:
        built = make([LESS], server.url)
    assert built.rows == ()
    assert [(one.stage, "whatever its arguments" in one.why) for one in built.ended] == [("validate", True)]


def test_tools_of_one_name_that_do_not_do_the_same_are_told_and_one_is_named_again(make: Make) -> None:
    percents = Problem("How many dollars is the discount of 25 percent on 80 dollars?", "20")
    body = "price * percent / 100"
    clash = tool("discounted_price", DISCOUNT[0], body, "discounted_price(80, 25)")
    own = tool("discount_amount", DISCOUNT[0], body, "discount_amount(80, 25)")
    other = tool("price_left", *DISCOUNT, "price_left(80, 25)")
    replies: Replies = {
        **REPLIES,
        (LESS.text, "abstract"): [tool("discounted_price", *DISCOUNT, "discounted_price(80, 25)"), other],
    }
    replies |= {(percents.text, "solve"): block("80 / 4"), (percents.text, "abstract"): [clash, own]}
    with endpoint(script(replies)) as server:
        built = make([LESS, percents], server.url)
    assert {row.name for row in built.rows} in (
        {"discounted_price", "discount_amount"},
        {"discounted_price", "price_left"},
    )
    assert "discounted_price is also the tool for" in str(server.requests[-1]["messages"][-1])
    assert len(server.requests) == 5


def test_a_name_of_the_library_that_does_something_else_is_not_taken(make: Make, library: Library) -> None:
    code = (
        'def discounted_price(price: float, percent: float) -> float:\n    """Other."""\n    return price + percent\n'
    )
    calls = [{"arguments": {"price": 1, "percent": 2}, "result": 3}]
    library.add(Snapshot("tool", {"code": code, "calls": calls}, "active"), author="ana")
    with endpoint(script(REPLIES)) as server:
        built = make([LESS], server.url)
    assert built.rows == ()
    assert "a tool of the library" in built.ended[0].why


def test_a_build_that_was_refused_half_way_goes_on_without_asking_again(make: Make) -> None:
    refused = True

    def answer(request: dict[str, Any]) -> Answer:
        if refused and request["messages"][1]["content"].startswith(AREA.text):
            return Answer("no such model", status=404)
        return script(REPLIES)(request)

    with endpoint(answer) as server:
        with pytest.raises(ChatRefused, match="no such model"):
            make([LESS, MORE, AREA], server.url, parallel=1)
        before = len(server.requests)
        refused = False
        built = make((), server.url)
        # One request was refused: it alone is made again.
        assert len(server.requests) == 7 > before
        again = make((), server.url)
        assert len(server.requests) == 7
        assert [row.row_id for row in again.rows] == [row.row_id for row in built.rows]


def test_what_was_proposed_is_not_proposed_again_by_a_second_build(make: Make, library: Library) -> None:
    with endpoint(script(REPLIES)) as server:
        first = make([AREA], server.url)
        library.apply(plan_move([library.row(first.rows[0].row_id)], "reject"), author="ana")
        assert make([AREA], server.url, "b2").rows == ()


CHILD = """
import json, os, signal, sys
from pathlib import Path
import numpy as np
from memory.store import Library
from toolsets.endpoint import ChatEndpoint
from toolsets.making.build import build
from toolsets.making.journal import Head, Journal
from toolsets.making.problems import Problem

folder, url, left, problems = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])

def tell(record):
    global left
    left -= 1
    if not left:
        with (folder / "builds" / "b1.jsonl").open("ab") as file:
            file.write(b'{"stage": "sol')
        os.kill(os.getpid(), signal.SIGKILL)

def encode(texts):
    return np.eye(len(texts), 8, dtype=np.float32)

head = Head("b1", tuple(Problem(*one) for one in problems), {"tries": 2})
with Journal.begin(folder / "builds", head) as journal, Library(folder / "library") as library:
    build(journal, ChatEndpoint(url, "m"), library, encode, parallel=1, tell=tell)
"""


@pytest.mark.parametrize("steps", [1, 3, 9])
def test_a_killed_build_goes_on_where_it_was(tmp_path: Path, make: Make, steps: int) -> None:
    # The process is killed when so many steps are kept, and half a line of the next one is left.
    problems = json.dumps([(one.text, one.answer) for one in (LESS, MORE, AREA)])
    with endpoint(script(REPLIES)) as server:
        child = [sys.executable, "-c", CHILD, str(tmp_path), server.url, str(steps), problems]
        done = subprocess.run(child, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        before = len(server.requests)
        built = make((), server.url)
    # A reply that was on its way when the process died was not kept: it, and nothing else, is asked for again.
    assert before < len(server.requests) <= 7
    assert sorted(len(row.content["problems"]) for row in built.rows) == [1, 2]
    assert sum(one.usage.replies for one in built.figures) == 6


def test_two_processes_do_not_write_one_build(tmp_path: Path) -> None:
    with Journal.begin(tmp_path, Head("b1", (LESS,), {})) as journal:
        journal.append(Record("choose", -1, 1, True, data={"chosen": [0], "came": 1, "passed": 1}))
        with pytest.raises(BuildError, match="Another process"):
            Journal.resume(tmp_path, "b1")
    with Journal.resume(tmp_path, "b1") as journal:
        assert journal.head.problems == (LESS,)
        assert [one.stage for one in journal.records] == ["choose"]
    with pytest.raises(BuildError, match=r"There is no build 'b2'.*b1"):
        Journal.resume(tmp_path, "b2")
    with pytest.raises(BuildError, match="There is no build"):
        Journal.resume(tmp_path, "../b1")


MALFORMED = {
    "csv with a line too long": ("p.csv", "question,answer\na?,1\nb?,2,3\n", "line 3 has more fields"),
    "csv that breaks off": ("p.csv", 'question,answer\na?,1\n"b?', "no CSV"),
    "csv without answers": ("p.csv", "question,result\na?,1\n", "lacks answer"),
    "csv with an empty answer": ("p.csv", "question,answer\na?,1\nb?,\n", "line 3: the field answer"),
    "jsonl that breaks off": ("p.jsonl", '{"question": "a?", "answer": 1}\n{"question"', "line 2 is no JSON"),
    "jsonl of lists": ("p.jsonl", "[1]\n", "line 1 is no JSON object"),
    "one question with two answers": ("p.jsonl", '{"question":"a","answer":1}\n{"question":"a","answer":2}', "line 2"),
    "nothing": ("p.jsonl", "\n", "no problem"),
    "something else": ("p.txt", "a", "neither"),
}


@pytest.mark.parametrize(("name", "text", "said"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_file_of_problems_is_refused_whole(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises((ProblemsRefused, ImportRefused), match=said):
        read_problems(tmp_path / name)


def test_problems_are_read_from_both_kinds_of_files(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("question,answer,table\na?,1,x y\na?,1,x y\n", encoding="utf-8")
    assert read_problems(tmp_path / "p.csv") == [Problem("a?", "1", "x y")]
    (tmp_path / "p.jsonl").write_text('{"question": "a?", "answer": [1, 2]}\n', encoding="utf-8")
    assert read_problems(tmp_path / "p.jsonl") == [Problem("a?", "[1, 2]")]


UNFIT = {
    "two functions": (
        "def a(x: int) -> int:\n    return x\n\ndef b(x: int) -> int:\n    return x\n\na(1)",
        "2 functions",
    ),
    "no types": ('def a(x):\n    """A."""\n    return x\n\na(1)', "the parameter x, what it returns"),
    "no docstring": ("def a(x: int) -> int:\n    return x\n\na(1)", "no docstring"),
    "no parameters": ('def a() -> int:\n    """A."""\n    return 1\n\na()', "no parameters"),
    "stars": ('def a(*x: int) -> int:\n    """A."""\n    return 1\n\na(1)', "by name"),
    "another call": ('def a(x: int) -> int:\n    """A."""\n    return 1\n\nprint(1)', "does not call a"),
    "a builtin's name": ('def sum(x: int) -> int:\n    """A."""\n    return 1\n\nsum(1)', "Python's own"),
}


@pytest.mark.parametrize(("code", "said"), UNFIT.values(), ids=UNFIT.keys())
def test_a_reply_that_is_no_tool_is_refused_with_what_to_do(code: str, said: str) -> None:
    with pytest.raises(ReplyRefused, match=said):
        read_tool(block(code))


def test_a_tool_in_two_blocks_with_a_helper_is_read() -> None:
    helper = "import math\n\ndef _half(x: int) -> int:\n    return x // 2\n\n"
    text = helper + 'def a(x: int) -> int:\n    """A."""\n    return _half(x)'
    written = read_tool(f"{block(text)}\nand\n{block('a(4)')}")
    assert (written.name, written.call) == ("a", "a(4)")
    assert written.code.startswith("import math")


def test_separators_that_are_no_line_ends_to_python_may_stand_in_a_text() -> None:
    text = 'def a(x: str) -> int:\n    """A."""\n    return len(x.split("\u2028\x0c"))\n\na("b\u2028\x0cc")'
    written = read_tool(block(text))
    assert written.call == 'a("b\u2028\x0cc")'
    assert written.code.endswith('split("\u2028\x0c"))')


def test_diverse_problems_come_first() -> None:
    vectors = encode(["red red apple", "red apple", "blue sea", "blue deep sea", "green grass"])
    chosen = farthest_first(vectors, 3)
    assert {"rrbbg"[one] for one in chosen} == {"r", "b", "g"}
    assert sorted(farthest_first(vectors, 99)) == [0, 1, 2, 3, 4]
    assert farthest_first(vectors[:0], 3) == []
