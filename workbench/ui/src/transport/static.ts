/** A run that stands in the page: an exported notebook, an HTML file. Nothing is fetched. */

import type { RunEvent } from "../core/events.ts";
import type { Receiver, Transport } from "./transport.ts";

export class StaticTransport implements Transport {
  constructor(private readonly recorded: RunEvent[]) {}

  start(receiver: Receiver): void {
    receiver.events(this.recorded);
    receiver.connection({ kind: "ended", finished: this.recorded.at(-1)?.kind === "run_finished" });
  }

  close(): void {}
}
