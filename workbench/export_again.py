"""The cells of an exported run that show its tools and concepts, and that do the run again.

In: the data of a `Record`. Out: cells' sources, as text. What a cell needs stands in the notebook or in the workbench:
tools of the standard set by name, own functions as their code, code of the library as a tool that runs in the sandbox.
Neighbours: `export` makes cells of these, `sources` has put the code into the log.
"""

from __future__ import annotations

from typing import Any, Final

from toolsets.arguments import fit_arguments
from toolsets.builtin import BUILTINS
from toolsets.errors import ToolsetError
from toolsets.standard import STANDARD

REPEATED_SETTINGS: Final = (
    "max_tokens", "max_run_tokens", "temperature", "attention", "front", "prompting", "guided_calls", "async_tools",
    "answer", "memory", "concepts", "concept_tokens", "more_tools", "unsafe_tools", "device", "dtype",
)  # fmt: skip
"""The settings that `Workbench(...)` takes beside model, workers, layout, seed and tools."""


def tool_cells(data: dict[str, Any]) -> list[tuple[str, str]]:
    """A cell for each tool that was called or whose code the run knows, with what a recorded call gave."""
    sources, gone = _sources(data), _process_only(data)
    called = [call["tool"] for call in data["calls"]]
    names = dict.fromkeys([*sources, *(name for name in called if name in STANDARD and name not in gone)])
    return [
        _own(sources[name]) if name in sources else _standard(name, [c for c in data["calls"] if c["tool"] == name])
        for name in names
    ]


def concept_rows(data: dict[str, Any]) -> list[tuple[str, str, object, str]]:
    """What of the library stood in the prompt: kind, name, version, why."""
    return [(row["library"], row["name"], row["version"], _why(row.get("why") or {})) for row in data.get("shown", [])]


def again_source(data: dict[str, Any]) -> str:
    """The cell that runs the task again, with the settings and the tools that it was run with."""
    settings = {"model": data["model"], "workers": len(data["lanes"]), "layout": data["layout"], "seed": data["seed"]}
    logged = {"guided_calls": False, **data["settings"]}  # older runs were not guided, and say nothing of it
    settings |= {name: logged[name] for name in REPEATED_SETTINGS if name in logged}
    if own := logged.get("worker_settings"):
        settings["workers"] = [{"name": lane["worker"], **own.get(lane["worker"], {})} for lane in data["lanes"]]
    given = {name: repr(value) for name, value in settings.items()}
    lines = ["from workbench import Workbench", ""]
    if str(data["model"]).startswith("~"):
        lines.insert(0, "import os\n")
        given["model"] = f"os.path.expanduser({data['model']!r})"
    tools, gone = _tools(data)
    if tools:
        given["tools"] = tools
    if gone:
        left_out = ", ".join(map(repr, gone))
        lines.append(f"# Not offered here, as they change something or only the run's process had them: {left_out}.")
    if logged.get("approve", "ask") != "ask":
        given["approve"] = repr(logged["approve"])
    lines += [f"task = {literal(data['task'])}", ""]
    lines += [f"workbench = Workbench({', '.join(f'{name}={value}' for name, value in given.items())})"]
    policy = f", policy={logged['policy']!r}" if logged.get("policy") else ""
    return "\n".join([*lines, f"again = workbench.run(task{policy})", "again"])


def literal(text: str) -> str:
    """A Python string that reads as the text does, where that is possible."""
    plain = "\n" in text and "\\" not in text and '"""' not in text and not text.endswith('"')
    return f'"""{text}"""' if plain and all(line.isprintable() for line in text.split("\n")) else repr(text)


def _tools(data: dict[str, Any]) -> tuple[str, list[str]]:
    """What `tools=` is given, empty for the usual; and the names of tools that cannot be given."""
    recalled = {row["name"] for row in data.get("shown", []) if row["library"] == "tool"}
    names = [name for name in data["tools"] if name not in recalled]
    # Executing a notebook must not make a change once more that the run made.
    own = {name for name, one in _sources(data).items() if one["effect"] == "read"}
    known = {*_sources(data), *_process_only(data)}
    gone = [name for name in names if name not in own and (name not in STANDARD or name in known)]
    kept = [name for name in names if name not in gone]
    if kept == list(BUILTINS) or (not kept and not gone):
        return "", gone
    if kept == list(STANDARD):
        return "'standard'", gone
    return f"[{', '.join(name if name in own else repr(name) for name in kept)}]", gone


def _sources(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By name; a name stands in code as it is, so one that is none is left out."""
    return {one["name"]: one for one in data.get("sources", []) if one["code"] and one["name"].isidentifier()}


def _process_only(data: dict[str, Any]) -> set[str]:
    return {one["name"] for one in data.get("sources", []) if not one["code"]}


def _own(source: dict[str, Any]) -> tuple[str, str]:
    name, code = source["name"], source["code"]
    if source["of"] == "person":
        return code, ""
    lines = ["# From the library: its code runs in the sandbox.", "from toolsets.shelf import sandboxed", ""]
    return "\n".join([*lines, f"{name} = sandboxed({name!r}, {literal(code)}, effect={source['effect']!r})"]), ""


def _standard(name: str, calls: list[dict[str, Any]]) -> tuple[str, str]:
    """Cell and output: the first call that succeeded and needed no other call's result, done again."""
    tool = STANDARD[name]
    lines = [f"# {tool.line()}", "from toolsets.standard import STANDARD", "", f'{name} = STANDARD["{name}"]']
    for call in calls:
        if call["state"] == "succeeded" and not call["needs"] and not call["cut"] and tool.effect == "read":
            try:
                fit_arguments(tool, call["arguments"])
            except ToolsetError:
                continue
            lines.insert(1, "from toolsets.arguments import fit_arguments")
            return "\n".join([*lines, f"{name}(**fit_arguments({name}, {call['arguments']!r}))"]), call["result"]
    return "\n".join([*lines, f"{name}.signature()"]), tool.signature()


def _why(why: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in why.items() if value not in (None, ""))
