/**
 * The events of one run as far as they have come, the state of now, and the state of any earlier step.
 *
 * In: events and snapshots from a transport, in any portions. Out: `live`, and `at(step)`, the time machine.
 * Events are taken once and in order: what comes twice is passed over, and a gap is told to the transport
 * (`missing`), which asks again from `live.seq`.
 */

import type { RunEvent } from "./events.ts";
import { fold, foldAll, interrupt, newState, type RunState } from "./state.ts";

export class History {
  live: RunState;
  readonly events: RunEvent[] = [];
  /** For every engine step, how many of `events` there are up to the end of it. */
  private readonly ends: number[] = [];
  private readonly stepOf: number[] = [];
  private base: RunState | null = null;
  private past: { state: RunState; taken: number } | null = null;

  constructor(runId: string) {
    this.live = newState(runId);
  }

  /** Go on from a state that somebody else folded; what came before it cannot be scrubbed to. */
  startFrom(state: RunState): void {
    if (state.seq <= this.live.seq) return;
    this.base = structuredClone(state);
    this.live = state;
    this.events.length = this.ends.length = this.stepOf.length = 0;
    this.past = null;
  }

  /** Take these events in; returns false if there is a gap before them. */
  add(events: Iterable<RunEvent>): boolean {
    for (const event of events) {
      if (event.seq <= this.live.seq) continue;
      if (event.seq !== this.live.seq + 1) return false;
      if (this.live.status === "interrupted") this.live = foldAll(this.events, this.start());
      this.events.push(event);
      fold(this.live, event);
      if (event.kind === "tokens_added") {
        this.ends.push(this.events.length);
        this.stepOf.push(this.live.step);
      } else if (this.ends.length > 0) {
        this.ends[this.ends.length - 1] = this.events.length;
      }
    }
    return true;
  }

  /** The log just stops: nobody goes on with the run; with the next event somebody does. */
  interrupted(): void {
    if (this.live.status === "running") interrupt(this.live);
  }

  /** How many moments there are to scrub to: one for each step, and the beginning. */
  get moments(): number {
    return this.ends.length;
  }

  /** The engine step of a moment; moment 0 is before the first step. */
  stepAt(moment: number): number {
    return moment <= 0 ? (this.base?.step ?? 0) : this.stepOf[Math.min(moment, this.ends.length) - 1];
  }

  momentOf(step: number): number {
    let low = 0;
    let high = this.stepOf.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.stepOf[middle] < step) low = middle + 1;
      else high = middle;
    }
    return Math.min(low + 1, this.moments);
  }

  /** The engine step in which an event fell. */
  stepOfSeq(seq: number): number {
    const first = this.events[0]?.seq ?? 1;
    const count = seq - first + 1;
    let moment = 0;
    while (moment < this.ends.length && this.ends[moment] <= count) moment += 1;
    return this.stepAt(moment);
  }

  /** The state as it was at a moment. Going forwards is cheap; going back folds from the beginning. */
  at(moment: number): RunState {
    const wanted = moment <= 0 ? Math.max(0, this.firstStep() - 1) : this.ends[Math.min(moment, this.ends.length) - 1];
    if (!this.past || this.past.taken > wanted) {
      this.past = { state: this.start(), taken: 0 };
    }
    while (this.past.taken < wanted) fold(this.past.state, this.events[this.past.taken++]);
    return this.past.state;
  }

  private start(): RunState {
    return this.base ? structuredClone(this.base) : newState(this.live.run_id);
  }

  private firstStep(): number {
    const at = this.events.findIndex((event) => event.kind === "tokens_added");
    return at < 0 ? this.events.length : at + 1;
  }
}
