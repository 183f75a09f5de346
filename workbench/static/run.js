// One run, live in a notebook.
//
// In: the model's `snapshot`, plain values (see workbench/snapshot.py). Out: DOM nodes, kept and changed in place, so
// that a selection or a scrolled lane survives the next snapshot, and the message {type: "stop"}. Whatever a model, a
// tool or a person wrote goes into the page through `textContent` only.

const COLOURS = ["#2a8fbd", "#b0589a", "#b7801f", "#4f74c9", "#3d9a5f", "#c8553d", "#6a8f2f", "#8a63c9"];
const SIGNS = { writing: "…", planned: "◌", running: "◐", succeeded: "✓", failed: "✗" };
const AT_END_PX = 24;
const drawnRows = new WeakMap();

function render({ model, el }) {
  const view = frame(el, () => model.send({ type: "stop" }));
  const draw = () => update(view, model.get("snapshot"));
  model.on("change:snapshot", draw);
  draw();
  return () => model.off("change:snapshot", draw);
}

function frame(el, stop) {
  el.classList.add("workbench-run");
  const head = add(el, "div", "head");
  const status = add(head, "span", "status");
  status.setAttribute("role", "status"); // the only live region: tokens would never stop talking
  status.setAttribute("aria-live", "polite");
  const title = add(head, "span", "title");
  const counters = add(head, "span", "counters quiet");
  const button = add(head, "button", "stop");
  button.type = "button";
  write(button, "Stop");
  button.addEventListener("click", () => {
    button.disabled = true;
    stop();
  });
  const lanes = add(el, "div", "lanes");
  const outcome = add(el, "section", "outcome");
  label(outcome, "Answer");
  outcome.hidden = true;
  const error = add(outcome, "div", "answer-text");
  const answer = add(outcome, "div", "answer-text");
  const items = add(outcome, "div", "items");
  const calls = add(el, "details", "calls");
  const callsTitle = add(calls, "summary", "");
  const callsTable = add(calls, "div", "");
  return { status, title, counters, button, lanes, byWorker: new Map(), outcome, error, answer, items, calls, callsTitle, callsTable };
}

function update(view, snapshot) {
  if (!snapshot || !snapshot.counters) return;
  const running = snapshot.status === "running";
  const count = snapshot.lanes.length;
  write(view.status, running ? "running" : snapshot.status);
  write(view.title, [snapshot.model, plural(count, "worker"), snapshot.layout, snapshot.run_id].filter(Boolean).join(" · "));
  write(view.counters, figures(snapshot.counters));
  view.button.hidden = !running;
  snapshot.lanes.forEach((lane, at) => updateLane(laneOf(view, lane.worker, at), lane));
  write(view.error, snapshot.error);
  write(view.answer, snapshot.answer);
  const answered = snapshot.items.some((item) => item.answer !== null);
  view.outcome.hidden = !(snapshot.answer || snapshot.error || answered);
  const items = answered ? snapshot.items.map((i) => [i.item, i.question, i.answer ?? "none", i.worker ?? ""]) : [];
  table(view.items, ["item", "question", "answer", "worker"], items);
  view.calls.hidden = snapshot.calls.length === 0;
  write(view.callsTitle, plural(snapshot.calls.length, "call"));
  const calls = snapshot.calls.map((c) => [c.worker, c.label, c.state, c.result, c.wall_s]);
  table(view.callsTable, ["worker", "call", "state", "result", "took s"], calls);
}

function figures(counters) {
  return [
    plural(counters.steps, "step"),
    `${counters.tokens_per_s.toFixed(1)} tokens/s`,
    `cache ${plural(counters.cache_tokens, "token")}`,
    plural(counters.calls, "call") + (counters.calls_running ? `, ${counters.calls_running} running` : ""),
    `${counters.wall_s.toFixed(1)} s`,
  ].join(" · ");
}

function laneOf(view, worker, at) {
  const known = view.byWorker.get(worker);
  if (known) return known;
  const section = add(view.lanes, "section", "lane");
  section.setAttribute("role", "region");
  label(section, `Worker ${worker}`);
  section.style.setProperty("--lane", COLOURS[at % COLOURS.length]);
  const head = add(section, "div", "lane-head");
  write(add(head, "span", "name"), worker);
  const state = add(head, "span", "quiet");
  const words = add(section, "div", "words");
  words.tabIndex = 0; // so that it can be scrolled with the keyboard
  label(words, `Text of ${worker}`);
  words.setAttribute("role", "group");
  const lane = { state, words, spans: new Map() };
  view.byWorker.set(worker, lane);
  return lane;
}

function updateLane(lane, shown) {
  write(lane.state, `${shown.state.replaceAll("_", " ")} · ${plural(shown.tokens, "token")}`);
  const words = lane.words;
  const wasAtEnd = words.scrollHeight - words.scrollTop - words.clientHeight < AT_END_PX;
  const now = new Set(shown.spans.map((span) => span.id));
  for (const [id, node] of lane.spans) {
    if (!now.has(id)) {
      node.remove();
      lane.spans.delete(id);
    }
  }
  for (const span of shown.spans) updateSpan(lane, span);
  if (wasAtEnd) words.scrollTop = words.scrollHeight;
}

function updateSpan(lane, span) {
  let node = lane.spans.get(span.id);
  if (!node) {
    node = document.createElement("div");
    node.className = span.kind;
    if (span.kind === "call") for (const part of ["sign", "label", "result"]) add(node, "span", part);
    const next = [...lane.spans].filter(([id]) => id > span.id).sort(([a], [b]) => a - b)[0];
    lane.words.insertBefore(node, next ? next[1] : null);
    lane.spans.set(span.id, node);
  }
  if (span.kind !== "call") {
    const said = span.kind === "injected" && span.source !== "header" ? `[${span.source}] ` : "";
    write(node, said + span.text.replace(/^\n+|\n+$/g, ""));
    return;
  }
  node.dataset.state = span.state;
  const [sign, text, result] = node.children;
  write(sign, SIGNS[span.state] ?? "");
  sign.setAttribute("role", "img");
  label(sign, span.state);
  write(text, ` ${span.label}`);
  write(result, span.result ? ` → ${span.result}` : "");
}

function table(place, heads, rows) {
  const key = JSON.stringify(rows);
  if (drawnRows.get(place) === key) return;
  drawnRows.set(place, key);
  place.replaceChildren();
  if (rows.length === 0) return;
  const made = add(place, "table", "");
  const head = add(add(made, "thead", ""), "tr", "");
  for (const name of heads) {
    const cell = add(head, "th", "");
    cell.scope = "col";
    write(cell, name);
  }
  const body = add(made, "tbody", "");
  for (const row of rows) {
    const line = add(body, "tr", "");
    for (const value of row) write(add(line, "td", ""), value);
  }
}

function add(parent, tag, className) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  parent.appendChild(node);
  return node;
}

function write(node, value) {
  const text = String(value);
  if (node.textContent !== text) node.textContent = text;
}

function label(node, text) {
  node.setAttribute("aria-label", text);
}

function plural(number, thing) {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}

export default { render };
