import { createWriteStream, mkdirSync, type WriteStream } from "node:fs";
import { join } from "node:path";
import type { Clock, Timer } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";

interface Dump {
  readonly stream: WriteStream;
  readonly most: number;
  size: number;
  timer: Timer;
  isOver: boolean;
}

/**
 * Files of decrypted content: each of its own, readable by its owner only, with a time at which it ends and a size it does
 * not pass. What these files hold goes nowhere else.
 */
export class DecryptedDumps {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #onTrouble: (text: string) => void;
  readonly #dumps = new Map<string, Dump>();

  constructor(options: { directory: string; clock: Clock; onTrouble: (text: string) => void }) {
    this.#directory = options.directory;
    this.#clock = options.clock;
    this.#onTrouble = options.onTrouble;
  }

  /** The path of a new file. Rejects when it cannot be made, or is there already. */
  async open(file: string, most: number, untilAt: number): Promise<string> {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const path = join(this.#directory, file);
    const stream = createWriteStream(path, { flags: "wx", mode: 0o600 });
    await new Promise((resolve, reject) => {
      stream.once("open", resolve);
      stream.once("error", reject);
    });
    const end = new Date(untilAt).toISOString();
    stream.write(
      `Decrypted content of TLS connections, until ${end}, ${most} bytes at most. AUTH is hidden; mail is not.\n`,
    );
    const dump: Dump = {
      stream,
      most,
      size: 0,
      timer: this.#clock.after(Math.max(0, untilAt - this.#clock.now()), () => this.close(file)),
      isOver: false,
    };
    stream.on("error", (error) => {
      this.#onTrouble(`${path}: ${messageOf(error)}`);
      this.#forget(file);
    });
    this.#dumps.set(file, dump);
    return path;
  }

  write(file: string, text: string): void {
    const dump = this.#dumps.get(file);
    if (dump === undefined || dump.isOver) return;
    const bytes = Buffer.byteLength(text);
    if (dump.size + bytes > dump.most) {
      dump.isOver = true;
      dump.stream.write(`more than ${dump.most} bytes: the rest is left out\n`);
      return;
    }
    dump.size += bytes;
    dump.stream.write(text);
  }

  close(file: string): void {
    const dump = this.#dumps.get(file);
    this.#forget(file);
    dump?.stream.end();
  }

  closeAll(): void {
    for (const file of this.#dumps.keys()) this.close(file);
  }

  #forget(file: string): void {
    this.#dumps.get(file)?.timer.cancel();
    this.#dumps.delete(file);
  }
}
