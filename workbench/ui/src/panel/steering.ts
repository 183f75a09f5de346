/**
 * Stepping in: stop, pause, one step, breakpoints, say something, add a worker; and the lines that wait to be said.
 *
 * In: the state (which buttons make sense) and the place's `Actions`. Out: commands. What became of a command is read
 * from the run's events, not assumed; a command that is refused is told in a sentence.
 */

import type { Line, RunState } from "../core/state.ts";
import { visible } from "../core/visible.ts";
import { BreakpointsView } from "./breakpoints.ts";
import { can, type Context } from "./context.ts";
import { freshId, make, setAttribute, show, write } from "./dom.ts";

export class Steering {
  readonly buttons = make("div", { class: "wb-row", role: "group" });
  readonly saying = make("form", { class: "wb-row wb-say" });
  readonly queue = make("ul", { class: "wb-queue" });
  readonly breaks: BreakpointsView;
  readonly refusal = make("div", { class: "wb-refusal", role: "alert", hidden: true });
  private readonly pause = make("button", { type: "button", class: "wb-button" });
  private readonly step = make("button", { type: "button", class: "wb-button" });
  private readonly stop = make("button", { type: "button", class: "wb-button wb-stop" });
  private readonly add = make("button", { type: "button", class: "wb-button" });
  private readonly resume = make("button", { type: "button", class: "wb-button wb-primary" });
  private readonly text: HTMLInputElement;
  private readonly whom = make("select", { class: "wb-select" });
  private readonly when = make("select", { class: "wb-select" });
  private whomKey = "";
  /** The line that a person rewrites, and how far they have come. */
  private editing: { line: string; text: string } | null = null;
  private lines: Line[] = [];
  private paused = false;
  private ended = false;
  private queueKey = "";

  constructor(private readonly context: Context) {
    const { tr } = context;
    this.buttons.setAttribute("aria-label", tr("Steering"));
    write(this.step, tr("Step"));
    setAttribute(this.step, "title", tr("Let all workers do one step"));
    write(this.stop, tr("Stop"));
    setAttribute(this.stop, "title", tr("End the run after the step it is in"));
    write(this.add, tr("Add worker"));
    write(this.resume, tr("Resume from the log"));
    this.pause.addEventListener("click", () => this.send(this.paused ? "resume" : "pause"));
    this.step.addEventListener("click", () => this.send("step"));
    this.stop.addEventListener("click", () => this.send("stop"));
    this.add.addEventListener("click", () => this.send("add_worker"));
    this.resume.addEventListener("click", () => {
      this.resume.disabled = true; // the engine may have to load its model first
      void this.send("resume_interrupted").finally(() => {
        this.resume.disabled = false;
      });
    });
    this.breaks = new BreakpointsView(context, (command, args) => this.send(command, args));
    this.buttons.append(this.pause, this.step, this.breaks.node, this.add, this.stop, this.resume);
    this.text = make("input", { type: "text", class: "wb-input", autocomplete: "off" });
    this.layOutSaying();
  }

  update(state: RunState, isLive: boolean, steered: boolean): void {
    const { tr } = this.context;
    const running = state.status === "running" && isLive && steered;
    this.paused = state.paused;
    this.ended = state.status !== "running";
    write(this.pause, state.paused ? tr("Resume") : tr("Pause"));
    show(this.pause, running && can(this.context, "pause"));
    show(this.step, running && state.paused && can(this.context, "step"));
    show(this.add, running && can(this.context, "add_worker"));
    show(this.stop, running && can(this.context, "stop"));
    show(this.resume, state.status === "interrupted" && isLive && can(this.context, "resume_interrupted"));
    show(this.saying, running && can(this.context, "say"));
    this.breaks.update(state, running);
    this.offerWorkers(state.lanes.map((lane) => lane.worker));
    this.drawQueue(state.lines.filter((line) => line.state === "queued"), running);
  }

  focusSaying(): void {
    this.text.focus();
  }

  /** Whether the command was taken; one that was not is told. */
  async send(command: string, args: { [name: string]: unknown } = {}): Promise<boolean> {
    show(this.refusal, false);
    try {
      await this.context.actions?.steer(command, args);
      return true;
    } catch (error) {
      write(this.refusal, error instanceof Error ? error.message : String(error));
      show(this.refusal, true);
      this.refusal.scrollIntoView({ block: "nearest" });
      return false;
    }
  }

  private layOutSaying(): void {
    const { tr } = this.context;
    const [textId, whomId, whenId] = [freshId(), freshId(), freshId()];
    this.text.id = textId;
    this.whom.id = whomId;
    this.when.id = whenId;
    this.when.append(make("option", { value: "now" }, [tr("now")]), make("option", { value: "queued" }, [tr("when they pause")]));
    const label = (id: string, text: string): HTMLElement => make("label", { for: id, class: "wb-label" }, [text]);
    this.saying.append(
      label(textId, tr("Say")), this.text, label(whomId, tr("to")), this.whom, label(whenId, tr("when")), this.when,
      make("button", { type: "submit", class: "wb-button" }, [tr("Send")]),
    );
    if (!can(this.context, "edit_say")) for (const node of this.saying.querySelectorAll(`[for="${whenId}"], #${whenId}`)) show(node as HTMLElement, false);
    this.saying.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.text.value.trim();
      if (!text) return;
      this.text.value = "";
      void this.send("say", { text, worker: this.whom.value || null, when: this.when.value }).then((taken) => {
        if (!taken && !this.text.value) this.text.value = text;
      });
    });
  }

  private offerWorkers(workers: string[]): void {
    const key = workers.join("\n");
    if (key === this.whomKey) return;
    this.whomKey = key;
    const chosen = this.whom.value;
    const { tr } = this.context;
    const everybody = make("option", { value: "" }, [tr("everyone")]);
    this.whom.replaceChildren(everybody, ...workers.map((worker) => make("option", { value: worker }, [worker])));
    if (workers.includes(chosen)) this.whom.value = chosen;
  }

  private drawQueue(lines: Line[], running: boolean): void {
    this.lines = lines;
    const key = JSON.stringify([lines, running, this.ended, this.editing?.line]);
    if (key === this.queueKey) return;
    this.queueKey = key;
    show(this.queue, lines.length > 0);
    const hadFocus = this.queue.contains(document.activeElement);
    this.queue.replaceChildren(...lines.map((line) => this.lineOf(line, running)));
    if (!hadFocus) return;
    const input = this.queue.querySelector("input");
    (input ?? this.queue.querySelector("button"))?.focus();
    input?.setSelectionRange(input.value.length, input.value.length);
  }

  private lineOf(line: Line, running: boolean): HTMLElement {
    const { tr } = this.context;
    const whom = line.worker ? tr("to %1", visible(line.worker)) : tr("to everyone");
    const what = this.ended ? tr("was not said %1", whom) : tr("waits to be said %1", whom);
    const item = make("li", {}, [make("span", { class: "wb-quiet" }, [what])]);
    const edit = (editing: Steering["editing"]): void => {
      this.editing = editing;
      this.drawQueue(this.lines, running);
    };
    if (this.editing?.line === line.line) {
      const input = make("input", { type: "text", class: "wb-input", value: this.editing.text, "aria-label": tr("Line") });
      input.addEventListener("input", () => {
        if (this.editing) this.editing.text = input.value;
      });
      input.addEventListener("keydown", (event) => {
        if (event.key === "Escape") edit(null);
      });
      const form = make("form", { class: "wb-row" }, [input, make("button", { type: "submit", class: "wb-button" }, [tr("Save")])]);
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        const text = input.value;
        edit(null);
        void this.send("edit_say", { line: line.line, text }).then((taken) => {
          if (!taken) edit({ line: line.line, text });
        });
      });
      item.append(form);
      return item;
    }
    item.append(make("span", { class: "wb-queued" }, [line.text]));
    if (!running) return item;
    const button = (text: string, click: () => void): HTMLElement => make("button", { type: "button", class: "wb-button", click }, [text]);
    item.append(
      button(tr("Edit"), () => edit({ line: line.line, text: line.text })),
      button(tr("Take back"), () => void this.send("cancel_say", { line: line.line })),
    );
    return item;
  }
}
