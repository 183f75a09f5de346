/**
 * The lanes: one for each worker, with streaming text and its calls as cards where they were made.
 *
 * In: the lanes of a `RunState`. Out: nodes, kept and changed in place, so that a selection or a scrolled lane survives.
 * Text is kept in pieces of which the page lays out only those in sight (`content-visibility`).
 */

import type { Lane, Span } from "../core/lane.ts";
import { isShown, withoutResponseTags, writtenTool } from "../core/lane.ts";
import { isOver, samplingWords, type Call, type RunState } from "../core/state.ts";
import { visible } from "../core/visible.ts";
import { Card } from "./card.ts";
import { can, colourOf, plural, stateName, type Context } from "./context.ts";
import { closesItself, make, setAttribute, show, write } from "./dom.ts";

const AT_END_PX = 32;

export class LanesView {
  readonly node = make("div", { class: "wb-lanes" });
  private readonly byWorker = new Map<string, LaneView>();
  private drawn: RunState | null = null;

  constructor(private readonly context: Context) {}

  update(state: RunState, isLive: boolean, steered: boolean): void {
    if (this.drawn !== state) {
      this.drawn = state;
      for (const lane of this.byWorker.values()) lane.forget();
    }
    const calls = new Map(state.calls.map((call) => [call.call, call]));
    const workers = state.lanes.map((lane) => lane.worker);
    for (const [worker, view] of this.byWorker) {
      if (workers.includes(worker)) continue;
      view.node.remove();
      this.byWorker.delete(worker);
    }
    state.lanes.forEach((lane, at) => {
      let view = this.byWorker.get(lane.worker);
      if (!view) {
        view = new LaneView(this.context, lane.worker, colourOf(lane.worker, workers));
        this.byWorker.set(lane.worker, view);
        this.node.insertBefore(view.node, this.node.children[at] ?? null);
      }
      view.update(lane, calls, isLive && steered && state.status === "running", steered);
    });
  }
}

class LaneView {
  readonly node: HTMLElement;
  private readonly state = make("span", { class: "wb-state" });
  private readonly figures = make("span", { class: "wb-quiet wb-figures" });
  private readonly own = make("div", { class: "wb-own-settings wb-quiet", hidden: true });
  private readonly budget = make("div", { class: "wb-budget", "aria-hidden": "true" }, [make("div")]);
  private readonly words: HTMLElement;
  private readonly inner = make("div");
  private readonly settings: HTMLDetailsElement | null;
  private readonly empty: HTMLElement;
  private spans: SpanView[] = [];
  private follows = true;
  private lastTop = 0;

  constructor(
    private readonly context: Context,
    worker: string,
    colour: string,
  ) {
    const { tr } = context;
    this.words = make("div", {
      class: "wb-words", tabindex: 0, role: "group", "aria-label": tr("Text of %1", visible(worker)),
    });
    this.empty = make("p", { class: "wb-quiet wb-empty" }, [tr("Nothing written yet.")]);
    this.inner.append(this.empty);
    this.words.append(this.inner);
    // Pieces that come into sight are laid out late, so the end moves on its own too.
    new ResizeObserver(() => this.toEnd()).observe(this.inner);
    this.words.addEventListener("scroll", () => this.scrolled(), { passive: true });
    const head = make("header", { class: "wb-lane-head" }, [
      make("span", { class: "wb-name", title: visible(worker) }, [worker]), this.state, this.figures,
    ]);
    this.settings = workerSettings(context, worker);
    if (this.settings) head.append(this.settings);
    this.node = make(
      "section",
      { class: "wb-lane", "aria-label": tr("Worker %1", visible(worker)), style: `--wb-lane: ${colour}` },
      [head, this.own, this.budget, this.words],
    );
  }

  forget(): void {
    for (const span of this.spans) span.node.remove();
    this.spans = [];
    this.lastTop = 0;
  }

  update(lane: Lane, calls: Map<string, Call>, canSteer: boolean, canDecide: boolean): void {
    const { tr } = this.context;
    write(this.state, stateName(tr, lane.state));
    setAttribute(this.state, "data-state", lane.state);
    setAttribute(this.state, "title", visible(lane.reason));
    const tokens = plural(tr, lane.tokens, "%1 token", "%1 tokens");
    write(this.figures, tokens);
    setAttribute(this.figures, "title", lane.budget ? tr("%1 of at most %2 tokens", lane.tokens.toLocaleString("en-US"), lane.budget.toLocaleString("en-US")) : "");
    const own = this.settingsOf(lane);
    write(this.own, own);
    show(this.own, own !== "");
    show(this.budget, lane.budget !== null);
    if (lane.budget) {
      const used = Math.min(100, Math.round((100 * lane.tokens) / lane.budget));
      setAttribute(this.budget.firstElementChild!, "style", `width: ${used}%`);
    }
    const temperature = this.settings?.open === false ? this.settings.querySelector("input") : null;
    if (temperature) temperature.value = String(lane.sampling.temperature ?? 0);
    if (this.settings) show(this.settings, canSteer && !["finished", "stopped", "out_of_budget"].includes(lane.state));
    setAttribute(this.node, "data-watch-only", canDecide ? "" : "true");
    this.updateWords(lane, calls);
  }

  /** What is set for this worker, in a line. */
  private settingsOf(lane: Lane): string {
    const { tr } = this.context;
    const parts = samplingWords(lane.sampling);
    if (lane.tools) parts.push(lane.tools.length ? tr("may call %1", lane.tools.join(", ")) : tr("may call no tool"));
    if (lane.instruction) parts.push(tr("told: %1", lane.instruction));
    return parts.join(" · ");
  }

  private updateWords(lane: Lane, calls: Map<string, Call>): void {
    if (this.spans.length > lane.spans.length) this.forget();
    let changed = false;
    lane.spans.forEach((span, at) => {
      let view = this.spans[at];
      if (!view) {
        view = span.kind === "call" ? new CallSpan(this.context) : new TextSpan(this.context, span);
        this.spans.push(view);
        this.inner.append(view.node);
      }
      changed = view.update(span, calls) || changed;
    });
    show(this.empty, !lane.spans.some(isShown));
    if (changed) this.toEnd();
  }

  private toEnd(): void {
    if (this.follows) this.words.scrollTop = this.words.scrollHeight;
  }

  /** A person who scrolls up reads; one who scrolls to the end follows again. */
  private scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.words;
    if (scrollHeight - scrollTop - clientHeight < AT_END_PX) this.follows = true;
    else if (scrollTop < this.lastTop - 1) this.follows = false;
    this.lastTop = scrollTop;
  }
}

interface SpanView {
  node: HTMLElement;
  /** Returns whether anything changed. */
  update(span: Span, calls: Map<string, Call>): boolean;
}

const SOURCES: { [source: string]: string } = {
  person: "You said",
  tool: "A tool answered",
  check: "The workbench asked",
  closing: "The workbench asked for the answer",
};

class TextSpan implements SpanView {
  readonly node: HTMLElement;
  private readonly text = document.createTextNode("");
  private drawn = 0;

  constructor(context: Context, span: Span) {
    this.node = make("div", { class: span.kind === "text" ? "wb-text" : "wb-injected" });
    if (span.goes_on) this.node.classList.add("wb-goes-on");
    const source = SOURCES[span.source];
    if (source) {
      this.node.dataset.source = span.source;
      this.node.append(make("span", { class: "wb-source" }, [context.tr(source)]));
    }
    this.node.append(make("span", {}, [this.text]));
  }

  update(span: Span): boolean {
    const end = endOf(span.text);
    if (end === this.drawn) return false;
    show(this.node, isShown(span));
    if (span.kind === "injected") this.text.data = visible(withoutResponseTags(span.text));
    else if (this.drawn > 0 && end > this.drawn) this.text.appendData(visible(span.text.slice(this.drawn, end)));
    else this.text.data = visible(span.text.slice(0, end)).replace(/^\n+/, "");
    this.drawn = end;
    return true;
  }
}

/** Where the text ends for the eye: blank lines before a card are the model's format, and are drawn once text follows. */
function endOf(text: string): number {
  let end = text.length;
  while (end > 0 && text[end - 1] === "\n") end -= 1;
  return end;
}

class CallSpan implements SpanView {
  readonly node: HTMLElement;
  private readonly card: Card;

  constructor(context: Context) {
    this.card = new Card(context);
    this.node = this.card.node;
  }

  update(span: Span, calls: Map<string, Call>): boolean {
    const call = span.call ? calls.get(span.call) : undefined;
    if (call) return this.card.update(call);
    if (span.cut_short && !span.reply) return this.card.cutShort(writtenTool(span), span.text.trim());
    if (!span.unread) return this.card.written(writtenTool(span));
    return this.card.unread(span.text.trim(), span.reply);
  }
}

/** Temperature and retirement of one worker, behind a button in its lane. */
function workerSettings(context: Context, worker: string): HTMLDetailsElement | null {
  const { tr, actions } = context;
  if (!actions || !(can(context, "set_sampling") || can(context, "retire_worker"))) return null;
  const temperature = make("input", { type: "number", min: 0, max: 2, step: 0.1, value: "0", class: "wb-number" });
  const details = make("details", { class: "wb-menu" });
  const body = make("div", { class: "wb-popover" });
  if (can(context, "set_sampling")) {
    const apply = make("button", { type: "submit", class: "wb-button" }, [tr("Set")]);
    const form = make(
      "form",
      {
        submit: (event: Event) => {
          event.preventDefault();
          details.open = false;
          context.send?.("set_sampling", { worker, temperature: Number(temperature.value) });
        },
      },
      [make("label", {}, [tr("Temperature"), temperature]), apply],
    );
    body.append(form);
  }
  if (can(context, "retire_worker")) {
    const retire = (): void => {
      details.open = false;
      context.send?.("retire_worker", { worker });
    };
    body.append(make("button", { type: "button", class: "wb-button", click: retire }, [tr("Retire %1", visible(worker))]));
  }
  details.append(make("summary", { "aria-label": tr("Settings of %1", visible(worker)), title: tr("Settings of %1", visible(worker)) }, ["⋯"]), body);
  closesItself(details);
  return details;
}

export function running(calls: Iterable<Call>): number {
  let count = 0;
  for (const call of calls) if (!isOver(call)) count += 1;
  return count;
}
