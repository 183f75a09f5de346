/** Two runs side by side, aligned at the fork where one is the other's child: one scrubber moves both. */

import { Widget } from "@lumino/widgets";
import { oneLine, visible } from "../core/visible.ts";
import type { Translate } from "../panel/context.ts";
import { make, NextFrame, show, write } from "../panel/dom.ts";
import type { RunPanel } from "../panel/panel.ts";
import { icon } from "./icon.ts";

/** The answer of `runs/compare`, as far as it is shown. */
export interface Comparison {
  aligned: { run: string | null; step: number };
  workers: { name: string; same_steps: number | null }[];
  answers: { same: boolean };
  settings: { [name: string]: { a: unknown; b: unknown } };
}

export class CompareWidget extends Widget {
  private readonly range: HTMLInputElement;
  private readonly text = make("output", { class: "wb-quiet wb-step" });
  private readonly frame = new NextFrame(() => this.draw(), 500);
  private readonly timer: number;
  private readonly summary = make("div", { class: "wb-summary", role: "status" });

  constructor(
    private readonly tr: Translate,
    readonly left: RunPanel,
    readonly right: RunPanel,
    id: string,
    compared: Promise<Comparison>,
  ) {
    super();
    this.id = id;
    this.addClass("wb-main");
    this.title.label = tr("Comparison");
    this.title.icon = icon;
    this.title.closable = true;
    this.range = make("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": tr("Step that both runs show") });
    this.range.addEventListener("input", () => this.scrub(Number(this.range.value)));
    for (const panel of [left, right]) panel.node.classList.add("wb-compared");
    const both = make("div", { class: "wb-run wb-both" }, [make("div", { class: "wb-scrubber wb-shared" }, [this.text, this.range]), this.summary, make("div", { class: "wb-sides" }, [left.node, right.node])]);
    this.node.append(both);
    compared.then((found) => this.tell(found)).catch((error: Error) => write(this.summary, error.message));
    this.timer = window.setInterval(() => this.frame.ask(), 1000);
    this.frame.ask();
  }

  dispose(): void {
    if (this.isDisposed) return;
    clearInterval(this.timer);
    this.frame.cancel();
    this.left.dispose();
    this.right.dispose();
    super.dispose();
  }

  /** What differs, in words: where they part, who wrote otherwise, the answers. */
  private tell({ aligned, workers, answers, settings }: Comparison): void {
    const { tr } = this;
    const from = aligned.run === null ? tr("Two runs that share no past.") : tr("They share everything up to step %1.", aligned.step);
    const others = workers.filter((one) => one.same_steps !== null);
    const parts = others.map((one) => tr("%1 writes otherwise after %2 more steps of its own.", visible(one.name), one.same_steps!));
    const same = others.length ? "" : tr("All workers wrote the same.");
    const changed = Object.entries(settings).map(([name, { a, b }]) => `${name}: ${oneLine(JSON.stringify(a) ?? "", 60)} → ${oneLine(JSON.stringify(b) ?? "", 60)}`);
    write(this.summary, [from, ...parts, same, answers.same ? tr("The answers are the same.") : tr("The answers differ."), ...changed].filter(Boolean).join(" "));
  }

  private scrub(step: number): void {
    for (const { history, panel } of this.sides()) panel.scrub(step >= Number(this.range.max) ? null : history.momentOf(step));
    this.frame.ask();
  }

  private sides(): { history: RunPanel["history"]; panel: RunPanel }[] {
    return [this.left, this.right].map((panel) => ({ history: panel.history, panel }));
  }

  private draw(): void {
    const last = Math.max(this.left.history.live.step, this.right.history.live.step);
    const atEnd = this.range.value === this.range.max;
    this.range.max = String(last);
    if (atEnd) this.range.value = String(last);
    const [parent, child] = this.left.history.live.parent ? [this.right, this.left] : [this.left, this.right];
    const fork = child.history.live.parent;
    const at = fork && fork.run_id === parent.history.live.run_id ? parent.history.stepOfSeq(fork.seq) : null;
    write(this.text, at === null ? this.tr("step %1", this.range.value) : this.tr("step %1, forked after step %2", this.range.value, at));
    show(this.range, last > 0);
  }
}
