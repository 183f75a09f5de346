"""Events as plain JSON values, and back to equal events.

In: events, or their payloads' fields alone, as the log keeps them. Out: flat objects and compact text. Neighbours:
`events` are the values; `writer`, `log` and `tail` store and read the text, the server, the widget and the export send
the objects.

A reader that is older than the writer stays readable: a kind it does not know, or a known kind that lacks a field it
needs, reads as `UnknownEvent` with everything that was stored; fields it does not know are left out.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, get_args

from workbench.events import Event, Payload, UnknownEvent

KINDS: dict[str, Callable[..., Payload]] = {one.kind: one for one in get_args(Payload) if one is not UnknownEvent}
"""Every kind there is. Typed as callables: building one from stored fields is checked by running, not by types."""
# The names that no payload's field may have, so that an event is one flat object.
ENVELOPE = ("run_id", "seq", "time", "kind")
_FIELDS: dict[str, tuple[str, ...]] = {
    kind: tuple(f.name for f in dataclasses.fields(known))  # type: ignore[arg-type]
    for kind, known in KINDS.items()
}
# Not ASCII-only: it is shorter, and two lone surrogates in a row would read back as one character from \u escapes.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def to_json(event: Event) -> dict[str, Any]:
    """One flat object: run_id, seq, time, kind, and the payload's fields. Lists and dicts are the event's own."""
    envelope = {"run_id": event.run_id, "seq": event.seq, "time": event.time, "kind": event.kind}
    return envelope | {name: value for name, value in payload_fields(event.payload).items() if name not in envelope}


def from_json(data: Mapping[str, Any]) -> Event:
    """The event that `to_json` made `data` from; what cannot be interpreted reads as an UnknownEvent."""
    fields = {name: value for name, value in data.items() if name not in ENVELOPE}
    return Event(
        run_id=str(data.get("run_id", "")),
        seq=int(data.get("seq", 0)),
        time=float(data.get("time", 0.0)),
        payload=payload_from(str(data.get("kind", "")), fields),
    )


def payload_fields(payload: Payload) -> dict[str, Any]:
    """A payload's fields without its kind; values are shared, not copied."""
    if isinstance(payload, UnknownEvent):
        return payload.data
    return {name: getattr(payload, name) for name in _FIELDS[payload.kind]}


def payload_from(kind: str, fields: dict[str, Any]) -> Payload:
    """The payload of `kind` with these fields, or an UnknownEvent that holds them all."""
    known = KINDS.get(kind)
    if known is None:
        return UnknownEvent(kind, fields)
    try:
        return known(**{name: fields[name] for name in _FIELDS[kind] if name in fields})
    except TypeError:  # a field without a default is missing
        return UnknownEvent(kind, fields)


def encode_fields(payload: Payload) -> str:
    """The payload's fields as JSON text, compact; may hold lone surrogates if the payload does."""
    return _ENCODER.encode(payload_fields(payload))


def decode_fields(kind: str, text: str) -> Payload:
    """The payload that `encode_fields` wrote; raises ValueError when `text` is not a JSON object."""
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError(f"the fields of a {kind} event are not a JSON object")
    return payload_from(kind, fields)
