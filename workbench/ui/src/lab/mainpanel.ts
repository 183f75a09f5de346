/** A run in the main area, and the form that starts one. */

import type { CommandRegistry } from "@lumino/commands";
import { Widget } from "@lumino/widgets";
import type { IThemeManager } from "@jupyterlab/apputils";
import { SERVER_COMMANDS, type Actions, type Context, type Translate } from "../panel/context.ts";
import { freshId, make, show, write } from "../panel/dom.ts";
import { RunPanel } from "../panel/panel.ts";
import { SocketTransport } from "../transport/socket.ts";
import type { Connection, Receiver, Transport } from "../transport/transport.ts";
import type { IWorkbench } from "./api.ts";
import { icon } from "./icon.ts";
import { OwnWords } from "./ownwords.ts";

/** inCell: whether the panel stands in a notebook, which a run that goes on does not take from sight. */
export function actionsOf(api: IWorkbench, commands: CommandRegistry, runId: string, inCell: boolean): Actions {
  return {
    commands: SERVER_COMMANDS,
    steer: async (command, args = {}) => {
      const path = `runs/${encodeURIComponent(runId)}`;
      if (command !== "fork" && command !== "resume_interrupted") return api.post(`${path}/control`, { command, ...args });
      const answer = await api.post<{ run_id: string }>(`${path}/${command === "fork" ? "fork" : "resume"}`, args);
      api.announceRuns();
      if (command === "fork" || !inCell) await commands.execute("agent-workbench:open-run", { runId: answer.run_id, again: command !== "fork" });
      return answer;
    },
    export: async (format) => {
      await commands.execute("agent-workbench:export-run", { runId, format });
    },
    open: (other) => void commands.execute("agent-workbench:open-run", { runId: other }),
    restartEngine: async (model) => {
      await api.post("engine", { action: "restart", model });
      await api.refreshStatus();
    },
  };
}

/** The server's stream, which also says when the engine behind it has ended. */
export class EngineAwareTransport implements Transport {
  private readonly socket: SocketTransport;
  private receiver: Receiver | null = null;
  private last: Connection = { kind: "connecting" };
  /** Whether it is the server's engine that does the run. */
  private steered = true;
  private model = "";

  /** steers: whether who watches steers through the server, too. */
  constructor(
    private readonly api: IWorkbench,
    private readonly steers = true,
  ) {
    this.socket = new SocketTransport(api.wire);
  }

  start(receiver: Receiver): void {
    this.receiver = receiver;
    this.api.statusChanged.connect(this.onStatus, this);
    this.socket.start({
      runId: receiver.runId,
      seq: () => receiver.seq(),
      events: (events) => {
        const started = events.find(({ kind }) => kind === "run_started");
        if (started) this.model = String(started.model ?? this.model);
        return receiver.events(events);
      },
      snapshot: (state) => receiver.snapshot(state),
      connection: (connection) => {
        this.last = connection;
        this.tell();
        if (connection.kind === "lost") void this.api.refreshStatus();
      },
    });
  }

  close(): void {
    this.api.statusChanged.disconnect(this.onStatus, this);
    this.socket.close();
  }

  private onStatus(): void {
    this.tell();
  }

  private tell(): void {
    if (this.last.steered !== undefined) this.steered = this.last.steered;
    const mayHaveDied = this.steered && !(this.last.kind === "ended" && this.last.finished);
    const status = this.api.status;
    const engines = status ? [status.engine, ...(status.engines ?? [])] : [];
    const engineDied = mayHaveDied && engines.some(({ state, model }) => state === "dead" && model === this.model);
    const told = this.steers ? this.last : { ...this.last, steered: undefined };
    this.receiver?.connection(engineDied && this.last.kind !== "failed" ? { kind: "dead", finished: this.last.kind === "ended" ? false : undefined } : told);
  }
}

export class RunWidget extends Widget {
  panel: RunPanel;

  constructor(
    readonly runId: string,
    private readonly context: Context,
    private readonly connect: () => Transport,
    private readonly themes: IThemeManager | null,
  ) {
    super();
    this.id = `agent-workbench-run-${runId}`;
    this.addClass("wb-main");
    this.title.label = context.tr("Run %1", runId.split("-").at(-1) ?? runId);
    this.title.caption = context.tr("Run %1", runId);
    this.title.icon = icon;
    this.title.closable = true;
    this.node.tabIndex = -1;
    this.node.setAttribute("role", "region");
    this.node.setAttribute("aria-label", context.tr("Run %1", runId));
    this.panel = new RunPanel(context, connect(), runId);
    this.node.append(this.panel.node);
    themes?.themeChanged.connect(this.onTheme, this);
  }

  /** Show the run from its first event on: its log had come to an end, and goes on. */
  again(): void {
    this.panel.dispose();
    this.panel = new RunPanel(this.context, this.connect(), this.runId);
    this.node.append(this.panel.node);
  }

  dispose(): void {
    if (this.isDisposed) return;
    this.themes?.themeChanged.disconnect(this.onTheme, this);
    this.panel.dispose();
    super.dispose();
  }

  protected onActivateRequest(): void {
    this.node.focus();
  }

  private onTheme(): void {
    this.panel.refresh();
  }
}

export interface Defaults {
  model: string;
  workers: number;
  layout: string;
  temperature: number;
  attention: boolean;
}

const LAYOUTS = ["contiguous", "interleaved", "combined", "independent"];
const SAMPLE = `1. What is the greatest common divisor of 84 and 126?
2. How many days are there between 2024-02-10 and 2024-03-15?
3. What is 15 percent of 240?
4. Is 97 a prime number?
5. Spell the word lantern backwards.
6. What is the mean of 4, 8, 15, 16 and 23?`;

/** The form that starts a run. */
export class NewRun extends Widget {
  constructor(tr: Translate, api: IWorkbench, commands: CommandRegistry, defaults: Defaults) {
    super();
    this.id = "agent-workbench-new-run";
    this.addClass("wb-main");
    this.title.label = tr("New run");
    this.title.icon = icon;
    this.title.closable = true;
    const field = (text: string, input: HTMLElement): HTMLElement => {
      input.id = freshId();
      return make("div", { class: "wb-field" }, [make("label", { for: input.id }, [text]), input]);
    };
    const task = make("textarea", { class: "wb-input", rows: 8, spellcheck: "false" });
    task.value = SAMPLE;
    const models = make("datalist", { id: freshId() });
    const model = make("input", { class: "wb-input", value: defaults.model, list: models.id });
    const workers = make("input", { class: "wb-input", type: "number", min: 1, max: 8, value: defaults.workers });
    const layout = make("select", { class: "wb-select" }, LAYOUTS.map((name) => make("option", { value: name, selected: name === defaults.layout }, [name])));
    const temperature = make("input", { class: "wb-input", type: "number", min: 0, max: 2, step: 0.1, value: defaults.temperature });
    const seed = make("input", { class: "wb-input", type: "number", value: 0 });
    const budget = make("input", { class: "wb-input", type: "number", min: 1, placeholder: tr("no limit") });
    const attention = make("input", { type: "checkbox", checked: defaults.attention });
    const asks = make("input", { type: "checkbox" });
    const guided = make("input", { type: "checkbox", checked: true });
    const words = new OwnWords(tr);
    const refusal = make("div", { class: "wb-refusal", role: "alert", hidden: true });
    const start = make("button", { type: "submit", class: "wb-button wb-primary" }, [tr("Start the run")]);
    const form = make("form", { class: "wb-new" }, [
      make("h2", {}, [tr("New run")]),
      make("p", { class: "wb-quiet" }, [tr("Several workers think about the task at once, in one shared key-value cache.")]),
      field(tr("Task"), task), models,
      make("div", { class: "wb-fields" }, [
        field(tr("Model"), model), field(tr("Workers"), workers), field(tr("Layout"), layout), field(tr("Temperature"), temperature),
        field(tr("Seed"), seed), field(tr("Tokens per worker"), budget),
      ]),
      make("label", { class: "wb-check" }, [attention, tr("Log who attends to whom")]),
      make("label", { class: "wb-check" }, [asks, tr("Ask me before each call of a tool")]),
      make("label", { class: "wb-check" }, [guided, tr("Calls can only name offered tools and their parameters")]), words.node, refusal, make("div", { class: "wb-row" }, [start]),
    ]);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const refused = (error: Error): void => {
        write(refusal, error.message);
        show(refusal, true);
        start.disabled = false;
      };
      start.disabled = true;
      show(refusal, false);
      const settings: { [name: string]: unknown } = {
        model: model.value, workers: Number(workers.value), layout: layout.value, temperature: Number(temperature.value),
        seed: Number(seed.value), attention: attention.checked,
      };
      if (asks.checked) settings.policy = { approval: true };
      if (!guided.checked) settings.guided_calls = false;
      if (budget.value) settings.max_tokens = Number(budget.value);
      try {
        settings.prompting = words.given();
      } catch (error) {
        return refused(error as Error);
      }
      api
        .post("runs", { task: task.value, settings })
        .then(async ({ run_id }) => {
          api.announceRuns();
          void api.refreshStatus();
          await commands.execute("agent-workbench:open-run", { runId: run_id });
          this.dispose();
        })
        .catch(refused);
    });
    this.node.append(make("div", { class: "wb-run" }, [form]));
    api
      .get<{ name: string }[] | { models: { name: string }[] }>("models")
      .then((found) => models.append(...(Array.isArray(found) ? found : found.models).map(({ name }) => make("option", { value: name }))))
      .catch(() => undefined);
  }

  protected onActivateRequest(): void {
    this.node.querySelector("textarea")!.focus();
  }
}
