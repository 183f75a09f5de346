/**
 * The form behind "Fork here": what shall be otherwise in a new run that shares everything up to the step that is shown.
 *
 * In: the state of that moment. Out: the arguments of `fork`; nothing is changed where a field stays empty.
 * Neighbours: `scrubber` opens it, `panel` sends what it gives.
 */

import type { RunState } from "../core/state.ts";
import { visible } from "../core/visible.ts";
import type { Context } from "./context.ts";
import { freshId, make, show, write } from "./dom.ts";

export class ForkForm {
  readonly node: HTMLFormElement;
  private readonly title = make("strong");
  private readonly say = make("input", { type: "text", class: "wb-input", autocomplete: "off" });
  private readonly whom = make("select", { class: "wb-select" });
  private readonly rewritten = make("select", { class: "wb-select" });
  private readonly text = make("textarea", { class: "wb-input", rows: 3, spellcheck: "false" });
  private readonly temperature = make("input", { type: "number", min: 0, max: 2, step: 0.1, class: "wb-number" });
  private readonly seed = make("input", { type: "number", class: "wb-number" });
  private readonly tools = make("div", { class: "wb-row" });
  private readonly submit: HTMLButtonElement;
  private state: RunState | null = null;
  private step: number | null = null;
  private opener: HTMLElement | null = null;

  constructor(
    private readonly context: Context,
    send: (given: { [name: string]: unknown }) => Promise<boolean>,
  ) {
    const { tr } = context;
    const field = (text: string, input: HTMLElement): HTMLElement => {
      input.id = freshId();
      return make("div", { class: "wb-row" }, [make("label", { for: input.id }, [text]), input]);
    };
    this.submit = make("button", { type: "submit", class: "wb-button wb-primary" }, [tr("Start the fork")]);
    const cancel = make("button", { type: "button", class: "wb-button", click: () => this.close() }, [tr("Cancel")]);
    this.node = make("form", { class: "wb-fork", hidden: true }, [
      this.title, make("div", { class: "wb-row" }, [...field(tr("Say"), this.say).childNodes, ...field(tr("to"), this.whom).childNodes]),
      field(tr("Rewrite what was written by"), this.rewritten), this.text,
      make("div", { class: "wb-row" }, [...field(tr("Temperature"), this.temperature).childNodes, ...field(tr("Seed"), this.seed).childNodes]),
      make("details", {}, [make("summary", {}, [tr("Tools that are taken away")]), this.tools]), make("div", { class: "wb-row" }, [this.submit, cancel]),
    ]);
    this.text.setAttribute("aria-label", tr("Text that stands there instead"));
    this.rewritten.addEventListener("change", () => this.showText());
    this.node.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit.disabled = true;
      void send(this.given()).then((begun) => {
        this.submit.disabled = false;
        // What a person has written stays where it was refused: it may be long.
        show(this.node, !begun);
      });
    });
  }

  /** step: after which the fork begins; null: after the last. */
  open(state: RunState, step: number | null): void {
    const { tr } = this.context;
    this.state = state;
    this.step = step;
    this.opener = document.activeElement as HTMLElement | null;
    write(this.title, step === null ? tr("A new run from the last step on") : tr("A new run from step %1 on", step));
    const workers = state.lanes.map(({ worker }) => worker);
    const options = (first: string): HTMLElement[] => [make("option", { value: "" }, [first]), ...workers.map((worker) => make("option", { value: worker }, [visible(worker)]))];
    this.whom.replaceChildren(...options(tr("the first worker")));
    this.rewritten.replaceChildren(...options(tr("nobody")));
    this.tools.replaceChildren(...state.tools.map((tool) => make("label", {}, [make("input", { type: "checkbox", value: tool }), visible(tool)])));
    for (const input of [this.say, this.temperature, this.seed]) input.value = "";
    this.showText();
    show(this.node, true);
    this.say.focus();
  }

  /** Whoever opened it with the keyboard goes on from there. */
  private close(): void {
    show(this.node, false);
    this.opener?.focus();
  }

  private showText(): void {
    const lane = this.state?.lanes.find(({ worker }) => worker === this.rewritten.value);
    show(this.text, lane !== undefined);
    const last = lane?.spans.at(-1);
    this.text.value = last?.kind === "text" ? last.text : "";
  }

  private given(): { [name: string]: unknown } {
    const given: { [name: string]: unknown } = { step: this.step };
    if (this.say.value.trim()) Object.assign(given, { say: this.say.value.trim(), worker: this.whom.value || null });
    if (this.rewritten.value) given.replace = { [this.rewritten.value]: this.text.value };
    if (this.temperature.value) given.sampling = { temperature: Number(this.temperature.value) };
    if (this.seed.value) given.seed = Number(this.seed.value);
    const gone = [...this.tools.querySelectorAll<HTMLInputElement>("input:checked")].map(({ value }) => value);
    if (gone.length) given.without_tools = gone;
    return given;
  }
}
