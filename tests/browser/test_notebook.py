"""Runs in a notebook's cells, through restarts of its kernel: those that an engine does go on, those of a kernel end.

Two kernels start here and one of them imports torch, which takes seconds: only so is seen what a kernel leaves behind.
"""

import secrets
from typing import Any

import nbformat
from lab_server import Lab, execute, open_lab, press
from staged_runs import worksheet

PICTURE = "jupyterapp.shell.currentWidget.content.model.cells.get(0).outputs.get(0).data['text/plain']"
KERNEL_S = 90
"""How long a kernel may take for anything: on a busy machine, importing torch is slow."""

CELL = """\
from pathlib import Path
from toolsets.policy import CallPolicy
from workbench import Workbench
bench = Workbench({model!r}, memory="none", {more})
kept = Path("{name}-run")
again = kept.exists()
run = bench.attach(kept.read_text()) if again else bench.run("What?", workers=5, policy=CallPolicy(approval=True))
{keep}
run"""


def opened(lab: Lab, page: Any, name: str, cell: str) -> Any:
    """A new notebook, executed; the panel in its output."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, lab.root / f"{name}.ipynb")
    page.set_default_timeout(KERNEL_S * 1000)
    open_lab(lab, page, secrets.token_hex(4), f"/tree/{name}.ipynb")
    return executed(page)


def executed(page: Any) -> Any:
    begin(page, "notebook:run-all-cells")
    panel = page.locator(".jp-OutputArea .wb-run")
    panel.locator(".wb-lane").nth(4).wait_for()
    return panel


def begin(page: Any, command: str) -> None:
    """Execute a command in a kernel that is ready; nobody waits for its end, which has no bound."""
    ready = (
        "const { sessionContext: one } = jupyterapp.shell.currentWidget; await one.ready; await one.session.kernel.info"
    )
    page.evaluate(f"async (command) => {{ {ready}; jupyterapp.commands.execute(command); }}", command)


def decide(panel: Any, verb: str, tool: str, state: str) -> None:
    press(panel.locator(".wb-card", has_text=tool), verb)
    panel.locator(f".wb-card[data-state='{state}']", has_text=tool).wait_for()


def restart(page: Any) -> None:
    begin(page, "notebook:restart-kernel")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    page.locator(".jp-Dialog").wait_for(state="detached")


def test_a_run_of_the_engine_goes_on_in_its_widget_through_a_restart_and_is_attached_to_again(
    lab: Lab, page: Any, endless: str
) -> None:
    cell = CELL.format(model=endless, more="", name="engine", keep="kept.write_text(run.id)")
    panel = opened(lab, page, "engine", cell)
    decide(panel, "Approve", "gcd", "succeeded")
    restart(page)
    words = "() => document.querySelector('.jp-OutputArea .wb-words').innerText.length"
    page.wait_for_function(f"(was) => ({words})() > was", arg=page.evaluate(words))
    decide(panel, "Reject", "is_prime", "rejected")
    assert not panel.locator(".wb-banner").locator("visible=true").count()

    execute(page, "docmanager:save")
    page.reload()
    panel.locator(".wb-card[data-state='rejected']", has_text="is_prime").wait_for()

    panel = executed(page)
    panel.locator(".wb-card[data-state='rejected']", has_text="is_prime").wait_for()
    execute(page, "docmanager:save")
    page.reload()
    press(panel, "Stop")
    panel.locator(".wb-status[data-status='stopped']").wait_for()
    page.wait_for_function(f"() => {PICTURE}.startsWith('stopped')")


def test_a_run_of_a_kernel_that_has_gone_with_its_widget_is_shown_from_the_log(lab: Lab, page: Any) -> None:
    run_id = lab.record(worksheet(2))
    output = nbformat.v4.new_output(
        "display_data",
        {
            "application/vnd.agent-workbench.run+json": {"run_id": run_id, "in_kernel": True},
            "application/vnd.jupyter.widget-view+json": {"version_major": 2, "version_minor": 0, "model_id": "gone"},
            "text/plain": "running",
        },
    )
    cell = nbformat.v4.new_code_cell("run", outputs=[output])
    made = nbformat.v4.new_notebook(cells=[cell])
    nbformat.write(made, lab.root / "gone.ipynb")
    open_lab(lab, page, secrets.token_hex(4), "/tree/gone.ipynb")
    page.locator(".jp-OutputArea .wb-status[data-status='solved']").wait_for()
    page.wait_for_function(f"() => {PICTURE}.startsWith('solved')")


def test_a_call_is_approved_over_the_kernels_comm_and_a_widget_says_that_its_kernel_is_gone(
    lab: Lab, page: Any, endless: str
) -> None:
    cell = CELL.format(model=endless, more='engine="thread", data_dir="own", max_tokens=60', name="kernel", keep="")
    panel = opened(lab, page, "kernel", cell)
    decide(panel, "Approve", "gcd", "succeeded")
    restart(page)
    panel.locator(".wb-banner", has_text="the kernel that does this run does not answer").wait_for()
    assert not panel.get_by_role("button", name="Stop").is_visible()
