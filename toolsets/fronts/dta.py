"""DTA rounds: a list of {name, arguments} in one assistant turn; the calls of a list run side by side.

In: an assistant's text, `Thought: ... Function Call: [{"name": ..., "arguments": {...}}, ...]`, as JSON or as Python's
dicts. Out: a plan. A second list in the same text is a second round and waits for the first.
After DTA-Llama (arXiv 2501.12432, section 3). Neighbours: `json_calls`. Pure.
"""

from collections.abc import Collection, Sequence
from typing import Final

from toolsets.errors import PlanError
from toolsets.fronts.front import Front
from toolsets.fronts.json_calls import (
    CALL_LIKE,
    JsonParser,
    Shape,
    call_objects,
    in_list,
    json_text,
    normal_call,
    object_starts,
)
from toolsets.plan import Plan, PlannedCall

SHAPE: Final = Shape('[{"name": "...", "arguments": {...}}]', in_list, CALL_LIKE, normal_call)
_PREFIX: Final = "Function Call: "


def parser(earlier: Collection[str] = ()) -> JsonParser:
    """Reads DTA rounds."""
    return JsonParser(SHAPE, earlier, rounds=True)


def render(plan: Plan) -> str:
    """One list for each round; ids are told where they are not the calls' numbers."""
    if plan.joins:
        raise PlanError("A DTA round has no join(): take joins off the plan to write it as rounds.")
    rounds: list[list[str]] = [[]]
    ids: list[str] = []
    after: tuple[str, ...] = ()
    for number, (call, arguments) in enumerate(call_objects(plan), start=1):
        if call.after != after:
            _check_round(call, ids)
            rounds.append([])
            ids, after = [], call.after
        own = {} if call.id == str(number) else {"id": call.id}
        rounds[-1].append(json_text({**own, "name": call.tool, "arguments": arguments}))
        ids.append(call.id)
    return "\n".join(f"{_PREFIX}[{', '.join(calls)}]" for calls in rounds)


def _check_round(call: PlannedCall, ids: Sequence[str]) -> None:
    if call.after != tuple(ids) or not ids:
        raise PlanError(f"Call {call.id} waits for some calls of a round only: refer to their results instead.")


def starts(text: str) -> list[int]:
    """Where a call could be read."""
    return object_starts(text, [SHAPE])


FRONT: Final = Front("dta", parser, render, starts)
