/** Two runs side by side, aligned at the fork where one is the other's child: one scrubber moves both. */

import { Widget } from "@lumino/widgets";
import type { Translate } from "../panel/context.ts";
import { make, NextFrame, show, write } from "../panel/dom.ts";
import type { RunPanel } from "../panel/panel.ts";
import { icon } from "./icon.ts";

export class CompareWidget extends Widget {
  private readonly range: HTMLInputElement;
  private readonly text = make("output", { class: "wb-quiet wb-step" });
  private readonly frame = new NextFrame(() => this.draw(), 500);
  private readonly timer: number;

  constructor(
    private readonly tr: Translate,
    readonly left: RunPanel,
    readonly right: RunPanel,
    id: string,
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
    const both = make("div", { class: "wb-run wb-both" }, [make("div", { class: "wb-scrubber wb-shared" }, [this.text, this.range]), make("div", { class: "wb-sides" }, [left.node, right.node])]);
    this.node.append(both);
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
