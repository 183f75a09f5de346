"""The memory takes in what runs taught: new concepts added, known ones revised, contradictions left to the person.

In: drafts, the concepts of the library, and who is near to whom. Out: an `Update`: a plan, not yet carried out, and
what is in it. The same title, or (for a model's drafts) nearly the same meaning, is a revision: cues, steps and
exemplars are added to the known concept. What tells another way for the same cue, or says itself that it contradicts
a concept, becomes a row of its own that stays proposed, tagged `contradiction`, and names the row that it is against.
What a person rejected does not come back. Pure. Neighbours: `phrases` and `abstraction` draft, `store` carries out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from memory.concepts import concept_key, form_of, merged_programs, unique, unique_problems
from memory.planning import joined, plan_edit, plan_new
from memory.values import Content, Plan, Row, Snapshot, State, title_of

CONTRADICTION: Final = "contradiction"
LEARNT: Final = "learnt"
MOST_EXEMPLARS: Final = 24
"""Problems and runs that a concept remembers; more of them make a search slower and no better."""


@dataclass(frozen=True, slots=True)
class Update:
    plan: Plan
    added: tuple[str, ...] = ()
    revised: tuple[str, ...] = ()
    contradictions: tuple[tuple[str, str], ...] = ()
    """A new concept's title, and that of the concept which says otherwise."""
    known: tuple[str, ...] = ()
    """What the library says already, or a person has rejected."""


def plan_update(
    drafts: Iterable[Snapshot],
    rows: Sequence[Row],
    near: Callable[[Snapshot], str | None] = lambda _: None,
    *,
    state: State = "proposed",
) -> Update:
    """rows: all concepts, retired ones too. near: the id of the row that means the same as a draft. state: of new rows
    that contradict nothing."""
    present = {row.row_id: row for row in rows if row.state != "retired"}
    titled = {concept_key(row.name): row.row_id for row in reversed(list(present.values()))}
    rejected: set[str] = set()
    merged = {row.row_id: row.snapshot.provenance.get("merged_into") for row in rows if row.state == "retired"}
    for row_id, name in ((row.row_id, concept_key(row.name)) for row in rows if row.state == "retired"):
        if (stayed := _stayed(row_id, merged)) in present:  # what goes by its title is the row's that it became part of
            titled.setdefault(name, stayed)
        else:
            rejected.add(name)
    edited: dict[str, dict[str, Any]] = {}
    fresh: dict[str, Snapshot] = {}
    against: list[tuple[str, str]] = []
    known: list[str] = []
    for draft in _folded(drafts):
        title = title_of("concept", draft.content)
        same = titled.get(concept_key(title)) or near(draft)
        if same in present:
            old = edited.get(same, dict(present[same].content))
            new = revised_content(old, draft.content)
            if new == old:
                known.append(title)
            else:
                edited[same] = new
        elif concept_key(title) in rejected:
            known.append(title)
        else:
            others = [row for row in present.values() if contradict(draft.content, row.content)]
            against += [(title, row.name) for row in others]
            fresh[title] = _new(draft, others, state)
    # Two drafts of one batch may be against each other: neither is taken for true.
    for first in fresh:
        for second in fresh:
            if first < second and contradict(fresh[first].content, fresh[second].content):
                against.append((first, second))
                for title in (first, second):
                    tags = tuple(unique([*fresh[title].tags, CONTRADICTION]))
                    fresh[title] = fresh[title].with_(state="proposed", tags=tags)
    plans = [plan_edit(present[row_id], content) for row_id, content in edited.items()]
    plan = joined("learn", [*plans, plan_new(fresh.values())])
    revised = tuple(present[row_id].name for row_id in edited)
    return Update(plan, tuple(fresh), revised, tuple(against), tuple(known))


def revised_content(old: Content, new: Content) -> dict[str, Any]:
    """A known concept with what a draft adds; its own words stay, and it does not grow without end."""
    if form_of(old) == form_of(new) == "program-synthesis":
        merged = merged_programs(old, new)
    else:
        merged = {**old, "problems": unique_problems([*old.get("problems", ()), *new.get("problems", ())])}
    for field in ("problems", "used_in"):
        if field in merged:
            kept = max(MOST_EXEMPLARS, len(old.get(field, ())))
            merged[field] = merged[field][:kept]
    return merged


def contradict(first: Content, second: Content) -> bool:
    """Whether two concepts tell different ways for the same cue, or one says that it is against the other."""
    titles = [concept_key(title_of("concept", one)) for one in (first, second)]
    for one, other in ((first, titles[1]), (second, titles[0])):
        said = one.get("contradicts") or ()
        if other in {concept_key(str(name)) for name in ([said] if isinstance(said, str) else said)}:
            return True
    if form_of(first) == "open-ended" or form_of(second) == "open-ended":
        alike = form_of(first) == form_of(second) and concept_key(first["situation"]) == concept_key(
            second["situation"]
        )
        return alike and concept_key(first["suggestion"]) != concept_key(second["suggestion"])
    cues = [{concept_key(cue) for cue in one.get("cues", ())} for one in (first, second)]
    ways = [one.get("implementation") for one in (first, second)]
    return bool(cues[0] & cues[1]) and all(ways) and ways[0] != ways[1]


def _stayed(row_id: str, merged: Mapping[str, Any]) -> str:
    """The row that a retired one was merged into, by however many merges; itself where it was not."""
    for _ in merged:
        if not isinstance(after := merged.get(row_id), str):
            break
        row_id = after
    return row_id


def _folded(drafts: Iterable[Snapshot]) -> list[Snapshot]:
    """Drafts of one title as one."""
    folded: dict[str, Snapshot] = {}
    for draft in drafts:
        key = concept_key(title_of("concept", draft.content))
        earlier = folded.get(key)
        if earlier is None:
            folded[key] = draft
            continue
        runs = unique([*earlier.provenance.get("runs", ()), *draft.provenance.get("runs", ())])
        content = revised_content(earlier.content, draft.content)
        folded[key] = earlier.with_(content=content, provenance={**earlier.provenance, "runs": runs})
    return list(folded.values())


def _new(draft: Snapshot, against: Sequence[Row], state: State) -> Snapshot:
    tags = unique([*draft.tags, LEARNT, *([CONTRADICTION] if against else [])])
    provenance = dict(draft.provenance)
    if against:
        provenance["contradicts"] = [row.row_id for row in against]
    return draft.with_(state="proposed" if against else state, tags=tuple(tags), provenance=provenance)
