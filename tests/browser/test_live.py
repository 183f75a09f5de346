"""The first run of a newcomer: from the launcher's card over the form to lanes that move, pause and stop."""

from typing import Any

from lab_server import Lab


def test_a_run_from_the_launcher_moves_live_pauses_and_stops(lab: Lab, at_lab: Any) -> None:
    at_lab.locator(".jp-LauncherCard", has_text="Agent run").click()
    at_lab.get_by_role("button", name="Start the run").click()
    panel = at_lab.locator(".wb-main:has(.wb-lane)")
    panel.get_by_role("button", name="Pause", exact=True).click()
    panel.locator(".wb-status[data-status='paused']").wait_for()
    assert panel.locator(".wb-lane").count() == 2
    letters = "() => document.querySelector('.wb-lanes').innerText.length"
    before = at_lab.evaluate(letters)
    panel.get_by_role("button", name="Resume", exact=True).click()
    at_lab.wait_for_function(f"(was) => ({letters})() > was", arg=before)
    panel.get_by_role("button", name="Stop").click()
    panel.locator(".wb-status[data-status='stopped']").wait_for()
