/**
 * The notebook's widget (an anywidget): the run panel as a cell's output.
 *
 * In: the widget's state {run_id, in_engine, snapshot}, its comm. Out: a panel. The state never grows: what happened
 * comes over the server's WebSocket where the page has the server extension and its log holds the run, else over the
 * comm; `snapshot` holds the run's events once it has ended, so that a saved notebook shows it without a kernel.
 */

import type { RunEvent } from "./core/events.ts";
import { ALL_COMMANDS, english, serverActions, type Actions, type Context } from "./panel/context.ts";
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

/** A kernel that is busy with a cell answers late. */
const PATIENCE_MS = 20000;

async function render({ model, el }: { model: Model; el: HTMLElement }): Promise<() => void> {
  let panel: RunPanel | null = null;
  let closed = false;
  const mount = async (): Promise<void> => {
    const made = await panelOf(model, () => void mount());
    if (closed) return made.dispose();
    panel?.dispose();
    panel = made;
    panel.node.classList.add("wb-in-cell");
    el.replaceChildren(panel.node);
  };
  await mount();
  return () => {
    closed = true;
    panel?.dispose();
  };
}

/** again: called when an interrupted run goes on, so that its log has to be followed anew. */
async function panelOf(model: Model, again: () => void): Promise<RunPanel> {
  const runId: string = model.get("run_id");
  const recorded: RunEvent[] | undefined = model.get("snapshot")?.events;
  const page = (globalThis as any).agentWorkbench as PageWorkbench | undefined;
  if (recorded?.length) {
    return new RunPanel({ tr: page?.contextOf(runId).tr ?? english, actions: null }, new StaticTransport(recorded), runId);
  }
  const overServer = await page?.transport(runId).catch(() => null);
  const inEngine = Boolean(model.get("in_engine"));
  const transport: Transport = overServer ?? new CommTransport(model, !inEngine);
  const known = page?.contextOf(runId);
  const server = overServer ? known!.actions : null;
  const actions = server ? serverActions(server, inEngine ? server : commActions(model), again) : commActions(model);
  return new RunPanel({ tr: known?.tr ?? english, actions }, transport, runId);
}

function commActions(model: Model): Actions {
  let count = 0;
  return {
    commands: ALL_COMMANDS,
    steer: (command, args = {}) =>
      new Promise<void>((done, failed) => {
        const key = `${Date.now().toString(36)}-${(count += 1)}`;
        const heard = (message: any): void => {
          if (message?.type !== "answer" || message.key !== key) return;
          stop();
          if (message.refused) failed(new Error(message.refused));
          else done();
        };
        const stop = (): void => {
          clearTimeout(timer);
          model.off("msg:custom", heard);
        };
        const timer = window.setTimeout(() => {
          stop();
          failed(new Error("The kernel has not answered yet: it is busy with a cell, or gone."));
        }, PATIENCE_MS);
        model.on("msg:custom", heard);
        model.send({ type: "control", command, arguments: args, key });
      }),
  };
}

export default { render };
