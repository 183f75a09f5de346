/**
 * A kernel's comm (an anywidget's custom messages), for places without the server extension.
 *
 * The page asks with {type: "since", seq}; the kernel answers with {type: "events", events}, and {type: "end"} when
 * there will be no more. Nothing that grows is kept in the widget's state.
 * What a person asks for goes as {type: "control", key, command, arguments}, answered by {type: "answer", key, refused}.
 */

import type { RunEvent } from "../core/events.ts";
import type { Receiver, Transport } from "./transport.ts";

export interface Comm {
  send(message: object): void;
  on(name: "msg:custom" | "comm_live_update", heard: (message: any) => void): void;
  off(name: "msg:custom" | "comm_live_update", heard: (message: any) => void): void;
}

/** A kernel that says nothing for so long is taken for gone: it says that it is there more often, also while it is busy. */
const SILENCE_MS = 10000;
/** After a restart of the kernel, which the page hears of, nobody waits so long. */
const ANSWER_MS = 2000;

export class CommTransport implements Transport {
  private receiver!: Receiver;
  private timer = 0;
  private ended = false;
  private readonly heard = (message: any): void => this.take(message);
  private readonly changed = (): void => this.ask(ANSWER_MS);

  /** inKernel: whether the kernel does the run, which then ends with it. */
  constructor(
    private readonly comm: Comm,
    private readonly inKernel = true,
  ) {}

  start(receiver: Receiver): void {
    this.receiver = receiver;
    this.comm.on("msg:custom", this.heard);
    this.comm.on("comm_live_update", this.changed);
    this.ask();
  }

  close(): void {
    this.ended = true;
    clearTimeout(this.timer);
    this.comm.off("msg:custom", this.heard);
    this.comm.off("comm_live_update", this.changed);
    try {
      this.comm.send({ type: "away" });
    } catch {
      // the kernel is gone, and with it who would have listened
    }
  }

  private take(message: any): void {
    if (message?.type === "events") {
      if (!this.receiver.events(message.events as RunEvent[])) this.ask();
      else this.receiver.connection({ kind: "live" });
    } else if (message?.type === "alive") {
      this.receiver.connection({ kind: "live" });
    } else if (message?.type === "end") {
      if (message.last_seq > this.receiver.seq()) return this.ask();
      this.ended = true;
      this.receiver.connection({ kind: "ended", finished: message.finished !== false });
    }
    this.watch();
  }

  private ask(patience = SILENCE_MS): void {
    if (this.ended) return;
    try {
      this.comm.send({ type: "since", seq: this.receiver.seq() });
    } catch {
      this.detached();
    }
    this.watch(patience);
  }

  private watch(patience = SILENCE_MS): void {
    clearTimeout(this.timer);
    if (this.ended) return;
    this.timer = window.setTimeout(() => {
      this.detached();
      this.ask();
    }, patience);
  }

  private detached(): void {
    this.receiver.connection({ kind: "detached", inKernel: this.inKernel });
  }
}
