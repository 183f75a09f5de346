/**
 * A recorded run in any page: `AgentWorkbench.show(node, events)`. Stands in exported notebooks and HTML files.
 *
 * `showAll(document)` fills every `<div data-workbench-run="ID">` from the `<script type="application/json" id="ID">`
 * that holds its events, and takes the place of the static picture that the div held until then.
 */

import type { RunEvent } from "./core/events.ts";
import { english, type Context } from "./panel/context.ts";
import { RunPanel } from "./panel/panel.ts";
import { StaticTransport } from "./transport/static.ts";

export function showRun(place: HTMLElement, events: RunEvent[]): RunPanel {
  const context: Context = { tr: english, actions: null };
  const panel = new RunPanel(context, new StaticTransport(events), events[0]?.run_id ?? "");
  place.replaceChildren(panel.node);
  return panel;
}

export function showAll(root: ParentNode): void {
  for (const place of root.querySelectorAll<HTMLElement>("[data-workbench-run]")) {
    const data = document.getElementById(place.dataset.workbenchRun ?? "");
    delete place.dataset.workbenchRun;
    if (data) showRun(place, JSON.parse(data.textContent ?? "[]"));
  }
}

Object.assign(globalThis, { AgentWorkbench: { show: showRun, showAll } });
