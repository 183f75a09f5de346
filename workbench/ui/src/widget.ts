/**
 * The notebook's widget (an anywidget): the run panel as a cell's output.
 *
 * In: the widget's state {run_id, snapshot, base_url}, its comm. Out: a panel. The state never grows: what happened
 * comes over the server's WebSocket where the page has the server extension and its log holds the run, else over the
 * comm; `snapshot` holds the run's events once it has ended, so that a saved notebook shows it without a kernel.
 */

import type { RunEvent } from "./core/events.ts";
import { english, type Context } from "./panel/context.ts";
import { RunPanel } from "./panel/panel.ts";
import { CommTransport } from "./transport/comm.ts";
import { StaticTransport } from "./transport/static.ts";
import type { Transport } from "./transport/transport.ts";

interface Model {
  get(name: string): any;
  send(message: object): void;
  on(name: string, heard: (...given: any[]) => void): void;
  off(name: string, heard: (...given: any[]) => void): void;
}

/** What the JupyterLab extension offers to widgets in the same page: its own connection, if the server knows the run. */
export interface PageWorkbench {
  contextOf(runId: string): Context;
  transport(runId: string): Promise<Transport | null>;
}

/** The commands that a kernel's comm understands. */
const COMM_COMMANDS = new Set(["stop", "pause", "resume", "say", "add_worker"]);

async function render({ model, el }: { model: Model; el: HTMLElement }): Promise<() => void> {
  const runId: string = model.get("run_id");
  const recorded: RunEvent[] | undefined = model.get("snapshot")?.events;
  const page = (globalThis as any).agentWorkbench as PageWorkbench | undefined;
  const overServer = recorded?.length ? null : await page?.transport(runId).catch(() => null);
  const transport: Transport = recorded?.length ? new StaticTransport(recorded) : (overServer ?? new CommTransport(model));
  const context: Context = overServer
    ? page!.contextOf(runId)
    : { tr: page?.contextOf(runId).tr ?? english, actions: recorded?.length ? null : commActions(model) };
  const panel = new RunPanel(context, transport, runId);
  panel.node.classList.add("wb-in-cell");
  el.replaceChildren(panel.node);
  return () => panel.dispose();
}

function commActions(model: Model): Context["actions"] {
  return {
    commands: COMM_COMMANDS,
    steer: async (command, args = {}) => model.send({ type: "control", command, ...args }),
  };
}

export default { render };
