/**
 * The notebook's widget (an anywidget): the run panel as a cell's output.
 *
 * In: the widget's state {run_id, in_engine, snapshot}, its comm. Out: a panel. The state never grows: what happened
 * comes over the server's WebSocket where the page has the server extension and its log holds the run, else over the
 * comm; `snapshot` holds the run's events once it has ended, so that a saved notebook shows it without a kernel.
 */

import type { RunEvent } from "./core/events.ts";
import { ALL_COMMANDS, english, type Context } from "./panel/context.ts";
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
  const runId: string = model.get("run_id");
  const recorded: RunEvent[] | undefined = model.get("snapshot")?.events;
  const page = (globalThis as any).agentWorkbench as PageWorkbench | undefined;
  const overServer = recorded?.length ? null : await page?.transport(runId).catch(() => null);
  const transport: Transport = recorded?.length ? new StaticTransport(recorded) : (overServer ?? new CommTransport(model));
  const known = page?.contextOf(runId);
  // A run in an engine's process is steered through the server, which answers also while the kernel is busy with a cell.
  // One that lives in the kernel is steered over its comm, wherever its events are read.
  const actions = overServer && model.get("in_engine") ? known!.actions : commActions(model);
  const context: Context = { tr: known?.tr ?? english, actions: recorded?.length ? null : actions };
  const panel = new RunPanel(context, transport, runId);
  panel.node.classList.add("wb-in-cell");
  el.replaceChildren(panel.node);
  return () => panel.dispose();
}

function commActions(model: Model): Context["actions"] {
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
