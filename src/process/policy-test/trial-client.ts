import type { Duplex } from "node:stream";
import type { TrialRoom } from "./trial-room.ts";

/** The client's side of a trial: says a command, waits for the whole reply. */
export interface TrialReply {
  readonly code: number;
  /** `550 5.7.1 No`: lines joined, the code once. */
  readonly text: string;
}

const PATIENCE_MS = 60_000;

export class TrialClient {
  readonly #socket: Duplex;
  readonly #clock: TrialRoom["clock"];
  #heard = "";
  #isClosed = false;
  #wake: () => void = () => {};

  constructor(socket: Duplex, clock: TrialRoom["clock"]) {
    this.#socket = socket;
    this.#clock = clock;
    socket.on("data", (bytes: Buffer) => {
      this.#heard += bytes.toString("utf8");
      this.#wake();
    });
    const over = (): void => {
      this.#isClosed = true;
      this.#wake();
    };
    for (const event of ["end", "close", "error"]) socket.on(event, over);
  }

  /** Undefined: the server has ended the session, or says nothing. */
  async reply(): Promise<TrialReply | undefined> {
    for (;;) {
      const whole = /^(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n/.exec(this.#heard)?.[0];
      if (whole !== undefined) {
        this.#heard = this.#heard.slice(whole.length);
        return replyOf(whole);
      }
      if (this.#isClosed) return undefined;
      const isLate = await new Promise<boolean>((resolve) => {
        const timer = this.#clock.after(PATIENCE_MS, () => resolve(true));
        this.#wake = () => {
          timer.cancel();
          resolve(false);
        };
      });
      if (isLate) return undefined;
    }
  }

  say(line: string): Promise<TrialReply | undefined> {
    this.#socket.write(`${line}\r\n`);
    return this.reply();
  }

  send(content: Buffer): void {
    this.#socket.write(content);
  }

  /** As polite as a client can be, so that nothing of the session waits for anything. */
  async leave(): Promise<void> {
    if (!this.#isClosed) await this.say("QUIT");
    this.#socket.end();
  }
}

function replyOf(whole: string): TrialReply {
  const lines = whole.trimEnd().split(/\r?\n/);
  const [first = ""] = lines;
  const rest = lines.slice(1).map((line) => line.slice(4).replace(/^\d\.\d{1,3}\.\d{1,3} /, ""));
  return {
    code: Number(first.slice(0, 3)),
    text: [`${first.slice(0, 3)} ${first.slice(4)}`.trimEnd(), ...rest].join(" "),
  };
}
