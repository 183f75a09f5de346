/**
 * The tools or the concepts of the library: what is proposed first, with its evidence; search with the reason for each
 * hit; approve, edit, merge, retire, try. Everything goes through the calls that Python and the command line use.
 */

import { Dialog, InputDialog, showDialog } from "@jupyterlab/apputils";
import type { CommandRegistry } from "@lumino/commands";
import { Widget } from "@lumino/widgets";
import { oneLine, visible } from "../core/visible.ts";
import type { Translate } from "../panel/context.ts";
import { make, show, write } from "../panel/dom.ts";
import { ApiError, type IWorkbench, type LibraryRow } from "./api.ts";
import { examples, history, origin, record, tried } from "./evidence.ts";
import type { List } from "./sidebar.ts";

const FIRST: { [state: string]: number } = { proposed: 0, active: 1, approved: 1, retired: 3, rejected: 4 };
const VERBS: { [state: string]: string[] } = {
  proposed: ["approve", "reject", "edit", "try"],
  active: ["edit", "merge", "retire", "try", "revert"],
  approved: ["edit", "merge", "retire", "try", "revert"],
  retired: ["restore", "purge"],
  rejected: ["restore", "purge"],
};
const FINAL = new Set(["purge"]);

export class LibraryList implements List {
  readonly node: HTMLElement;
  private readonly search: HTMLInputElement;
  private readonly state: HTMLSelectElement;
  private readonly list: HTMLElement;
  private readonly note = make("p", { class: "wb-quiet", role: "status" });
  private rows: LibraryRow[] = [];
  private key = "";
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
      make("option", { value: "" }, [tr("all states")]),
      ...["proposed", "active", "retired", "rejected"].map((state) => make("option", { value: state }, [tr(state)])),
    ]);
    this.state.addEventListener("change", () => void this.refresh());
    this.list = make("ul", { class: "wb-list", "aria-label": kind === "tools" ? tr("Tools") : tr("Concepts") });
    this.node = make("div", { class: "wb-pane" }, [make("div", { class: "wb-row wb-tools" }, [this.search, this.state]), this.note, this.list]);
  }

  async refresh(): Promise<void> {
    const { tr } = this;
    const query = new URLSearchParams({ limit: "100", search: this.search.value, state: this.state.value });
    try {
      const { rows } = await this.api.get<{ rows: LibraryRow[] }>(`library/${this.kind}?${query}`);
      this.rows = this.search.value ? rows : [...rows].sort((a, b) => (FIRST[a.state] ?? 2) - (FIRST[b.state] ?? 2));
      write(this.note, rows.length ? "" : this.search.value || this.state.value ? tr("Nothing matches.") : this.whatBelongsHere());
    } catch (error) {
      this.say(error as Error);
    }
    show(this.note, this.note.textContent !== "");
    const key = JSON.stringify(this.rows);
    if (key === this.key) return;
    this.key = key;
    this.list.replaceChildren(...this.rows.map((row) => this.item(row)));
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
    return make("li", { class: "wb-item", "data-state": row.state }, proposed ? [details, proposed] : [details]);
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
    const label = verb[0].toUpperCase() + verb.slice(1);
    const style = verb === "approve" ? "wb-button wb-primary wb-small" : "wb-button wb-small";
    const button = make("button", { type: "button", class: style, "aria-label": tr("%1 %2", tr(label), visible(row.name)) }, [tr(label)]);
    button.addEventListener("click", () => {
      button.disabled = true;
      this.act(row, verb, place(), found)
        .catch((error: Error) => this.say(error))
        .finally(() => (button.disabled = false));
    });
    return button;
  }

  private async act(row: LibraryRow, verb: string, place: HTMLElement | null, found?: any): Promise<void> {
    const given = await this.ask(row, verb, found);
    if (!given) return;
    const answer = await this.api.post(`library/${this.kind}/${encodeURIComponent(row.id)}`, { verb, expected_version: row.version, ...given });
    if (place && verb === "try") {
      place.replaceChildren(tried(this.tr, answer));
      show(place, true);
      return;
    }
    this.key = "";
    await this.refresh();
  }

  /** What a verb needs beside the row; null: the person thought better of it. */
  private async ask(row: LibraryRow, verb: string, found?: any): Promise<object | null> {
    const { tr } = this;
    if (verb === "edit") {
      const text = found?.row?.source ?? found?.row?.text ?? found?.row?.content ?? "";
      const body = new EditBody(typeof text === "string" ? text : JSON.stringify(text, null, 2), tr("Text"));
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

  private say(error: Error): void {
    write(this.note, error.message);
    show(this.note, true);
    if (error instanceof ApiError && error.status === 409) this.key = "";
  }
}

class EditBody extends Widget implements Dialog.IBodyWidget<string> {
  private readonly text: HTMLTextAreaElement;

  constructor(text: string, label: string) {
    super();
    this.text = make("textarea", { class: "wb-edit", rows: 18, cols: 80, spellcheck: "false", "aria-label": label });
    this.text.value = text;
    this.node.append(this.text);
  }

  getValue(): string {
    return this.text.value;
  }
}
