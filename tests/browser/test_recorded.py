"""Runs that stand in the log already, looked at in JupyterLab: complete, harmless, accessible, in every theme."""

import re
import secrets
from pathlib import Path
from typing import Any

import pytest
from lab_server import Lab, execute, open_lab
from nbconvert import HTMLExporter
from staged_runs import HOSTILE, NAMES, QUESTIONS, Story, worksheet

from workbench import events as ev
from workbench import front_end
from workbench.export import export_run

AXE = front_end.SOURCES / "node_modules" / "axe-core" / "axe.min.js"
# JupyterLab's own frame is JupyterLab's business; ours is what is looked at.
OURS = [".wb-main", ".wb-side"]
THEMES = ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast")


# WCAG's contrast of a node's text against the nearest ground behind it that is not transparent.
CONTRAST = """(node, part) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const pixel = (...colours) => {
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const clear = (one) => getComputedStyle(one).backgroundColor === "rgba(0, 0, 0, 0)";
  let behind = node;
  while (clear(behind)) behind = behind.parentElement;
  const ground = getComputedStyle(behind).backgroundColor;
  const light = (rgb) => rgb.slice(0, 3).map((one) => one / 255)
    .map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
  const [low, high] = [pixel(ground), pixel(ground, getComputedStyle(node, part || null).color)].map(light)
    .sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}"""


def open_run(page: Any, run_id: str) -> Any:
    """Open a run by its command, as the palette does; returns the panel."""
    execute(page, "agent-workbench:open-run", runId=run_id)
    panel = page.locator(f"[id='agent-workbench-run-{run_id}']")
    panel.locator(".wb-lane").first.wait_for()
    return panel


def show_side_bar(page: Any) -> Any:
    execute(page, "agent-workbench:show-sidebar")
    side = page.locator(".wb-side")
    side.locator(".wb-pane").first.wait_for()
    return side


def serious(page: Any) -> list[str]:
    """What axe finds wrong in our parts of the page, of those things that shut people out."""
    page.add_script_tag(path=str(AXE))
    found = page.evaluate(
        """async (ours) => {
            const there = ours.filter((one) => document.querySelector(one)).map((one) => [one]);
            const { violations } = await axe.run({ include: there }, { resultTypes: ['violations'] });
            return violations.filter((one) => ['serious', 'critical'].includes(one.impact))
                .map((one) => [one.id, one.help, ...one.nodes.slice(0, 4).map((node) =>
                    node.html.slice(0, 160) + ' ' + (node.any[0]?.message ?? ''))].join('\\n'));
        }""",
        OURS,
    )
    return list(found)


def hostile_story() -> Story:
    """A run in which everything that a model, a tool or a person wrote is markup that would like to run."""
    nasty = (
        "<img src=x onerror=\"window.hacked=1\"><svg onload='window.hacked=1'><script>window.hacked=1</script>"
        + HOSTILE
    )
    question = (nasty, nasty, "gcd", {nasty: nasty}, nasty)
    story = Story()
    story.begin([nasty, "Bob"], [question] * 2)
    story.tokens(Bob=nasty)
    story.call("Bob", "c1", nasty, {nasty: nasty}, nasty)
    story.add(ev.TextInjected("Bob", story.blocks()["Bob"], nasty, [1], "person"))
    story.add(ev.SayQueued("l1", nasty, nasty, "queued"))
    story.finish("failed", nasty, nasty)
    return story


def test_a_run_of_another_process_is_in_the_side_bar_and_opens_complete(lab: Lab, at_lab: Any) -> None:
    run_id = lab.record(worksheet(3))
    side = show_side_bar(at_lab)
    side.locator(f"[data-run='{run_id}'] .wb-item-main").click()
    panel = at_lab.locator(f"[id='agent-workbench-run-{run_id}']")
    panel.locator(".wb-status[data-status='solved']").wait_for()
    assert panel.locator(".wb-lane").count() == 3
    text = panel.inner_text()
    assert text.count("I take 1: Greatest common divisor.") == 1
    assert "tool_call" not in text
    cards = panel.locator(".wb-card[data-state='succeeded']")
    assert cards.count() == 4
    assert "a = 48" in cards.first.inner_text()
    assert "12" in panel.locator(".wb-table").last.inner_text()


def test_the_scrubber_shows_an_earlier_step_in_every_part_of_the_panel(lab: Lab, at_lab: Any) -> None:
    panel = open_run(at_lab, lab.record(worksheet(2)))
    panel.locator(".wb-status[data-status='solved']").wait_for()
    scrubber = panel.locator(".wb-scrubber input")
    scrubber.fill("3")
    panel.locator(".wb-status[data-status='past']").wait_for()
    assert panel.locator(".wb-status").inner_text() == "step 3"
    assert panel.locator(".wb-card").count() == 0
    assert panel.locator(".wb-dag-call").count() == 0
    assert panel.locator(".wb-text").first.inner_text() == "I take 1: Gr"
    panel.get_by_role("button", name="Now").click()
    panel.locator(".wb-status[data-status='solved']").wait_for()
    assert panel.locator(".wb-card").count() == 4


def test_hostile_text_is_shown_as_text_in_every_view_and_runs_nothing(lab: Lab, at_lab: Any) -> None:
    story = hostile_story()
    at_lab.evaluate("window.hacked = 0")
    dialogs: list[str] = []
    at_lab.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    run_id = lab.record(story.events)
    side = show_side_bar(at_lab)
    side.locator(f"[data-run='{run_id}']").wait_for()
    panel = open_run(at_lab, run_id)
    panel.locator(".wb-status[data-status='failed']").wait_for()
    panel.evaluate("(node) => node.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert panel.inner_text().count("<script>window.hacked=1</script>") >= 6
    assert at_lab.evaluate("window.hacked") == 0
    assert not dialogs
    assert at_lab.locator(".wb-main img, .wb-main script, .wb-side img, .wb-side script").count() == 0


def test_long_names_and_many_workers_stay_inside_the_panel(lab: Lab, at_lab: Any) -> None:
    long = [f"{name}{'abcdefghij' * 12}" for name in NAMES]
    story = Story()
    story.begin(long)
    story.tokens(**dict.fromkeys(long, "word " * 40 + "x" * 300))
    panel = open_run(at_lab, lab.record(story.events))
    panel.locator(".wb-lane").nth(7).wait_for()
    assert panel.evaluate("(node) => node.scrollWidth - node.clientWidth") == 0
    wide = panel.evaluate(
        "(node) => [...node.querySelectorAll('.wb-lane')].filter((one) => one.scrollWidth > one.clientWidth + 1).length"
    )
    assert wide == 0


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_serious(lab: Lab, at_lab: Any, theme: str) -> None:
    run_id = lab.record(worksheet(3))
    execute(at_lab, "apputils:change-theme", theme=theme)
    at_lab.wait_for_function("(theme) => document.body.dataset.jpThemeName === theme", arg=theme)
    show_side_bar(at_lab).locator(f"[data-run='{run_id}']").wait_for()
    panel = open_run(at_lab, run_id)
    panel.locator(".wb-status[data-status='solved']").wait_for()
    panel.evaluate("(node) => node.querySelectorAll('details').forEach((one) => { one.open = true; })")
    panel.get_by_role("button", name="Fork here").click()
    panel.locator(".wb-fork summary").click()
    panel.locator(".wb-fork select").nth(1).select_option(index=1)
    assert serious(at_lab) == []
    execute(at_lab, "agent-workbench:new-run")
    at_lab.locator(".wb-new").wait_for()
    assert serious(at_lab) == []


@pytest.mark.parametrize("theme", THEMES)
def test_small_text_on_raised_grounds_and_in_empty_fields_can_be_read(lab: Lab, at_lab: Any, theme: str) -> None:
    execute(at_lab, "apputils:change-theme", theme=theme)
    at_lab.wait_for_function("(theme) => document.body.dataset.jpThemeName === theme", arg=theme)
    panel = open_run(at_lab, lab.record(worksheet(3)))
    panel.locator(".wb-status[data-status='solved']").wait_for()
    panel.get_by_role("button", name="Fork here").click()
    for place in (".wb-args", ".wb-card-foot", ".wb-fork summary"):
        assert panel.locator(place).first.evaluate(CONTRAST, "") >= 4.5, place
    execute(at_lab, "agent-workbench:new-run")
    at_lab.get_by_text("Own words and names").click()
    for field in at_lab.locator(".wb-new [placeholder]").all():
        assert field.evaluate(CONTRAST, "::placeholder") >= 4.5, field.get_attribute("placeholder")


def test_everything_can_be_reached_and_used_with_the_keyboard(lab: Lab, at_lab: Any) -> None:
    run_id = lab.record(worksheet(2))
    at_lab.keyboard.press("Alt+Shift+W")
    side = at_lab.locator(".wb-side")
    item = side.locator(f"[data-run='{run_id}'] .wb-item-main")
    item.wait_for()
    focused = "() => document.activeElement.closest('[data-run]')?.dataset.run ?? document.activeElement.textContent"
    assert at_lab.evaluate(focused) == "Runs"
    at_lab.keyboard.press("ArrowRight")
    assert at_lab.evaluate(focused) == "Tools"
    at_lab.keyboard.press("ArrowLeft")
    for _ in range(12):
        at_lab.keyboard.press("Tab")
        if at_lab.evaluate(focused) == run_id:
            break
    at_lab.keyboard.press("Enter")
    panel = at_lab.locator(f"[id='agent-workbench-run-{run_id}']")
    panel.locator(".wb-status[data-status='solved']").wait_for()
    panel.locator(".wb-scrubber input").focus()
    at_lab.keyboard.press("ArrowLeft")
    panel.locator(".wb-status[data-status='past']").wait_for()
    at_lab.keyboard.press("End")
    panel.locator(".wb-status[data-status='solved']").wait_for()
    panel.get_by_role("button", name="Fork here").focus()
    at_lab.keyboard.press("Enter")
    panel.locator(".wb-fork").wait_for()
    at_lab.keyboard.press("Escape")
    panel.locator(".wb-fork").wait_for(state="hidden")
    assert at_lab.evaluate("document.activeElement.textContent") == "Fork here"


def test_after_a_reload_the_panel_and_the_side_bar_are_there_again_and_complete(lab: Lab, page: Any) -> None:
    run_id = lab.record(worksheet(2))
    workspace = secrets.token_hex(4)
    open_lab(lab, page, workspace)
    show_side_bar(page)
    panel = open_run(page, run_id)
    panel.locator(".wb-status[data-status='solved']").wait_for()
    before = panel.locator(".wb-lanes").inner_text()
    page.wait_for_timeout(1500)  # JupyterLab saves its layout a second after the last change
    open_lab(lab, page, workspace)
    panel = page.locator(f"[id='agent-workbench-run-{run_id}']")
    panel.locator(".wb-status[data-status='solved']").wait_for()
    assert panel.locator(".wb-lanes").inner_text() == before
    assert page.locator(".wb-side").is_visible()


def test_two_runs_stand_side_by_side_and_move_together(lab: Lab, at_lab: Any) -> None:
    left, right = lab.record(worksheet(2)), lab.record(worksheet(2, QUESTIONS[::-1]))
    execute(at_lab, "agent-workbench:compare-runs", left=left, right=right)
    both = at_lab.locator(".wb-both")
    both.locator(".wb-compared").nth(1).locator(".wb-status[data-status='solved']").wait_for()
    both.locator(".wb-shared input").fill("2")
    for side in (0, 1):
        both.locator(".wb-compared").nth(side).locator(".wb-status[data-status='past']").wait_for()
        assert both.locator(".wb-compared").nth(side).locator(".wb-status").inner_text() == "step 2"


def test_an_exported_page_shows_the_run_without_a_server_and_without_anything_from_outside(
    page: Any, tmp_path: Path
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    file = export_run(worksheet(2), tmp_path / "run.html")
    page.goto(file.as_uri())
    page.locator(".wb-status[data-status='solved']").wait_for()
    assert page.locator(".wb-card[data-state='succeeded']").count() == 4
    page.locator(".wb-scrubber input").fill("3")
    page.locator(".wb-status[data-status='past']").wait_for()
    assert asked == [file.as_uri()]
    assert not re.search(r"https?://(?!www\.w3\.org)", front_end.VIEW.read_text())
    assert said == []


def test_an_exported_page_shows_pictures_where_scripts_are_switched_off(browser: Any, tmp_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(export_run(worksheet(2), tmp_path / "run.html").as_uri())
    text = page.locator("body").inner_text()
    context.close()
    assert "gcd(a=48, b=36) → 12" in text
    assert "mean attention of" in text


@pytest.mark.parametrize("name", ["run.html", "run.ipynb"])
def test_hostile_text_in_an_export_runs_nothing(page: Any, tmp_path: Path, name: str) -> None:
    story = hostile_story()
    file = export_run(story.events, tmp_path / name)
    if name == "run.ipynb":  # as a code host or nbconvert shows it
        body, _ = HTMLExporter(mathjax_url="").from_filename(str(file))
        file = tmp_path / "converted.html"
        file.write_text(re.sub(r"<script(?![^>]*json)[^>]*src=[^>]*></script>", "", body))
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(file.as_uri())
    assert page.locator("body").inner_text().count("<script>window.hacked=1</script>") >= 4
    assert page.evaluate("window.hacked") is None
    assert not dialogs
    assert page.locator("img[src='x'], svg[onload]").count() == 0
