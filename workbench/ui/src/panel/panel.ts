/**
 * The run panel: lanes, cache map, timeline with the attention ribbon, the graph of calls, steering, and the scrubber
 * that shows any earlier step.
 *
 * In: a `Transport`, which brings events and says how the connection stands. Out: one node to be put anywhere.
 * Everything is drawn from the `History`; while the scrubber stands in the past, the whole panel shows that moment.
 */

import { History } from "../core/history.ts";
import { tokensPerSecond, wallSeconds, type RunState } from "../core/state.ts";
import { oneLine, visible } from "../core/visible.ts";
import type { Connection, Transport } from "../transport/transport.ts";
import { CacheMap } from "./cachemap.ts";
import { can, modelName, plural, stateName, type Context, type Format } from "./context.ts";
import { Dag } from "./dag.ts";
import { closesItself, freshId, make, NextFrame, setAttribute, show, write } from "./dom.ts";
import { ForkForm } from "./fork.ts";
import { LanesView, running } from "./lanes.ts";
import { Outcome } from "./outcome.ts";
import { Scrubber } from "./scrubber.ts";
import { Steering } from "./steering.ts";
import { Timeline } from "./timeline.ts";

/** The pictures below the lanes are drawn at most so often while a run goes on. */
const PICTURES_MS = 200;

export class RunPanel {
  readonly node = make("div", { class: "wb-run" });
  readonly history: History;
  readonly steering: Steering;
  private readonly lanes: LanesView;
  private readonly cache: CacheMap;
  private readonly timeline: Timeline;
  private readonly dag: Dag;
  private readonly outcome: Outcome;
  private readonly scrubber: Scrubber;
  private readonly forking: ForkForm;
  private readonly status = make("span", { class: "wb-status" });
  private readonly said = make("span", { class: "wb-hidden", role: "status", "aria-live": "polite" });
  private readonly title = make("span", { class: "wb-title" });
  private readonly figures = make("div", { class: "wb-figures wb-quiet" });
  private readonly task: HTMLElement;
  private readonly banner = make("div", { class: "wb-banner", role: "status", hidden: true });
  private readonly exporting: HTMLElement;
  private readonly frame = new NextFrame(() => this.draw());
  private readonly pictures = new NextFrame(() => this.drawPictures(), PICTURES_MS);
  private readonly resized: ResizeObserver;
  private connection: Connection = { kind: "connecting" };
  /** Kept when the run has ended, or was interrupted. */
  readonly ended: Promise<void>;
  private tellEnd: () => void = () => undefined;
  private moment: number | null = null;
  private parts: { [name: string]: HTMLElement } = {};

  private readonly context: Context;
  /** Whether commands reach the run from here. */
  private steered = true;

  constructor(
    given: Context,
    private readonly transport: Transport,
    runId: string,
  ) {
    this.ended = new Promise((done) => {
      this.tellEnd = done;
    });
    const context: Context = { ...given, send: (command, args) => void this.steering.send(command, args) };
    this.context = context;
    this.history = new History(runId);
    this.lanes = new LanesView(context);
    this.cache = new CacheMap(context);
    this.timeline = new Timeline(context, (step) => this.scrub(this.history.momentOf(step)));
    this.dag = new Dag(context);
    this.outcome = new Outcome(context);
    this.steering = new Steering(context);
    this.forking = new ForkForm(context, (changes) => this.steering.send("fork", changes));
    this.scrubber = new Scrubber(context, (moment) => this.scrub(moment), () => this.fork());
    this.task = make("details", { class: "wb-task" }, [make("summary", {}, [context.tr("Task")]), make("pre", { tabindex: 0 })]);
    this.exporting = this.exportButtons();
    this.layOut();
    this.resized = new ResizeObserver(() => this.pictures.ask());
    this.resized.observe(this.node);
    transport.start({
      runId,
      seq: () => this.history.live.seq,
      events: (events) => this.take(() => this.history.add(events)),
      snapshot: (state) => this.take(() => (this.history.startFrom(state), true)),
      connection: (connection) => this.connected(connection),
    });
    this.draw();
  }

  dispose(): void {
    this.transport.close();
    this.resized.disconnect();
    this.frame.cancel();
    this.pictures.cancel();
    this.node.remove();
  }

  /** Draw everything again: the theme or the size has changed. */
  refresh(): void {
    this.timeline.redraw();
    this.frame.ask();
  }

  get shownState(): RunState {
    return this.moment === null ? this.history.live : this.history.at(this.moment);
  }

  /** Show the run as it was at a moment; null: as it is now. */
  scrub(moment: number | null): void {
    this.moment = moment === null || moment >= this.history.moments ? null : Math.max(0, moment);
    this.frame.ask();
    this.drawPictures();
  }

  private take(work: () => boolean): boolean {
    const whole = work();
    this.frame.ask();
    return whole;
  }

  private connected(connection: Connection): void {
    this.connection = connection;
    this.steered = connection.steered ?? this.steered;
    if (connection.finished === false) this.history.interrupted();
    if (connection.kind === "ended") this.tellEnd();
    this.frame.ask();
  }

  private draw(): void {
    const state = this.shownState;
    const isLive = this.moment === null;
    this.drawHead(state, isLive);
    this.lanes.update(state, isLive, this.steered);
    this.steering.update(this.history.live, isLive && !["lost", "detached"].includes(this.connection.kind), this.steered);
    this.outcome.update(state);
    this.scrubber.update(this.history, this.moment, can(this.context, "fork"));
    this.pictures.ask();
  }

  private drawPictures(): void {
    const state = this.shownState;
    this.cache.update(state);
    this.dag.update(state);
    this.timeline.update(this.history.live.step > 0 ? state : this.history.live, this.history.live.step, this.moment === null ? null : state.step);
  }

  private drawHead(state: RunState, isLive: boolean): void {
    const { tr } = this.context;
    const live = this.history.live;
    const status = this.statusOf(state, isLive);
    const begins = status === "starting";
    write(this.status, isLive ? stateName(tr, status) : tr("step %1", state.step));
    setAttribute(this.status, "data-status", status);
    write(this.said, begins ? tr("The run is starting") : this.announcement(live));
    const workers = plural(tr, state.lanes.length, "%1 worker", "%1 workers");
    write(this.title, [oneLine(live.task, 90) || live.run_id].join(""));
    setAttribute(this.title, "title", visible(live.task));
    const calls = plural(tr, state.calls.length, "%1 call", "%1 calls");
    const active = running(state.calls);
    write(
      this.figures,
      begins ? [tr("Nothing has happened yet: the engine may still be loading its model."), live.run_id].join(" · ") : [
        modelName(live.model), workers, live.layout, plural(tr, state.steps, "%1 step", "%1 steps"), plural(tr, state.tokens, "%1 token", "%1 tokens"),
        tr("%1 tokens/s", tokensPerSecond(state).toFixed(0)), tr("%1 tokens in the cache", state.cached.toLocaleString("en-US")),
        active ? tr("%1, %2 running", calls, active) : calls, `${wallSeconds(state).toFixed(1)} s`, live.run_id,
      ].filter(Boolean).join(" · "),
    );
    write(this.task.lastElementChild!, live.task);
    show(this.task, live.task !== "");
    show(this.exporting, live.steps > 0);
    this.drawBanner();
  }

  private statusOf(state: RunState, isLive: boolean): string {
    if (!isLive) return "past";
    if (state.status !== "running") return state.status;
    if (state.seq === 0 && ["connecting", "live"].includes(this.connection.kind)) return "starting";
    return state.paused ? "paused" : "running";
  }

  private announcement(state: RunState): string {
    const { tr } = this.context;
    const asked = state.calls.filter((call) => call.state === "asked").length;
    if (asked) return plural(tr, asked, "%1 call waits for your approval", "%1 calls wait for your approval");
    const ended = state.lanes.filter((lane) => lane.state === "finished").length;
    if (state.status !== "running") return tr("The run has ended: %1", stateName(tr, state.status));
    if (state.hit) return tr("Paused at %1: %2", state.hit.breakpoint, state.hit.why);
    return state.paused ? tr("The run is paused") : tr("The run goes on, %1 of %2 workers have finished", ended, state.lanes.length);
  }

  private bannerKind(): string {
    const { kind, inKernel } = this.connection;
    if (kind === "live" && !this.steered && this.history.live.status === "running") return "elsewhere";
    if (kind === "detached" && inKernel) return "orphaned";
    if (kind === "dead" && this.context.actions !== null && !this.context.actions.restartEngine) return "gone";
    return kind;
  }

  private drawBanner(): void {
    const { tr, actions } = this.context;
    const runId = this.history.live.run_id;
    const kind = this.bannerKind();
    const messages: { [kind: string]: string } = {
      lost: tr("The connection is lost; trying again. What is shown is what had arrived."),
      detached: tr("Detached: the kernel does not answer. The run goes on in its engine; attach(%1) in a cell shows it again.", `"${runId}"`),
      orphaned: tr("Detached: the kernel that does this run does not answer. If it has ended, so has the run; the log is whole up to here."),
      dead: tr("The engine has ended unexpectedly. The log is whole up to here."),
      gone: tr("The process that did this run has ended. The log is whole up to here."),
      failed: this.connection.message ?? "",
      elsewhere: tr("A kernel or a terminal does this run: it can be watched here, and is steered where it was started."),
    };
    const message = messages[kind] ?? "";
    show(this.banner, message !== "");
    if (this.banner.dataset.kind === kind) return;
    this.banner.dataset.kind = kind;
    this.banner.replaceChildren(make("span", {}, [message]));
    if (kind === "dead" && actions?.restartEngine) {
      const restart = make("button", { type: "button", class: "wb-button wb-primary" }, [tr("Restart the engine")]);
      restart.addEventListener("click", () => {
        restart.disabled = true;
        actions.restartEngine!(this.history.live.model).catch((error: Error) => {
          write(this.banner.firstElementChild!, error.message);
          restart.disabled = false;
        });
      });
      this.banner.append(restart);
    }
  }

  private fork(): void {
    const step = this.moment === null ? null : this.shownState.step;
    this.forking.open(this.shownState, step);
  }

  private exportButtons(): HTMLElement {
    const { tr, actions } = this.context;
    const row = make("div", { class: "wb-row" });
    if (!actions?.export) return row;
    const menu = make("details", { class: "wb-menu wb-export" });
    const choice = (format: Format, text: string): HTMLElement => {
      const button = make("button", { type: "button", class: "wb-button" }, [text]);
      button.addEventListener("click", () => {
        menu.open = false;
        menu.querySelector("summary")!.focus();
        actions.export!(format).catch((error: Error) => {
          write(this.steering.refusal, error.message);
          show(this.steering.refusal, true);
        });
      });
      return button;
    };
    const choices = [choice("ipynb", tr("Notebook (.ipynb)")), choice("html", tr("Web page (.html)")), choice("json", tr("OpenTelemetry trace (.json)"))];
    menu.append(make("summary", { class: "wb-button" }, [tr("Export")]), make("div", { class: "wb-popover" }, choices));
    closesItself(menu);
    row.append(menu);
    return row;
  }

  private layOut(): void {
    const { tr } = this.context;
    const head = make("header", { class: "wb-head" }, [
      make("div", { class: "wb-head-line" }, [this.status, this.title, this.steering.buttons, this.exporting]), this.figures,
    ]);
    const section = (name: string, title: string, content: HTMLElement[]): HTMLElement => {
      const id = freshId();
      const made = make("section", { class: `wb-section wb-section-${name}`, "aria-labelledby": id }, [make("h3", { id }, [title]), ...content]);
      this.parts[name] = made;
      return made;
    };
    this.node.append(
      head, this.banner, this.steering.breaks.hit, this.steering.refusal, this.said, this.task, this.steering.saying, this.steering.queue, this.lanes.node,
      this.scrubber.node, this.forking.node,
      make("div", { class: "wb-pictures" }, [
        section("time", tr("Time and attention"), [this.timeline.node]),
        section("cache", tr("Cache map"), [this.cache.node]),
        section("calls", tr("Calls"), [this.dag.node]),
        section("outcome", tr("Answer"), [this.outcome.node]),
      ]),
    );
    this.outcome.shownIn(this.parts.outcome);
  }
}
