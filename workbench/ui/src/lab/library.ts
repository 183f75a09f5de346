/**
 * The tools or the concepts of the library: what is proposed first, with its evidence; search with the reason for each
 * hit; approve, edit, merge, retire, try. Everything goes through the calls that Python and the command line use.
 */

import { Dialog, InputDialog, showDialog } from "@jupyterlab/apputils";
import type { CommandRegistry } from "@lumino/commands";
import { Widget } from "@lumino/widgets";
import { oneLine, visible } from "../core/visible.ts";
import type { Translate } from "../panel/context.ts";
import { arrange, make, show, write } from "../panel/dom.ts";
import { ApiError, type IWorkbench, type LibraryRow } from "./api.ts";
import { examples, history, origin, record, tried } from "./evidence.ts";
import type { List } from "./sidebar.ts";

const FIRST: { [state: string]: number } = { proposed: 0, active: 1, retired: 2 };
const VERBS: { [state: string]: string[] } = {
  proposed: ["approve", "reject", "edit", "try"],
  active: ["edit", "merge", "retire", "try", "revert"],
  retired: ["restore", "purge"],
};
const FINAL = new Set(["purge"]);
const PAGE = 100;
const LATE_MS = 500;
/** The server gives no more rows at once; one of them tells whether there are others. */
const MOST = 499;

/** What a person had written, and why it was refused. */
interface Refused {
  text: string;
  message: string;
}

export class LibraryList implements List {
  readonly node: HTMLElement;
  private readonly search: HTMLInputElement;
  private readonly state: HTMLSelectElement;
  private readonly list: HTMLElement;
  private readonly note = make("p", { class: "wb-quiet", role: "status" });
  /** What became of the last thing that a person did; it stays until the next. */
  private readonly done = make("p", { class: "wb-done", role: "status", hidden: true });
  private readonly refusal = make("p", { class: "wb-error", role: "alert", hidden: true });
  private readonly more: HTMLElement;
  private limit = PAGE;
  private rows: LibraryRow[] = [];
  /** By row: its node and what it was made from. A row that has not changed keeps its node, and what was opened and tried in it. */
  private readonly items = new Map<string, { node: HTMLElement; made: string }>();
  private opened = new Map<string, HTMLElement>();

  constructor(
    private readonly tr: Translate,
    private readonly api: IWorkbench,
    private readonly kind: "tools" | "concepts",
    private readonly commands: CommandRegistry,
  ) {
    const what = kind === "tools" ? tr("Search tools") : tr("Search concepts");
    this.search = make("input", { type: "search", class: "wb-input", placeholder: tr("Search"), "aria-label": what });
    this.search.addEventListener("input", () => void this.refresh());
    this.state = make("select", { class: "wb-select", "aria-label": tr("State") }, [
      make("option", { value: "" }, [tr("not retired")]),
      ...Object.keys(FIRST).map((state) => make("option", { value: state }, [tr(state)])),
    ]);
    this.state.addEventListener("change", () => void this.refresh());
    this.list = make("ul", { class: "wb-list", "aria-label": kind === "tools" ? tr("Tools") : tr("Concepts") });
    this.more = make("button", { type: "button", class: "wb-button", hidden: true, click: () => this.showMore() }, [tr("Show more")]);
    this.node = make("div", { class: "wb-pane" }, [
      make("div", { class: "wb-row wb-tools" }, [this.search, this.state]), this.refusal, this.done, this.note, this.list, this.more,
    ]);
  }

  async refresh(): Promise<void> {
    const { tr } = this;
    const query = this.query();
    // The first search by meaning waits until the engine has loaded what it takes.
    const late = this.search.value ? window.setTimeout(() => this.tellNote(tr("Searching …")), LATE_MS) : 0;
    try {
      const { rows } = await this.api.get<{ rows: LibraryRow[] }>(query);
      if (query !== this.query()) return; // somebody has typed on: this answers an earlier question
      const some = rows.slice(0, this.limit);
      this.rows = this.search.value ? some : some.sort((a, b) => (FIRST[a.state] ?? 2) - (FIRST[b.state] ?? 2));
      show(this.more, rows.length > this.limit && this.limit < MOST);
      this.tellNote(rows.length ? "" : this.search.value || this.state.value ? tr("Nothing matches.") : this.whatBelongsHere());
    } catch (error) {
      if (query === this.query()) this.tellNote((error as Error).message);
    } finally {
      clearTimeout(late);
    }
    arrange(this.list, this.rows.map((row) => this.drawn(row)));
    const there = new Set(this.rows.map((row) => row.id));
    for (const id of this.items.keys()) if (!there.has(id)) this.items.delete(id);
  }

  private drawn(row: LibraryRow): HTMLElement {
    const made = JSON.stringify(row);
    const known = this.items.get(row.id);
    if (known?.made === made) return known.node;
    const node = this.item(row);
    this.items.set(row.id, { node, made });
    if (known?.node.contains(document.activeElement)) {
      known.node.replaceWith(node);
      node.querySelector("summary")?.focus();
    }
    return node;
  }

  private query(): string {
    const wanted = { limit: String(this.limit + 1), search: this.search.value, state: this.state.value };
    return `library/${this.kind}?${new URLSearchParams(wanted)}`;
  }

  private tellNote(text: string): void {
    write(this.note, text);
    show(this.note, text !== "");
  }

  private showMore(): void {
    this.limit = Math.min(MOST, this.limit + PAGE);
    void this.refresh();
  }

  private whatBelongsHere(): string {
    return this.kind === "tools"
      ? this.tr("No tool yet. Tools that runs propose, and tools that you add from Python or the command line, are curated here.")
      : this.tr("No concept yet. What a run taught can be kept as a concept and is curated here.");
  }

  private item(row: LibraryRow): HTMLElement {
    const { tr } = this;
    const details = make("details", { class: "wb-item-details" });
    const body = make("div");
    const why = row.why ? [row.why.view, row.why.exemplar ? `“${oneLine(row.why.exemplar, 60)}”` : "", row.why.score?.toFixed(2)].filter(Boolean).join(" · ") : "";
    const facts = [row.version > 1 ? tr("version %1", row.version) : "", record(tr, row), row.tags?.join(", ")].filter(Boolean).join(" · ");
    details.append(
      make("summary", {}, [
        make("span", { class: "wb-item-title wb-tool" }, [row.name]), make("span", { class: "wb-badge", "data-state": row.state }, [row.state]),
        make("span", { class: "wb-item-facts" }, [oneLine(row.summary, 200)]), make("span", { class: "wb-item-facts wb-quiet" }, [facts]),
        ...(why ? [make("span", { class: "wb-item-facts wb-quiet" }, [tr("found by %1", why)])] : []),
      ]),
      body,
    );
    details.open = this.opened.has(row.id);
    const proposed = row.state === "proposed" ? make("div", { class: "wb-row" }, ["approve", "reject"].map((verb) => this.button(row, verb, () => null))) : null;
    details.addEventListener("toggle", () => {
      if (proposed) show(proposed, !details.open); // the same stand at the top of what has been opened
      if (details.open) {
        this.opened.set(row.id, body);
        void this.fill(row, body);
      } else this.opened.delete(row.id);
    });
    if (details.open) void this.fill(row, body);
    return make("li", { class: "wb-item", "data-state": row.state, "data-row": row.id }, proposed ? [details, proposed] : [details]);
  }

  private async fill(row: LibraryRow, body: HTMLElement): Promise<void> {
    const { tr } = this;
    try {
      const found = await this.api.get(`library/${this.kind}/${encodeURIComponent(row.id)}`);
      const parts: HTMLElement[] = [];
      const part = (title: string, content: HTMLElement | string | null): void => {
        if (!content) return;
        parts.push(make("h4", {}, [title]), typeof content === "string" ? make("pre", { tabindex: 0 }, [content]) : content);
      };
      const open = (runId: string): void => void this.commands.execute("agent-workbench:open-run", { runId });
      part(tr("Where it comes from"), origin(tr, found.evidence?.provenance, open));
      part(tr("What the last change changed"), (found.diff ?? []).join("\n"));
      part(this.kind === "tools" ? tr("Source") : tr("Text"), String(found.row?.source ?? found.row?.text ?? ""));
      part(tr("Examples"), examples(tr, found.examples));
      part(tr("What it did"), make("p", { class: "wb-fact" }, [record(tr, found.row) || tr("No run has been offered it yet.")]));
      part(tr("History"), history(tr, found.history));
      const said = make("div", { hidden: true });
      const verbs = VERBS[row.state] ?? VERBS.active;
      body.replaceChildren(make("div", { class: "wb-row" }, verbs.map((verb) => this.button(row, verb, () => said, found))), said, ...parts);
    } catch (error) {
      body.replaceChildren(make("p", { class: "wb-error" }, [(error as Error).message]));
    }
  }

  private button(row: LibraryRow, verb: string, place: () => HTMLElement | null, found?: any): HTMLButtonElement {
    const { tr } = this;
    const label = titled(verb);
    const style = verb === "approve" ? "wb-button wb-primary wb-small" : "wb-button wb-small";
    const button = make("button", { type: "button", class: style, "aria-label": tr("%1 %2", tr(label), visible(row.name)) }, [tr(label)]);
    button.addEventListener("click", () => {
      button.disabled = true;
      for (const told of [this.done, this.refusal]) show(told, false);
      this.act(row, verb, place(), found)
        .catch((error: Error) => this.refused(error))
        .finally(() => (button.disabled = false));
    });
    return button;
  }

  private async act(row: LibraryRow, verb: string, place: HTMLElement | null, found?: any, before?: Refused): Promise<void> {
    const given = await this.ask(row, verb, found, before);
    if (!given) return;
    let answer: any;
    try {
      answer = await this.api.post(this.pathOf(row), { verb, expected_version: row.version, ...given });
    } catch (error) {
      if (verb !== "edit") throw error;
      // What a person has written stays where it was refused: it may be long.
      return this.act(row, verb, place, found, { text: Object.values(given)[0], message: (error as Error).message });
    }
    if (place && verb === "try") {
      place.replaceChildren(tried(this.tr, answer));
      show(place, true);
      return;
    }
    this.tell(row, verb, answer);
    this.items.clear();
    await this.refresh();
  }

  private pathOf(row: LibraryRow): string {
    return `library/${this.kind}/${encodeURIComponent(row.id)}`;
  }

  /** Say what was done, with a button that takes it back: a change of the library is one click. */
  private tell(row: LibraryRow, verb: string, answer: any): void {
    const { tr } = this;
    const entry = answer.entry;
    if (verb !== "purge" && entry == null) return;
    const what = verb === "undo" ? tr("Taken back.") : tr("%1: %2.", tr(titled(verb)), visible(row.name));
    const undo = make("button", { type: "button", class: "wb-button wb-small" }, [tr("Undo")]);
    undo.addEventListener("click", () => {
      undo.disabled = true;
      show(this.refusal, false);
      this.api
        .post(this.pathOf(row), { verb: "undo", entry })
        .then(async (taken) => {
          this.tell(row, "undo", taken);
          this.items.clear();
          await this.refresh();
        })
        .catch((error: Error) => {
          undo.disabled = false;
          this.refused(error);
        });
    });
    this.done.replaceChildren(what, ...(verb === "undo" || entry == null ? [] : [" ", undo]));
    show(this.done, true);
  }

  /** What a verb needs beside the row; null: the person thought better of it. */
  private async ask(row: LibraryRow, verb: string, found?: any, before?: Refused): Promise<{ [name: string]: string } | null> {
    const { tr } = this;
    if (verb === "edit") {
      const body = new EditBody(before?.text ?? String(found?.row?.source ?? found?.row?.text ?? ""), tr("Text"), before?.message ?? "");
      const edited = await showDialog({ title: tr("Edit %1", visible(row.name)), body, buttons: [Dialog.cancelButton(), Dialog.okButton({ label: tr("Save") })] });
      return edited.button.accept && edited.value !== null ? { [this.kind === "tools" ? "source" : "text"]: edited.value } : null;
    }
    if (verb === "reject") {
      const reason = await InputDialog.getText({ title: tr("Why is %1 rejected?", visible(row.name)), placeholder: tr("one sentence") });
      return reason.button.accept ? { reason: reason.value ?? "" } : null;
    }
    if (verb === "merge") {
      const others = this.rows.filter((one) => one.id !== row.id);
      const chosen = await InputDialog.getItem({ title: tr("Merge %1 into", visible(row.name)), items: others.map((one) => one.name) });
      const into = others.find((one) => one.name === chosen.value);
      return chosen.button.accept && into ? { into: into.id } : null;
    }
    if (FINAL.has(verb)) {
      const sure = await showDialog({ title: tr("Purge %1?", visible(row.name)), body: tr("It is removed for good, with its history."), buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: tr("Purge") })] });
      return sure.button.accept ? {} : null;
    }
    return {};
  }

  private refused(error: Error): void {
    write(this.refusal, error.message);
    show(this.refusal, true);
    this.refusal.scrollIntoView({ block: "nearest" });
    if (error instanceof ApiError && error.status === 409) this.items.clear();
  }
}

function titled(verb: string): string {
  return verb[0].toUpperCase() + verb.slice(1);
}

class EditBody extends Widget implements Dialog.IBodyWidget<string> {
  private readonly text: HTMLTextAreaElement;

  constructor(text: string, label: string, refusal: string) {
    super();
    if (refusal) this.node.append(make("p", { class: "wb-refused", role: "alert" }, [refusal]));
    this.text = make("textarea", { class: "wb-edit", rows: 18, cols: 80, spellcheck: "false", "aria-label": label });
    this.text.value = text;
    this.node.append(this.text);
  }

  getValue(): string {
    return this.text.value;
  }
}
