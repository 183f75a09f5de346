/**
 * Where the run is to pause by itself: the list of breakpoints, a form for another one, and which one was hit.
 *
 * In: the state. Out: the commands `break_at` and `remove_breakpoint`; what became of them is read from the run's events.
 * Neighbours: `steering` puts the button beside Pause, `panel` the line that says where the run is paused.
 */

import type { Breakpoint, RunState } from "../core/state.ts";
import { breakpointText } from "../core/state.ts";
import { visible } from "../core/visible.ts";
import { can, plural, type Context } from "./context.ts";
import { freshId, make, setAttribute, show, write } from "./dom.ts";

type Send = (command: string, args: { [name: string]: unknown }) => Promise<boolean>;

export class BreakpointsView {
  readonly node = make("details", { class: "wb-menu wb-breaks" });
  readonly hit = make("div", { class: "wb-banner wb-hit", role: "status", hidden: true });
  private readonly label = make("summary", { class: "wb-button" });
  private readonly list = make("ul", { class: "wb-queue" });
  private readonly condition = make("select", { class: "wb-select" });
  private readonly value = make("input", { type: "text", class: "wb-input", autocomplete: "off" });
  private readonly whose = make("select", { class: "wb-select" });
  private readonly tools = make("datalist");
  private readonly form: HTMLFormElement;
  private listKey = "";
  private offeredKey = "";

  constructor(
    private readonly context: Context,
    private readonly send: Send,
  ) {
    const { tr } = context;
    this.tools.id = freshId();
    setAttribute(this.value, "list", this.tools.id);
    setAttribute(this.condition, "aria-label", tr("Pause"));
    setAttribute(this.whose, "aria-label", tr("of"));
    const conditions: [string, string][] = [
      ["tool", tr("before a call of")], ["step", tr("after step")], ["text", tr("at the text")],
      ["pattern", tr("at the pattern")], ["ended", tr("when one has ended")],
    ];
    this.condition.append(...conditions.map(([value, text]) => make("option", { value }, [text])));
    this.condition.addEventListener("change", () => this.suit());
    this.form = make("form", { class: "wb-row" }, [
      this.condition, this.value, this.tools, this.whose, make("button", { type: "submit", class: "wb-button" }, [tr("Add")]),
    ]);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.add();
    });
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.node.open) return;
      this.node.open = false;
      this.label.focus();
      event.stopPropagation();
    });
    this.node.append(this.label, make("div", { class: "wb-popover" }, [this.list, this.form]));
    this.suit();
  }

  update(state: RunState, running: boolean): void {
    const { tr } = this.context;
    const set = state.breakpoints;
    show(this.node, can(this.context, "break_at") && (running || set.length > 0));
    show(this.form, running);
    write(this.label, set.length ? plural(tr, set.length, "%1 breakpoint", "%1 breakpoints") : tr("Breakpoints"));
    setAttribute(this.label, "title", tr("Where the run is to pause by itself"));
    this.offer(state);
    const key = JSON.stringify([set, running, state.hit?.breakpoint]);
    if (key !== this.listKey) {
      this.listKey = key;
      const hadFocus = this.list.contains(document.activeElement);
      this.list.replaceChildren(...set.map((one) => this.lineOf(one, state.hit?.breakpoint === one.breakpoint, running)));
      if (hadFocus) (this.list.querySelector("button") ?? this.label).focus();
    }
    show(this.list, set.length > 0);
    show(this.hit, state.hit !== null && state.status === "running");
    if (state.hit) write(this.hit, tr("Paused at %1: %2", state.hit.breakpoint, state.hit.why));
  }

  private lineOf(one: Breakpoint, isHit: boolean, running: boolean): HTMLElement {
    const { tr } = this.context;
    const times = one.hits ? plural(tr, one.hits, "hit once", "hit %1 times") : "";
    const text = breakpointText(one);
    const item = make("li", {}, [
      make("strong", {}, [one.breakpoint]), make("span", { class: "wb-queued" }, [text]), make("span", { class: "wb-quiet" }, [times]),
    ]);
    if (isHit) setAttribute(item, "data-hit", "true");
    if (!running) return item;
    const remove = (): void => void this.send("remove_breakpoint", { breakpoint: one.breakpoint });
    const label = tr("Remove %1, %2", one.breakpoint, visible(text));
    item.append(make("button", { type: "button", class: "wb-button", "aria-label": label, click: remove }, [tr("Remove")]));
    return item;
  }

  private offer(state: RunState): void {
    const workers = state.lanes.map((lane) => lane.worker);
    const key = JSON.stringify([workers, state.tools]);
    if (key === this.offeredKey) return;
    this.offeredKey = key;
    const chosen = this.whose.value;
    const { tr } = this.context;
    this.whose.replaceChildren(
      make("option", { value: "" }, [tr("of anyone")]), ...workers.map((worker) => make("option", { value: worker }, [tr("of %1", visible(worker))])),
    );
    if (workers.includes(chosen)) this.whose.value = chosen;
    this.tools.replaceChildren(...["*", ...state.tools].map((tool) => make("option", { value: tool })));
  }

  /** The field for what the condition needs. */
  private suit(): void {
    const { tr } = this.context;
    const condition = this.condition.value;
    const names: { [condition: string]: string } = {
      tool: tr("Tool, * for any"), step: tr("Step"), text: tr("Text"), pattern: tr("Regular expression"),
    };
    show(this.value, condition !== "ended");
    this.value.required = condition !== "ended";
    setAttribute(this.value, "aria-label", names[condition] ?? "");
    setAttribute(this.value, "placeholder", names[condition] ?? "");
    setAttribute(this.value, "inputmode", condition === "step" ? "numeric" : "text");
    if (condition === "tool") setAttribute(this.value, "list", this.tools.id);
    else this.value.removeAttribute("list");
    show(this.whose, condition !== "step");
  }

  private async add(): Promise<void> {
    const condition = this.condition.value;
    const written = this.value.value;
    const value = condition === "ended" ? true : condition === "step" ? Number(written) : written;
    const worker = condition === "step" ? null : this.whose.value || null;
    if (await this.send("break_at", { [condition]: value, worker })) this.value.value = "";
  }
}
