/** A plain table; drawn again only when its rows have changed. */

import { make } from "./dom.ts";

const drawn = new WeakMap<HTMLElement, string>();

export function drawTable(place: HTMLElement, heads: string[], rows: (string | number)[][], caption = ""): void {
  const key = JSON.stringify([heads, rows]);
  if (drawn.get(place) === key) return;
  drawn.set(place, key);
  const head = make("tr", {}, heads.map((name) => make("th", { scope: "col" }, [name])));
  const body = rows.map((row) => make("tr", {}, row.map((value) => make("td", {}, [String(value)]))));
  const table = make("table", {}, [make("thead", {}, [head]), make("tbody", {}, body)]);
  if (caption) table.prepend(make("caption", {}, [caption]));
  place.replaceChildren(table);
}
