/** One tool call as a card: the tool, its arguments, its state, its time, its result, and what kept it apart. */

import { callLabel, callOutcome, isOver, type Call } from "../core/state.ts";
import { withoutCallTags } from "../core/lane.ts";
import { oneLine, visible } from "../core/visible.ts";
import { can, duration, stateName, type Context } from "./context.ts";
import { make, setAttribute, show, write } from "./dom.ts";
import { ArgumentsForm } from "./editing.ts";

const LONG = 600;
const SIGNS: { [state: string]: string } = {
  writing: "…", planned: "○", asked: "?", running: "◐", succeeded: "✓", rejected: "⊘", skipped: "⊘", cancelled: "⊘",
  not_executed: "⊘", interrupted: "⊘", cut_short: "⊘",
};

export class Card {
  readonly node: HTMLElement;
  private readonly sign = make("span", { class: "wb-sign", "aria-hidden": "true" });
  private readonly tool = make("span", { class: "wb-tool" });
  private readonly state = make("span", { class: "wb-card-state" });
  private readonly args = make("div", { class: "wb-args" });
  private readonly result = make("div", { class: "wb-result" });
  private readonly foot = make("div", { class: "wb-quiet wb-card-foot" });
  private readonly decide = make("div", { class: "wb-row" });
  private editing: ArgumentsForm | null = null;
  private asking: Call | null = null;
  private key = "";

  constructor(private readonly context: Context) {
    const head = make("div", { class: "wb-card-head" }, [this.sign, this.tool, this.state]);
    this.node = make("div", { class: "wb-card", role: "group" }, [head, this.args, this.result, this.foot, this.decide]);
  }

  update(call: Call): boolean {
    const key = [call.state, call.text.length, call.error.length, call.progress, call.attempts, call.isolation, call.started_at, call.edited_by, call.problem].join();
    if (key === this.key) return false;
    const { tr } = this.context;
    const unread = call.tool === "?";
    this.draw(key, call.state, unread ? tr("A call that could not be read") : call.tool);
    write(this.args, unread ? oneLine(withoutCallTags(call.raw), LONG) : argumentsText(call));
    show(this.args, (this.args.textContent ?? "") !== "");
    const outcome = isOver(call) ? callOutcome(call) : call.state === "asked" ? call.problem : call.progress;
    write(this.result, outcome.length > LONG ? `${outcome.slice(0, LONG)}…` : outcome);
    setAttribute(this.result, "title", outcome.length > LONG ? visible(outcome.slice(0, 4000)) : "");
    show(this.result, outcome !== "");
    write(this.foot, this.facts(call));
    show(this.foot, (this.foot.textContent ?? "") !== "");
    this.askFor(call);
    return true;
  }

  /** A call that the worker is writing right now. */
  written(tool: string): boolean {
    const key = `writing ${tool}`;
    if (key === this.key) return false;
    this.draw(key, "writing", tool || this.context.tr("a call"));
    this.only(this.args, "");
    return true;
  }

  /** Text between a call's tags that was no call. */
  unread(text: string, reply: string): boolean {
    const key = `unread ${text.length} ${reply}`;
    if (key === this.key) return false;
    const { tr } = this.context;
    this.draw(key, "failed", tr("A call that could not be read"));
    this.only(this.args, oneLine(text, LONG));
    write(this.result, reply || tr("This call was not run."));
    show(this.result, true);
    return true;
  }

  /** A call that was not written to its end. */
  cutShort(tool: string, text: string): boolean {
    const key = `cut short ${text.length}`;
    if (key === this.key) return false;
    const { tr } = this.context;
    this.draw(key, "cut_short", tool || tr("a call"));
    this.only(this.args, oneLine(text, LONG));
    write(this.result, tr("It was not written to its end, so it was not run."));
    show(this.result, true);
    return true;
  }

  private draw(key: string, state: string, tool: string): void {
    const { tr } = this.context;
    this.key = key;
    setAttribute(this.node, "data-state", state);
    setAttribute(this.node, "aria-label", tr("Call of %1: %2", oneLine(tool, 80), stateName(tr, state)));
    write(this.sign, SIGNS[state] ?? "✗");
    write(this.tool, tool);
    write(this.state, state === "succeeded" ? "" : stateName(tr, state));
  }

  private only(shown: HTMLElement, text: string): void {
    for (const part of [this.args, this.result, this.foot, this.decide]) show(part, false);
    if (this.editing) show(this.editing.node, false);
    write(shown, text);
    show(shown, text !== "");
  }

  private facts(call: Call): string {
    const { tr } = this.context;
    const facts = [];
    if (isOver(call) && call.wall_s > 0) facts.push(duration(call.wall_s));
    if (call.isolation) facts.push(call.isolation);
    if (call.attempts > 1) facts.push(tr("attempt %1", call.attempts));
    if (call.cut) facts.push(tr("shortened"));
    if (!call.trusted) facts.push(tr("text from outside"));
    if (call.edited_by) facts.push(tr("changed by %1, asked for %2", oneLine(call.edited_by, 40), oneLine(callLabel({ ...call, arguments: call.asked ?? {} }), 200)));
    return facts.join(" · ");
  }

  private askFor(call: Call): void {
    const { tr, actions } = this.context;
    const asks = call.state === "asked" && actions !== null && can(this.context, "approve");
    const focused = this.asking !== null && !asks && this.node.contains(document.activeElement);
    this.asking = asks ? call : null;
    show(this.decide, asks);
    if (!asks) {
      this.editing?.forget();
      if (focused) this.focus();
      return;
    }
    if (this.decide.childElementCount > 0) return;
    const decide = (command: string) => () => this.context.send?.(command, { call: call.call });
    const edit = make("button", { type: "button", class: "wb-button", click: () => this.edit(true) }, [tr("Edit")]);
    setAttribute(edit, "aria-label", tr("Edit the arguments of %1", oneLine(call.tool, 80)));
    this.decide.append(
      make("button", { type: "button", class: "wb-button wb-primary", click: decide("approve") }, [tr("Approve")]),
      edit, make("button", { type: "button", class: "wb-button", click: decide("reject") }, [tr("Reject")]),
    );
    this.editing = new ArgumentsForm(this.context, (cancelled) => {
      show(this.decide, this.asking !== null && cancelled);
      if (cancelled) edit.focus();
      else this.focus();
    });
    this.node.append(this.editing.node);
    if (this.editing.hasDraft(call)) this.edit(false);
  }

  /** Whose button has gone goes on from the card, which says what has become of the call. */
  private focus(): void {
    setAttribute(this.node, "tabindex", "-1");
    this.node.focus({ preventScroll: true });
  }

  private edit(focus: boolean): void {
    if (!this.asking || !this.editing) return;
    show(this.decide, false);
    this.editing.open(this.asking, focus);
  }
}

export function argumentsText(call: Call): string {
  return Object.entries(call.arguments)
    .map(([name, value]) => `${name} = ${oneLine(typeof value === "string" ? value : JSON.stringify(value), 200)}`)
    .join("\n");
}
