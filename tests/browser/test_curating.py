"""Curating in the side bar by clicks: a tool that is approved is used by the next run, concepts are put in order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_server import Lab, execute, press

from workbench.libraries import Libraries

TOOL = '''def double_it(x: int) -> int:
    """Twice a number.

    >>> double_it(4)
    8
    """
    return 2 * x
'''


@pytest.fixture
def library(lab: Lab) -> Iterator[Libraries]:
    with Libraries(lab.data) as made:
        yield made


def list_of(page: Any, kind: str) -> Any:
    """The side bar's rows of a kind."""
    execute(page, "agent-workbench:show-sidebar")
    page.locator(".wb-side").get_by_role("tab", name=kind).click()
    return page.locator(".wb-side").get_by_role("tabpanel", name=kind)


def item(rows: Any, name: str) -> Any:
    return rows.locator(".wb-item").filter(has=rows.page.locator(".wb-item-title", has_text=name))


def confirm(page: Any, name: str) -> None:
    press(page.locator(".jp-Dialog"), name)
    page.locator(".jp-Dialog").wait_for(state="detached")


def test_a_proposed_tool_is_approved_with_a_click_and_used_by_the_next_run(
    lab: Lab, library: Libraries, at_lab: Any, endless: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(TOOL)
    library.tools.import_from(tmp_path).apply()
    rows = list_of(at_lab, "Tools")
    proposed = item(rows, "double_it")
    assert proposed.get_attribute("data-state") == "proposed"
    assert rows.locator(".wb-item").first.locator(".wb-item-title").inner_text() == "double_it"
    proposed.locator("summary").click()
    proposed.locator("pre", has_text="return 2 * x").wait_for()
    press(proposed, "Try double_it")
    proposed.locator(".wb-tried", has_text="1 of 1 calls gave what they should").wait_for()
    proposed.get_by_role("button", name="Approve double_it").first.click()
    rows.locator(".wb-item[data-state='active']", has_text="double_it").wait_for()

    settings = {"model": endless, "workers": 6, "max_tokens": 40}
    run_id = str(lab.api("runs", {"task": "Double it: what is twice the number 21?", "settings": settings})["run_id"])
    lab.finished(run_id)
    execute(at_lab, "agent-workbench:open-run", runId=run_id)
    card = at_lab.locator(f"[id='agent-workbench-run-{run_id}'] .wb-card[data-state='succeeded']")
    assert "42" in card.inner_text()
    item(rows, "double_it").locator(".wb-fact", has_text="offered in 1 run, used in 1").wait_for()


def test_concepts_are_edited_merged_and_retired_in_the_side_bar(lab: Lab, library: Libraries, at_lab: Any) -> None:
    for name in ("halving", "bisection", "guessing"):
        row = library.concepts.add({"title": name, "kind": "routine", "description": f"{name} of a sorted list"})
        library.concepts.approve(row.id)
    rows = list_of(at_lab, "Concepts")
    halving = item(rows, "halving")
    halving.locator("summary").click()
    press(halving, "Edit halving")
    text = at_lab.locator(".jp-Dialog textarea")
    text.fill(text.input_value().replace("a sorted list", "a list in order"))
    confirm(at_lab, "Save")
    halving.locator("pre", has_text="a list in order").first.wait_for()
    assert "version 3" in halving.locator("summary").inner_text()

    item(rows, "bisection").locator("summary").click()
    press(item(rows, "bisection"), "Merge bisection")
    at_lab.locator(".jp-Dialog select").select_option(label="halving")
    confirm(at_lab, "Ok")
    item(rows, "bisection").wait_for(state="detached")

    item(rows, "guessing").locator("summary").click()
    press(item(rows, "guessing"), "Retire guessing")
    item(rows, "guessing").wait_for(state="detached")
    rows.get_by_label("State").select_option("retired")
    item(rows, "guessing").wait_for()
    states = {row.name: row.state for row in library.concepts.rows(states=("active", "retired"))}
    assert states == {"halving": "active", "bisection": "retired", "guessing": "retired"}


def test_what_was_done_can_be_taken_back_and_every_state_can_be_asked_for(
    lab: Lab, library: Libraries, at_lab: Any
) -> None:
    row = library.concepts.add({"title": "doubling", "kind": "routine", "description": "twice a number"})
    rows = list_of(at_lab, "Concepts")
    states = rows.get_by_label("State")
    for state in states.locator("option").evaluate_all("(all) => all.map((one) => one.value)"):
        with at_lab.expect_response("**/api/library/concepts?*") as asked:
            states.select_option(state)
        assert asked.value.ok, state
    states.select_option("")
    press(item(rows, "doubling"), "Approve doubling")
    rows.locator(".wb-item[data-state='active']", has_text="doubling").wait_for()
    assert rows.locator(".wb-done").inner_text().startswith("Approve: doubling.")
    press(rows.locator(".wb-done"), "Undo")
    rows.locator(".wb-done", has_text="Taken back.").wait_for()
    rows.locator(".wb-item[data-state='proposed']", has_text="doubling").wait_for()
    assert library.concepts.show(row.id).state == "proposed"


def test_an_edit_that_is_refused_stays_in_its_editor(lab: Lab, library: Libraries, at_lab: Any) -> None:
    row = library.concepts.add({"title": "tripling", "kind": "routine", "description": "three times a number"})
    rows = list_of(at_lab, "Concepts")
    tripling = item(rows, "tripling")
    tripling.locator("summary").click()
    press(tripling, "Edit tripling")
    at_lab.locator(".jp-Dialog textarea").fill("title: [no yaml")
    press(at_lab.locator(".jp-Dialog"), "Save")
    at_lab.locator(".jp-Dialog .wb-refused", has_text="The concept is no YAML").wait_for()
    assert at_lab.locator(".jp-Dialog textarea").input_value() == "title: [no yaml"
    at_lab.locator(".jp-Dialog textarea").fill("title: tripling\nkind: routine\ndescription: three of a number\n")
    confirm(at_lab, "Save")
    tripling.locator("pre", has_text="three of a number").first.wait_for()
    assert library.concepts.show(row.id).version == 2


def test_the_reason_of_a_refusal_stays_in_sight(lab: Lab, library: Libraries, at_lab: Any) -> None:
    row = library.concepts.add({"title": "quartering", "kind": "routine", "description": "a fourth of a number"})
    rows = list_of(at_lab, "Concepts")
    button = item(rows, "quartering").get_by_role("button", name="Approve quartering")
    button.wait_for()
    with at_lab.expect_response("**/api/library/concepts?*"):
        pass  # what is shown has just been asked for, so that the change below is news to it
    library.concepts.edit(row.id, description="one fourth of a number")
    button.click()
    rows.locator(".wb-error", has_text="version").wait_for()
    for _ in range(2):
        with at_lab.expect_response("**/api/library/concepts?*"):
            pass
    assert "version" in rows.locator(".wb-error").inner_text()


def test_what_was_tried_stays_in_sight_while_another_row_comes(lab: Lab, library: Libraries, at_lab: Any) -> None:
    library.concepts.add({"title": "sorting", "kind": "routine", "description": "small ones first"})
    rows = list_of(at_lab, "Concepts")
    sorting = item(rows, "sorting")
    sorting.locator("summary").click()
    press(sorting, "Try sorting")
    sorting.locator(".wb-tried").wait_for()
    library.concepts.add({"title": "reversing", "kind": "routine", "description": "the last one first"})
    item(rows, "reversing").wait_for()
    assert sorting.locator(".wb-tried").is_visible()
