"""All the words that the engine's users put in front of a model: rules, headers, checks, the closing. Replaceable.

The rules follow the prompts of Hogwild! Inference (arXiv 2504.06261, section 3.3 and appendix), re-worded. A model
directory may carry its own `prompting.json`; a person may pass any `Prompting`. Pure text: no model, no tokenizer.
Above: `hogwild.run`, `workbench.session`, the embedded model's generator.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hogwild.errors import PromptingError

_KINDS = {"str": "text", "int": "a whole number", "bool": "true or false", "tuple[str, ...]": "a list of names"}
_HOLDING = {
    "tools": "{tools}", "concepts": "{concepts}", "tool_response": "{content}", "person": "{content}",
    "untrusted": "{content}",
}  # fmt: skip
"""What a text must have a place for."""
NAMES = ("Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace", "Heidi")


@dataclass(frozen=True)
class Prompting:
    """The texts of a collaboration. Placeholders: {names}, {name}, {others}, {tools}, {concepts}, {content}, {calls},
    {call}, {step}, {first} and {last}.

    rules: the system message. tools: put after the rules when there are tools and `tools_in_template` is False;
    otherwise the chat template gets the tools' schemas. header: begins a worker's block; step_header: begins a later
    step in layouts that close steps. separator: stands before each worker's own text. step_end: text that ends a step.
    check, check_every: a question put to a worker after that many tokens without one (0: never). closing: asks one
    worker for the final answer, when all have finished or a budget is used up. closing_part: where the task is a
    list, each worker is asked for its part of the joint answer instead, items {first} to {last}. closing_tokens: how
    long the answer may be.
    tool_response: a tool's result as it is put into the caller's block. person: a person's words, likewise. names: the
    workers' names, in order.
    plan_end: what a worker writes after the calls of a plan when it wants their results, e.g. a line end; the calls of
    a plan are numbered from 1, and "$1" is the first one's result. Empty: every call is a plan by itself, and the
    worker waits after each. concepts: put after the tools when concepts were found that may help; {concepts} is their
    text. untrusted: how a result that comes from outside is told. shared: put after a result when the same call was
    made by somebody else, too, and ran once; {calls} are theirs. edited: put after a result when a person has changed
    the call's arguments; {call} is the call that ran. Both empty: nothing is said. front: the grammar that the
    model writes calls in, one of the front ends of `toolsets`. skipped: what its joint answer says of an item that
    nobody has answered.
    """

    rules: str
    tools: str = "\n\nTools:\n{tools}"
    tools_in_template: bool = True
    header: str = "### {name} [1]\n\n"
    step_header: str = "### {name} [{step}]\n\n"
    separator: str = ""
    step_end: str = "\n\n"
    check: str = ""
    check_every: int = 0
    closing: str = ""
    closing_part: str = ""
    closing_tokens: int = 512
    tool_response: str = "\n<tool_response>\n{content}\n</tool_response>\n"
    person: str = "\n\n(The user says to {name}: {content})\n\n"
    names: tuple[str, ...] = NAMES
    plan_end: str = ""
    concepts: str = "\n\nConcepts that may help:\n{concepts}"
    untrusted: str = "(from outside) {content}"
    edited: str = "\n{call}"
    shared: str = ""
    front: str = "tool_calls"
    skipped: str = ""

    def system(self, workers: Sequence[str], tools: Sequence[str], concepts: str = "") -> str:
        """The rules for these workers; `tools` are one line each, `concepts` the rendered ones, empty for none."""
        text = self.rules.replace("{names}", listed(workers))
        if tools and not self.tools_in_template:
            text += self.tools.replace("{tools}", "\n".join(tools))
        if concepts:
            text += self.concepts.replace("{concepts}", concepts)
        return text

    def begin(self, worker: str, workers: Sequence[str]) -> str:
        """The header that begins a worker's first block."""
        others = listed([name for name in workers if name != worker]) or "nobody else"
        return self.header.replace("{name}", worker).replace("{others}", others)

    def begin_step(self, worker: str, step: int) -> str:
        """The header of a worker's later step; `step` counts finished steps, so the first later one is 1."""
        return self.step_header.replace("{name}", worker).replace("{step}", str(step + 1))

    def responded(self, content: str) -> str:
        return self.tool_response.replace("{content}", content)

    def said(self, name: str, content: str) -> str:
        return self.person.replace("{name}", name).replace("{content}", content)

    def close_part(self, first: int, last: int) -> str:
        """Asks for items first..last of the joint answer."""
        return self.closing_part.replace("{first}", str(first)).replace("{last}", str(last))

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def changed(self, fields: Mapping[str, Any]) -> Prompting:
        """The same with other texts for some fields, checked as in `from_json`."""
        return self.from_json({**self.to_json(), **fields})

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Prompting:
        """Read a prompting; an unknown or ill-typed field is named in the ValueError."""
        known = {field.name: field for field in dataclasses.fields(cls)}
        if not isinstance(given, dict):
            raise PromptingError(f"A prompting is an object with the fields {', '.join(known)}.")
        unknown = sorted(map(str, set(given) - set(known)))
        if unknown:
            raise PromptingError(f"A prompting has no field '{unknown[0]}'; it has {', '.join(known)}.")
        if "rules" not in given:
            raise PromptingError("A prompting needs the field 'rules': what the workers are told first.")
        for name, value in given.items():
            kind = str(known[name].type)
            if name == "names":
                fits = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
            else:
                fits = type(value) is {"str": str, "int": int, "bool": bool}[kind]
            if not fits:
                raise PromptingError(f"The field '{name}' of a prompting must be {_KINDS[kind]}; it is {value!r}.")
        for name, what in _HOLDING.items():
            if name in given and what not in given[name]:
                raise PromptingError(f"The field '{name}' of a prompting must hold {what}: it is lost otherwise.")
        values: dict[str, Any] = {key: tuple(value) if key == "names" else value for key, value in given.items()}
        return cls(**values)

    @classmethod
    def of_directory(cls, directory: str | Path) -> Prompting | None:
        """The prompting that a model directory brings along, or None."""
        path = Path(directory) / "prompting.json"
        if not path.is_file():
            return None
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise PromptingError(f"{path} cannot be used as a prompting: {error}") from error


def listed(names: Sequence[str]) -> str:
    """'Alice', 'Alice and Bob', 'Alice, Bob and Carol'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


SHARED_WORKSPACE = Prompting(
    rules="""\
You are {names}, assistants who solve one task together. You all write at the same time, into one shared workspace: \
each of you sees what the others have written so far, even their unfinished sentences, and goes on with their own text.

How to work together:
- First agree quickly on who does what; give each other concrete parts of the task by name.
- Look at the others' text before you begin anything. What somebody has done or is doing needs no second time: use it.
- If you notice that you do the same as somebody else, stop at once and take another part; say so.
- If a result of somebody else is wrong, say it and show why.
- Write in short steps, with an empty line after each, so that the others can follow.
- As soon as the task is solved, say so, and stop.""",
    header="### {name} [1]\n\nI am {name}; {others} can see this.",
    separator="\n\n### Work in progress (own)\n\n",
    check="\n\nQuick check: is anybody else doing what I am doing right now? Let me answer yes or no, and go on with "
    "something that helps:",
    check_every=1024,
    shared="\n(The same call: {calls}; it ran once.)",
    edited="\n(A person changed the arguments of this call. What ran is {call})",
    closing="\n\nTime is up; I write down the final answer of the whole task now.\n\nFinal answer:",
)

WORKSHEETS = Prompting(
    rules="{names} solve this worksheet together. Every item is taken once.",
    tools_in_template=False,
    tools="\nTools:\n{tools}",
    header="# {name}\n",
    step_header="# {name}\n",
    separator="",
    closing="Joint answer:\n",
    closing_part="Joint answer, {first} to {last}:\n",
    closing_tokens=400,
    tool_response="<tool_response>{content}</tool_response>",
    person="({content})\n\n",
    plan_end="\n",
    concepts="\nConcepts:\n{concepts}",
    check="Is this done twice?\n",
    # Its training shows results bare. They are neutralised all the same, and it takes no instructions from them.
    untrusted="{content}",
    skipped="skipped",
)
"""What the embedded model is trained with; a model directory's own prompting.json says what its model was."""


def parts(num_items: int, workers: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Who writes which items of a joint answer, as (first, last); a worker without items is left out.

    >>> parts(5, ["Alice", "Bob"])
    {'Alice': (1, 3), 'Bob': (4, 5)}
    """
    shares, first = {}, 1
    for index, worker in enumerate(workers):
        size = (num_items - first + 1 + len(workers) - index - 1) // (len(workers) - index)
        if size:
            shares[worker] = (first, first + size - 1)
        first += size
    return shares
