"""What people do with runs that go on, in JupyterLab: from the launcher's card to a fork, a kill and a resumption."""

import json
import os
import secrets
import signal
from typing import Any

import pytest
from lab_server import Lab, execute, open_lab, press

from workbench.log import RunLog
from workbench.paths import log_path

NO_SOCKETS = """{
  const Real = WebSocket;
  window.WebSocket = class extends Real {
    constructor(url, ...more) {
      if (String(url).includes("/workbench/")) throw new Error("no WebSockets here");
      super(url, ...more);
    }
  };
}"""
LANES = "() => document.querySelector('.wb-lanes').innerText.length"


@pytest.fixture
def endless_run(lab: Lab, endless: str) -> str:
    """A run that goes on until it is stopped; held, so that it leaves the machine to the browser."""
    run_id = str(lab.api("runs", {"task": "What?", "settings": {"model": endless, "memory": "none"}})["run_id"])
    lab.api(f"runs/{run_id}/control", {"command": "pause"})
    return run_id


def panel_of(page: Any, run_id: str) -> Any:
    execute(page, "agent-workbench:open-run", runId=run_id)
    panel = page.locator(f"[id='agent-workbench-run-{run_id}']")
    panel.locator(".wb-status[data-status='paused']").wait_for()
    return panel


def step(panel: Any, times: int) -> None:
    """Let a run that is held do so many steps."""
    for steps in range(1, times + 1):
        press(panel, "Step")
        panel.locator(".wb-step", has_text=f"of {steps}").wait_for()


def test_a_run_from_the_launcher_moves_live_pauses_and_stops(lab: Lab, at_lab: Any) -> None:
    at_lab.locator(".jp-LauncherCard", has_text="Agent run").click()
    at_lab.get_by_role("button", name="Start the run").click()
    panel = at_lab.locator(".wb-main:has(.wb-lane)")
    press(panel, "Pause")
    panel.locator(".wb-status[data-status='paused']").wait_for()
    assert panel.locator(".wb-lane").count() == 2
    before = at_lab.evaluate(LANES)
    press(panel, "Resume")
    at_lab.wait_for_function(f"(was) => ({LANES})() > was", arg=before)
    press(panel, "Stop")
    panel.locator(".wb-status[data-status='stopped']").wait_for()


def test_what_a_person_says_and_does_is_seen_in_the_panel_and_in_the_log(
    lab: Lab, at_lab: Any, endless_run: str
) -> None:
    panel = panel_of(at_lab, endless_run)
    press(panel, "Step")
    panel.locator(".wb-say").get_by_label("Say").fill("hello")
    press(panel, "Send")
    panel.locator(".wb-injected[data-source='person']", has_text="hello").wait_for()
    panel.locator(".wb-say").get_by_label("when", exact=True).select_option("queued")
    panel.locator(".wb-say").get_by_label("Say").fill("later")
    press(panel, "Send")
    press(panel, "Edit")
    panel.locator(".wb-queue input").fill("much later")
    press(panel, "Save")
    panel.locator(".wb-queued", has_text="much later").wait_for()
    press(panel, "Take back")
    panel.locator(".wb-queued").wait_for(state="detached")
    press(panel, "Add worker")
    panel.locator(".wb-lane").nth(2).wait_for()
    panel.get_by_label("Settings of Bob").click()
    panel.locator(".wb-popover").get_by_label("Temperature").locator("visible=true").fill("0.5")
    panel.get_by_role("button", name="Set", exact=True).locator("visible=true").click()
    panel.get_by_label("Settings of Carol").click()
    press(panel, "Retire Carol")
    panel.locator(".wb-lane .wb-state[data-state='finished']").wait_for()
    press(panel, "Stop")
    panel.locator(".wb-status[data-status='stopped']").wait_for()
    events = RunLog(log_path(lab.data)).events(endless_run)
    done = [event.payload.command for event in events if event.kind == "steered"]
    assert done == ["pause", "step", "add_worker", "set_sampling", "retire_worker", "stop"]
    changed = next(event.payload for event in events if event.kind == "sampling_changed")
    assert (changed.worker, changed.sampling["temperature"]) == ("Bob", 0.5)


def test_breakpoints_are_set_hit_and_removed_beside_the_pause(lab: Lab, at_lab: Any, endless_run: str) -> None:
    panel = panel_of(at_lab, endless_run)
    panel.locator(".wb-breaks summary").click()
    form = panel.locator(".wb-breaks form")
    form.get_by_label("Pause").select_option("step")
    form.get_by_label("Step", exact=True).fill("2")
    press(panel, "Add")
    panel.locator(".wb-breaks li", has_text="after step 2").wait_for()
    form.get_by_label("Pause").select_option("pattern")
    form.get_by_label("Regular expression").fill("(")
    press(panel, "Add")
    panel.locator(".wb-refusal", has_text="'(' is no regular expression").wait_for()
    form.get_by_label("Regular expression").fill("<b>ti[c]k</b>")
    form.get_by_label("of").select_option("Alice")
    press(panel, "Add")
    panel.locator(".wb-breaks li", has_text="at /<b>ti[c]k</b>/ of Alice").wait_for()
    press(panel, "Resume")
    panel.locator(".wb-hit", has_text="Paused at b1: step 2 is done").wait_for()
    panel.locator(".wb-breaks li[data-hit]", has_text="hit once").wait_for()
    panel.get_by_role("button", name="Remove b1, after step 2").click()
    panel.locator(".wb-breaks li", has_text="after step 2").wait_for(state="detached")
    press(panel, "Step")
    panel.locator(".wb-hit").wait_for(state="hidden")
    panel.locator(".wb-step", has_text="of 3").wait_for()
    press(panel, "Stop")
    panel.locator(".wb-status[data-status='stopped']").wait_for()


def test_a_line_that_is_being_rewritten_stays_as_far_as_it_is_while_the_others_come_and_go(
    lab: Lab, at_lab: Any, endless_run: str
) -> None:
    panel = panel_of(at_lab, endless_run)
    queued = lambda text: lab.api(  # noqa: E731
        f"runs/{endless_run}/control", {"command": "say", "text": text, "when": "queued"}
    )
    queued("first")
    second = queued("second")
    panel.locator(".wb-queue li").nth(1).wait_for()
    press(panel.locator(".wb-queue li", has_text="first"), "Edit")
    assert panel.locator(".wb-queued").all_inner_texts() == ["second"], "the other line is still there"
    panel.locator(".wb-queue input").fill("first of")
    lab.api(f"runs/{endless_run}/control", {"command": "cancel_say", "line": second["line"]})
    panel.locator(".wb-queued").wait_for(state="detached")
    assert panel.locator(".wb-queue input").input_value() == "first of"
    panel.locator(".wb-queue input").fill("first of all")
    press(panel, "Save")
    panel.locator(".wb-queued", has_text="first of all").wait_for()
    lab.api(f"runs/{endless_run}/control", {"command": "stop"})


def test_the_side_bar_leaves_focus_and_clicks_alone_while_a_run_goes_on(
    lab: Lab, at_lab: Any, endless_run: str
) -> None:
    execute(at_lab, "agent-workbench:show-sidebar")
    item = at_lab.locator(f".wb-side [data-run='{endless_run}']")
    export = item.get_by_role("button", name="Export")
    export.focus()
    at_lab.evaluate("() => { window.focused = document.activeElement; }")
    lab.api(f"runs/{endless_run}/control", {"command": "stop"})
    item.locator(".wb-status[data-status='stopped']").wait_for()
    assert at_lab.evaluate("() => window.focused === document.activeElement && window.focused.isConnected")
    assert at_lab.evaluate("() => window.focused.textContent") == "Export"


def test_a_call_waits_for_a_persons_word_in_the_panel(lab: Lab, at_lab: Any, endless: str) -> None:
    settings = {"model": endless, "workers": 5, "memory": "none", "policy": {"approval": True}}
    run_id = str(lab.api("runs", {"task": "What?", "settings": settings})["run_id"])
    execute(at_lab, "agent-workbench:open-run", runId=run_id)
    panel = at_lab.locator(f"[id='agent-workbench-run-{run_id}']")
    yes, no = (panel.locator(".wb-lane", has_text=name).locator(".wb-card") for name in ("Dave", "Erin"))
    yes.get_by_role("button", name="Approve").focus()
    at_lab.keyboard.press("Enter")
    panel.locator(".wb-card[data-state='succeeded']", has_text="42").wait_for()
    assert "gcd" in at_lab.evaluate("() => document.activeElement.getAttribute('aria-label')")
    press(no, "Reject")
    panel.locator(".wb-card[data-state='rejected']", has_text="is_prime").wait_for()
    press(panel, "Stop")
    panel.locator(".wb-status[data-status='stopped']").wait_for()
    given = [one.payload for one in RunLog(log_path(lab.data)).events(run_id) if one.kind == "approval_given"]
    assert [one.approved for one in given] == [True, False]


def test_a_person_changes_the_arguments_of_a_call_in_its_card_with_the_keyboard_alone(
    lab: Lab, at_lab: Any, endless: str
) -> None:
    settings = {"model": endless, "workers": 5, "memory": "none", "policy": {"approval": True}}
    run_id = str(lab.api("runs", {"task": "What?", "settings": settings})["run_id"])
    execute(at_lab, "agent-workbench:open-run", runId=run_id)
    panel = at_lab.locator(f"[id='agent-workbench-run-{run_id}']")
    card = panel.locator(".wb-lane", has_text="Dave").locator(".wb-card")
    edit = card.get_by_role("button", name="Edit the arguments of gcd")
    edit.focus()
    at_lab.keyboard.press("Enter")
    box = card.get_by_role("textbox", name="Arguments, as JSON")
    assert at_lab.evaluate("() => document.activeElement.tagName") == "TEXTAREA"
    assert json.loads(box.input_value()) == {"a": 84, "b": 126}
    box.fill("gone")
    at_lab.keyboard.press("Escape")
    box.wait_for(state="hidden")
    assert at_lab.evaluate("() => document.activeElement.textContent") == "Edit"
    at_lab.keyboard.press("Enter")
    assert json.loads(box.input_value()) == {"a": 84, "b": 126}, "Escape has left everything as it was"
    alert = card.get_by_role("alert")
    for wrong, sentence in (
        ('{"a": 84', "This is no JSON object"),
        ('{"a": 84, "b": "ten"}', "b of gcd must be a whole number"),
    ):
        box.fill(wrong)
        at_lab.keyboard.press("Control+Enter")
        alert.filter(has_text=sentence).wait_for()
        assert box.input_value() == wrong, "nothing is lost"
    box.fill('{"a": 84, "b": 10}')
    press(card, "Approve these")
    card.locator("xpath=self::*[@data-state='succeeded']").wait_for()
    focused = "() => document.activeElement.closest('.wb-card')?.getAttribute('aria-label')"
    assert "gcd" in at_lab.evaluate(focused), "the buttons have gone, and the focus stays with the call"
    foot = card.locator(".wb-card-foot").inner_text()
    assert "asked for gcd(a=84, b=126)" in foot
    assert "b = 10" in card.locator(".wb-args").inner_text()
    lab.api(f"runs/{run_id}/control", {"command": "stop"})
    panel.locator(".wb-status[data-status='stopped']").wait_for()
    (given,) = [one.payload for one in RunLog(log_path(lab.data)).events(run_id) if one.kind == "approval_given"]
    assert (given.arguments, bool(given.by)) == ({"a": 84, "b": 10}, True)


def test_a_reload_during_a_run_shows_every_event_once(lab: Lab, page: Any, endless_run: str) -> None:
    open_lab(lab, page, secrets.token_hex(4))
    panel = panel_of(page, endless_run)
    press(panel, "Resume")
    page.wait_for_function(f"() => ({LANES})() > 200")
    open_lab(lab, page, secrets.token_hex(4))
    execute(page, "agent-workbench:open-run", runId=endless_run)
    panel = page.locator(f"[id='agent-workbench-run-{endless_run}']")
    panel.locator(".wb-status[data-status='running']").wait_for()
    press(panel, "Stop")
    panel.locator(".wb-status[data-status='stopped']").wait_for()
    events = RunLog(log_path(lab.data)).events(endless_run)
    wrote = [one for event in events if event.kind == "tokens_added" for one in event.payload.tokens]
    tokens = sum(len(one["ids"]) for one in wrote if one["worker"] == "Bob")
    lane = panel.locator(".wb-lane").nth(1)
    assert lane.locator(".wb-figures").inner_text().replace(",", "") == f"{tokens} tokens"
    # Of a long text only what is near the sight is in the page.
    shown = lane.locator(".wb-words").inner_text().split()
    assert set(shown) <= set("".join(one["text"] for one in wrote if one["worker"] == "Bob").split())


def test_a_killed_engine_is_told_restarted_with_a_click_and_the_run_resumed(
    lab: Lab, at_lab: Any, endless_run: str
) -> None:
    panel = panel_of(at_lab, endless_run)
    os.kill(lab.api("status")["engine"]["pid"], signal.SIGKILL)
    panel.locator(".wb-banner[data-kind='dead']").wait_for()
    press(panel, "Restart the engine")
    press(panel, "Resume from the log")
    panel.locator(".wb-status[data-status='running'], .wb-status[data-status='paused']").wait_for()
    press(panel, "Stop")
    panel.locator(".wb-status[data-status='stopped']").wait_for()


def test_a_fork_begins_at_the_step_that_is_shown_and_is_compared_with_its_parent(
    lab: Lab, at_lab: Any, endless_run: str
) -> None:
    panel = panel_of(at_lab, endless_run)
    step(panel, 3)
    panel.locator(".wb-scrubber input").fill("2")
    press(panel, "Fork here")
    form = panel.locator(".wb-fork")
    form.get_by_label("Say").fill("hello")
    form.get_by_label("Seed").fill("9" * 30)
    press(panel, "Start the fork")
    panel.locator(".wb-refusal", has_text="seed must be").wait_for()
    assert form.get_by_label("Say").input_value() == "hello", "what a person wrote is there to be sent again"
    form.get_by_label("Seed").fill("5")
    press(panel, "Start the fork")
    forked = at_lab.locator(".wb-main:visible").locator(".wb-injected[data-source='person']", has_text="hello")
    forked.wait_for()
    child = next(row["run_id"] for row in lab.api("runs")["runs"] if (row["parent"] or {}).get("run_id") == endless_run)
    for run_id in (child, endless_run):
        lab.api(f"runs/{run_id}/control", {"command": "stop"})
    execute(at_lab, "agent-workbench:compare-runs", left=endless_run, right=child)
    at_lab.locator(".wb-summary", has_text="They share everything up to step 2.").wait_for()


def test_the_panels_export_opens_as_a_notebook_that_shows_the_run(lab: Lab, at_lab: Any, endless_run: str) -> None:
    panel = panel_of(at_lab, endless_run)
    step(panel, 1)
    press(panel, "Stop")
    panel.locator(".wb-status[data-status='stopped']").wait_for()
    panel.locator(".wb-export summary").click()
    press(panel, "Notebook (.ipynb)")
    assert panel.locator(".wb-export[open]").count() == 0
    shown = at_lab.locator(".jp-Notebook .wb-run")
    shown.locator(".wb-lane").first.wait_for()
    assert shown.locator(".wb-status[data-status='stopped']").count() == 1
    assert (lab.root / f"run-{endless_run}.ipynb").is_file()
    for form, name in (("html", "Export run as web page"), ("json", "Export run as OpenTelemetry trace")):
        assert (
            at_lab.evaluate("(format) => jupyterapp.commands.label('agent-workbench:export-run', { format })", form)
            == name
        )
        execute(at_lab, "agent-workbench:export-run", runId=endless_run, format=form)
        assert (lab.root / f"run-{endless_run}.{form}").is_file()


def test_a_menu_closes_on_escape_with_its_focus_kept_and_when_something_else_is_used(
    lab: Lab, at_lab: Any, endless_run: str
) -> None:
    panel = panel_of(at_lab, endless_run)
    step(panel, 1)
    summary, opened = panel.locator(".wb-export summary"), panel.locator(".wb-export[open]")
    summary.focus()
    at_lab.keyboard.press("Enter")
    opened.wait_for()
    at_lab.keyboard.press("Tab")
    assert at_lab.evaluate("document.activeElement.textContent") == "Notebook (.ipynb)"
    at_lab.keyboard.press("Escape")
    opened.wait_for(state="detached")
    assert at_lab.evaluate("document.activeElement.textContent") == "Export"
    summary.click()
    panel.locator(".wb-say").get_by_label("Say").click()
    opened.wait_for(state="detached")
    lab.api(f"runs/{endless_run}/control", {"command": "stop"})


def test_a_run_is_started_with_words_and_names_of_ones_own(lab: Lab, at_lab: Any, endless: str) -> None:
    execute(at_lab, "agent-workbench:new-run")
    form = at_lab.locator(".wb-new")
    form.get_by_label("Model").fill(endless)
    form.get_by_text("Own words and names").click()
    form.get_by_label("All of these from a file").set_input_files(
        {"name": "words.json", "mimeType": "application/json", "buffer": b'{"names": ["Ann", "Ben"], "closing": "So?"}'}
    )
    form.get_by_label("Rules, told before the task").fill("{names} whistle.")
    assert form.get_by_label("Names of the workers").input_value() == "Ann, Ben"
    written = form.get_by_label("Other words, as JSON").input_value()
    form.get_by_label("Other words, as JSON").fill("{")
    press(form, "Start the run")
    form.locator(".wb-refusal", has_text="Other words: this is not JSON").wait_for()
    form.get_by_label("Other words, as JSON").fill(written)
    press(form, "Start the run")
    panel = at_lab.locator(".wb-main:has(.wb-lane)")
    panel.locator(".wb-name", has_text="Ben").wait_for()
    run_id = lab.api("runs?limit=1")["runs"][0]["run_id"]
    lab.finished(run_id)  # the model knows no worker of that name
    started = RunLog(log_path(lab.data)).events(run_id)[0].payload
    assert started.settings["prompting"] == {"closing": "So?", "names": ["Ann", "Ben"], "rules": "{names} whistle."}


def test_two_tabs_show_one_run_one_of_them_without_websockets(
    lab: Lab, at_lab: Any, page: Any, endless_run: str
) -> None:
    page.add_init_script(NO_SOCKETS)
    open_lab(lab, page, secrets.token_hex(4))
    polling, other = panel_of(page, endless_run), panel_of(at_lab, endless_run)
    step(other, 1)
    polling.locator(".wb-step", has_text="of 1").wait_for()
    press(polling, "Stop")
    for panel in (polling, other):
        panel.locator(".wb-status[data-status='stopped']").wait_for()
    assert polling.locator(".wb-lanes").inner_text() == other.locator(".wb-lanes").inner_text()


def test_a_run_goes_on_while_the_server_is_restarted_and_its_panel_comes_back(
    lab: Lab, page: Any, endless_run: str
) -> None:
    open_lab(lab, page, secrets.token_hex(4))
    panel = panel_of(page, endless_run)
    lab.stop()
    try:
        panel.locator(".wb-banner[data-kind='lost']").wait_for()
    finally:
        lab.start()
    panel.locator(".wb-banner[data-kind='lost']").wait_for(state="hidden")
    lab.api(f"runs/{endless_run}/control", {"command": "step"})
    panel.locator(".wb-step", has_text="of 1").wait_for()
    lab.api(f"runs/{endless_run}/control", {"command": "stop"})
    panel.locator(".wb-status[data-status='stopped']").wait_for()
