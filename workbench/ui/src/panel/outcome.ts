/** The answer of a run, item by item where the task had items, or why there is none. */

import type { RunState } from "../core/state.ts";
import type { Context } from "./context.ts";
import { make, show, write } from "./dom.ts";
import { drawTable } from "./table.ts";

export class Outcome {
  readonly node = make("div", { class: "wb-outcome" });
  private readonly error = make("p", { class: "wb-error" });
  private readonly answer = make("div", { class: "wb-answer" });
  private readonly items = make("div", { class: "wb-table" });
  private section: HTMLElement | null = null;

  constructor(private readonly context: Context) {
    this.node.append(this.error, this.answer, this.items);
  }

  shownIn(section: HTMLElement): void {
    this.section = section;
  }

  update(state: RunState): void {
    const { tr } = this.context;
    const answered = state.items.some((item) => item.answer != null);
    write(this.error, state.error);
    show(this.error, state.error !== "");
    write(this.answer, state.answer);
    show(this.answer, state.answer !== "" && !answered);
    show(this.items, answered);
    if (answered) {
      const heads = [tr("item"), tr("question"), tr("answer"), tr("worker")];
      drawTable(this.items, heads, state.items.map((one) => [one.item, one.question, one.answer ?? tr("none"), one.worker ?? ""]));
    }
    if (this.section) show(this.section, state.error !== "" || state.answer !== "" || answered);
  }
}
