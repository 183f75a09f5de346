/**
 * The form in which a person changes the arguments of a call before it runs: its JSON in a text box.
 *
 * In: a call that waits for a person's word. Out: the command `approve` with the text; what is wrong with it is told in
 * one sentence below the box, and what was written stays, also while the panel shows an earlier moment. Neighbours:
 * `card` opens it. The engine judges the arguments; here only whether the text is JSON at all.
 */

import { oneLine } from "../core/visible.ts";
import type { Call } from "../core/state.ts";
import type { Context } from "./context.ts";
import { freshId, make, setAttribute, show, write } from "./dom.ts";

const MOST_ROWS = 14;
/** What a person has written and not sent, by panel and call: a card is drawn anew when another moment is shown. */
const DRAFTS = new WeakMap<Context, Map<string, string>>();

export class ArgumentsForm {
  readonly node: HTMLFormElement;
  private readonly text = make("textarea", { class: "wb-input wb-json", spellcheck: "false", autocomplete: "off" });
  private readonly problem = make("div", { class: "wb-refusal", role: "alert", hidden: true });
  private readonly submit: HTMLButtonElement;
  private call = "";

  /** closed: called when the person goes back, or the engine has taken the arguments. */
  constructor(
    private readonly context: Context,
    private readonly closed: (cancelled: boolean) => void,
  ) {
    const { tr } = context;
    const [textId, hintId, problemId] = [freshId(), freshId(), freshId()];
    this.text.id = textId;
    this.problem.id = problemId;
    setAttribute(this.text, "aria-describedby", `${hintId} ${problemId}`);
    this.submit = make("button", { type: "submit", class: "wb-button wb-primary" }, [tr("Approve these")]);
    this.node = make("form", { class: "wb-arguments", hidden: true }, [
      make("label", { for: textId, class: "wb-label" }, [tr("Arguments, as JSON")]), this.text,
      make("div", { id: hintId, class: "wb-quiet" }, [tr("Ctrl+Enter approves, Escape goes back; \"$1\" is the result of call 1")]), this.problem,
      make("div", { class: "wb-row" }, [this.submit, make("button", { type: "button", class: "wb-button", click: () => this.cancel() }, [tr("Cancel")])]),
    ]);
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.send();
    });
    this.text.addEventListener("input", () => {
      this.drafts().set(this.call, this.text.value);
      this.tell("");
    });
    this.node.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.cancel();
      else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void this.send();
      else return;
      event.preventDefault();
      event.stopPropagation(); // JupyterLab's own meaning of these keys
    });
  }

  hasDraft(call: Call): boolean {
    return this.drafts().has(call.call);
  }

  /** Show the arguments, or what the person had written of them. */
  open(call: Call, focus: boolean): void {
    this.call = call.call;
    const draft = this.drafts().get(call.call) ?? JSON.stringify(call.arguments, null, 2);
    this.drafts().set(call.call, draft);
    this.text.value = draft;
    this.text.rows = Math.min(MOST_ROWS, Math.max(3, draft.split("\n").length));
    setAttribute(this.node, "aria-label", this.context.tr("Change the arguments of %1", oneLine(call.tool, 80)));
    this.tell("");
    show(this.node, true);
    if (focus) this.text.focus();
  }

  /** The call waits no more. */
  forget(): void {
    if (this.call) this.drafts().delete(this.call);
    show(this.node, false);
  }

  private cancel(): void {
    this.forget();
    this.closed(true);
  }

  private async send(): Promise<void> {
    const text = this.text.value;
    const wrong = notAnObject(text);
    if (wrong !== null) return this.tell(this.context.tr("This is no JSON object, such as %1 (%2).", '{"a": 1, "b": "text"}', wrong), true);
    this.submit.disabled = true;
    try {
      // The text itself: numbers of many digits would not come through as they are written.
      await this.context.actions?.steer("approve", { call: this.call, arguments: text });
      this.forget();
      this.closed(false);
    } catch (error) {
      this.tell(error instanceof Error ? error.message : String(error), true);
    } finally {
      this.submit.disabled = false;
    }
  }

  private tell(problem: string, focus = false): void {
    write(this.problem, problem);
    show(this.problem, problem !== "");
    setAttribute(this.text, "aria-invalid", String(problem !== ""));
    if (focus) this.text.focus();
    if (problem) this.problem.scrollIntoView({ block: "nearest" });
  }

  private drafts(): Map<string, string> {
    let drafts = DRAFTS.get(this.context);
    if (!drafts) DRAFTS.set(this.context, (drafts = new Map()));
    return drafts;
  }
}

/** Why a text is no JSON object, in a few words; null where it is one. */
export function notAnObject(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return null;
    return Array.isArray(value) ? "a list" : value === null ? "null" : `a ${typeof value}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
