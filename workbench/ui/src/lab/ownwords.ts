/**
 * Own words and names for the workers of a new run: the part of its form that most people leave closed.
 *
 * In: names and rules in fields of their own, all other words as a JSON object, typed or read from a file, the same that
 * `workbench run --prompting` takes. Out: the run's setting `prompting`. Neighbours: `mainpanel` has the form; what the
 * words must be is checked where the run begins.
 */

import { oneLine } from "../core/visible.ts";
import type { Translate } from "../panel/context.ts";
import { freshId, make, show, write } from "../panel/dom.ts";

export class OwnWords {
  readonly node: HTMLElement;
  private readonly names = make("input", { class: "wb-input", autocomplete: "off" });
  private readonly rules = make("textarea", { class: "wb-input", rows: 4 });
  private readonly others = make("textarea", { class: "wb-input", rows: 4, spellcheck: "false" });
  private readonly unread = make("p", { class: "wb-error", role: "alert", hidden: true });

  constructor(private readonly tr: Translate) {
    const file = make("input", { type: "file", accept: ".json,application/json" });
    file.addEventListener("change", () => void this.read(file));
    const field = (text: string, input: HTMLElement): HTMLElement => {
      input.id = freshId();
      return make("div", { class: "wb-field" }, [make("label", { for: input.id }, [text]), input]);
    };
    this.names.placeholder = tr("Solver, Critic");
    this.rules.placeholder = tr("{names} solve this. Critic checks what Solver wrote.");
    this.others.placeholder = '{"closing": "..."}';
    this.node = make("details", { class: "wb-own-words" }, [
      make("summary", {}, [tr("Own words and names")]),
      make("p", { class: "wb-quiet" }, [tr("What stays empty is the model's own. The embedded model was trained on its own words; others are for models that follow instructions.")]),
      field(tr("Names of the workers, with commas between"), this.names), field(tr("Rules, told before the task"), this.rules),
      field(tr("Other words, as JSON"), this.others), field(tr("All of these from a file"), file), this.unread,
    ]);
  }

  /** The words; undefined where there are none. Throws an Error with one sentence where the JSON is none. */
  given(): { [name: string]: unknown } | undefined {
    const words = this.others.value.trim() ? objectOf(this.others.value, this.tr("Other words")) : {};
    const names = this.names.value.split(",").map((name) => name.trim()).filter(Boolean);
    if (names.length) words.names = names;
    if (this.rules.value.trim()) words.rules = this.rules.value;
    return Object.keys(words).length ? words : undefined;
  }

  /** Fill the fields from a file. */
  private async read(file: HTMLInputElement): Promise<void> {
    const chosen = file.files?.[0];
    show(this.unread, false);
    if (!chosen) return;
    try {
      const { names, rules, ...others } = objectOf(await chosen.text(), oneLine(chosen.name, 60));
      this.names.value = Array.isArray(names) ? names.map(String).join(", ") : "";
      this.rules.value = typeof rules === "string" ? rules : "";
      this.others.value = Object.keys(others).length ? JSON.stringify(others, null, 2) : "";
    } catch (error) {
      write(this.unread, (error as Error).message);
      show(this.unread, true);
    } finally {
      file.value = ""; // so that the same file can be read again once it was corrected
    }
  }
}

function objectOf(text: string, whose: string): { [name: string]: unknown } {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (error) {
    throw new Error(`${whose}: this is not JSON (${(error as Error).message}).`);
  }
  if (typeof found !== "object" || found === null || Array.isArray(found)) throw new Error(`${whose}: write one JSON object, such as {"closing": "..."}.`);
  return found as { [name: string]: unknown };
}
