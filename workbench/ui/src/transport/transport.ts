/**
 * Where a run's events come from. Three ways bring the same: the server's WebSocket (or polling), a kernel's comm, and
 * a list that stands in a page.
 */

import type { RunEvent } from "../core/events.ts";
import type { RunState } from "../core/state.ts";

export interface Connection {
  /** connecting, live, lost (trying again), detached (the kernel does not answer), dead (no engine), failed (for good), ended (no more to come). */
  kind: "connecting" | "live" | "lost" | "detached" | "dead" | "failed" | "ended";
  message?: string;
  /** With `detached`: whether it is the kernel that does the run. */
  inKernel?: boolean;
  /** With `live`: whether commands to the run reach it from here; unknown where it is not said. */
  steered?: boolean;
  /** With `ended`: whether the run came to its end, or its log just stops. */
  finished?: boolean;
}

export interface Receiver {
  readonly runId: string;
  /** The number of the last event that has arrived. */
  seq(): number;
  /** False if events before these are missing: ask again from `seq()`. */
  events(events: RunEvent[]): boolean;
  snapshot(state: RunState): boolean;
  connection(connection: Connection): void;
}

export interface Transport {
  start(receiver: Receiver): void;
  close(): void;
}
