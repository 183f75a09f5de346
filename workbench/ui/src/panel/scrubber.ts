/** The time machine's handle: which step is shown, back to now, and a fork from the step that is shown. */

import type { History } from "../core/history.ts";
import type { Context } from "./context.ts";
import { make, setAttribute, show, write } from "./dom.ts";

export class Scrubber {
  readonly node: HTMLElement;
  private readonly range: HTMLInputElement;
  private readonly text = make("output", { class: "wb-quiet wb-step" });
  private readonly now: HTMLButtonElement;
  private readonly fork: HTMLButtonElement;
  private dragging = false;

  constructor(
    private readonly context: Context,
    private readonly scrub: (moment: number | null) => void,
    fork: () => void,
  ) {
    const { tr } = context;
    this.range = make("input", { type: "range", min: 0, max: 0, step: 1, value: 0, "aria-label": tr("Step that is shown") });
    this.range.addEventListener("input", () => {
      this.scrub(Number(this.range.value) >= Number(this.range.max) ? null : Number(this.range.value));
    });
    this.range.addEventListener("pointerdown", () => (this.dragging = true));
    this.range.addEventListener("pointerup", () => (this.dragging = false));
    this.now = make("button", { type: "button", class: "wb-button", click: () => this.scrub(null) }, [tr("Now")]);
    this.fork = make("button", { type: "button", class: "wb-button", click: fork }, [tr("Fork here")]);
    setAttribute(this.fork, "title", tr("Start a new run that shares everything up to this step"));
    this.node = make("div", { class: "wb-scrubber" }, [this.text, this.range, this.now, this.fork]);
  }

  update(history: History, moment: number | null, canFork: boolean): void {
    const { tr } = this.context;
    const last = history.moments;
    show(this.node, last > 0);
    if (!(this.dragging && moment !== null)) setAttribute(this.range, "max", String(last));
    const shown = moment ?? last;
    if (this.range.value !== String(shown)) this.range.value = String(shown);
    const text = tr("step %1 of %2", history.stepAt(shown), history.live.step);
    write(this.text, text);
    setAttribute(this.range, "aria-valuetext", text);
    this.now.disabled = moment === null;
    show(this.fork, canFork);
    this.fork.disabled = moment === null && history.live.status === "running" && !history.live.paused;
  }
}
