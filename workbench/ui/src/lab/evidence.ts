/**
 * What a person decides by, as nodes: where a row came from, what it did, what it gives on its examples, its history.
 *
 * In: the answers of `library/KIND/ROW`. Out: a node for each part, null where there is nothing to show. Text goes into
 * the page through `make` and `write` alone. Neighbours: `library` puts the parts together.
 */

import { oneLine } from "../core/visible.ts";
import { plural, type Translate } from "../panel/context.ts";
import { make } from "../panel/dom.ts";
import { drawTable } from "../panel/table.ts";
import type { LibraryRow } from "./api.ts";

const MOST_RUNS = 8;
const VALUE_CHARS = 160;

/** How often a row was shown and used, and whether it helped; empty where it was never shown and never measured. */
export function record(tr: Translate, row: Pick<LibraryRow, "usage" | "helped">): string {
  const { retrieved = 0, used = 0, solved = 0, unsolved = 0 } = row.usage ?? {};
  const told = retrieved || used ? tr("offered in %1, used in %2; solved %3, not solved %4", plural(tr, retrieved, "%1 run", "%1 runs"), used, solved, unsolved) : "";
  return [told, effect(tr, row.helped)].filter(Boolean).join(" · ");
}

function effect(tr: Translate, found: LibraryRow["helped"]): string {
  if (!found) return "";
  const [low, high] = found.interval.map((one) => signed(one));
  const verdict = { helped: tr("helped"), hurt: tr("hurt") }[found.verdict] ?? tr("helped or hurt: unclear");
  return tr("%1: %2 with it, %3 without, difference %4 (%5 to %6, %7 cases)", verdict, percent(found.rate_with), percent(found.rate_without), signed(found.difference), low, high, found.cases);
}

/** Where a row came from: a person, files, or runs, which can be opened. */
export function origin(tr: Translate, provenance: any, open: (runId: string) => void): HTMLElement | null {
  const runs: string[] = Array.isArray(provenance?.runs) ? provenance.runs.filter((one: unknown) => typeof one === "string") : [];
  const facts = Object.entries(provenance?.evidence ?? {}).map(([name, value]) => `${name.replaceAll("_", " ")}: ${short(value)}`);
  const known = new Set(["runs", "events", "evidence", "source"]);
  for (const [name, value] of Object.entries(provenance ?? {})) if (!known.has(name)) facts.push(`${name.replaceAll("_", " ")}: ${short(value)}`);
  const from = runs.length ? tr("learnt from %1", plural(tr, runs.length, "%1 run", "%1 runs")) : provenance?.source ? tr("from: %1", short(provenance.source)) : "";
  const line = [from, ...facts].filter(Boolean).join(" · ");
  if (!line) return null;
  const links = runs.slice(0, MOST_RUNS).map((run) => make("button", { type: "button", class: "wb-button wb-small", click: () => open(run) }, [run]));
  return make("div", {}, [make("p", { class: "wb-fact" }, [line]), make("div", { class: "wb-row" }, links)]);
}

/** Examples as a table: what is asked, what comes out. */
export function examples(tr: Translate, found: unknown): HTMLElement | null {
  const rows = (Array.isArray(found) ? found : []).map((one) => [one?.text ?? one?.call ?? given(one?.arguments), one?.result ?? one?.answer ?? ""].map(short));
  return rows.length ? table([tr("example"), tr("result")], rows) : null;
}

/** What became of trying: a sentence, and each call with what it gave. */
export function tried(tr: Translate, answer: any): HTMLElement {
  const calls: any[] = Array.isArray(answer?.calls) ? answer.calls : [];
  const agree = calls.filter((call) => !call.error && call.agrees !== false).length;
  const sentence = calls.length
    ? tr("%1 of %2 calls gave what they should (%3).", agree, calls.length, short(answer.isolation || tr("in process")))
    : answer?.text ? tr("This is how a prompt shows it:") : tr("It has no examples that it could be tried on.");
  const parts: HTMLElement[] = [make("p", { class: answer?.passed === false ? "wb-fact wb-error" : "wb-fact" }, [sentence])];
  if (calls.length) {
    const rows = calls.map((call) => [given(call.arguments), short(call.error ?? call.result), short(call.expected ?? ""), call.error || call.agrees === false ? "✗" : "✓"]);
    parts.push(table([tr("call"), tr("gave"), tr("should give"), ""], rows));
  } else if (answer?.text) parts.push(make("pre", { tabindex: 0 }, [String(answer.text)]));
  return make("div", { role: "status", class: "wb-tried" }, parts);
}

/** The versions, newest first. */
export function history(tr: Translate, found: unknown): HTMLElement | null {
  const versions = Array.isArray(found) ? [...found].reverse() : [];
  const lines = versions.map((one) => {
    const when = new Date(one.time * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    return make("li", {}, [[tr("version %1", one.version), one.action, one.state, one.author, when, one.note].filter(Boolean).map(short).join(" · ")]);
  });
  return lines.length ? make("ul", { class: "wb-versions" }, lines) : null;
}

function table(heads: string[], rows: string[][]): HTMLElement {
  const place = make("div", { class: "wb-table", tabindex: 0 });
  drawTable(place, heads, rows);
  return place;
}

function given(values: unknown): string {
  return Object.entries((values ?? {}) as object).map(([name, value]) => `${name} = ${short(value)}`).join(", ");
}

function short(value: unknown): string {
  return oneLine(typeof value === "string" ? value : (JSON.stringify(value) ?? ""), VALUE_CHARS);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

function signed(share: number): string {
  return `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(0)} %`;
}
