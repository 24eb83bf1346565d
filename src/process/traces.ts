import type { TraceAdmin, TraceShown } from "../admin/control/admin.ts";
import type { Clock } from "../foundation/clock.ts";
import { messageOf, PosthornError } from "../foundation/error.ts";
import type { Emit } from "../foundation/events.ts";
import { DecryptedDumps } from "../service/tls/tracer/decrypted-dump.io.ts";
import { targetText, withoutSwitch, withSwitch, type TraceSwitch } from "../service/tls/tracer/trace-switches.ts";
import * as events from "./events.ts";

/**
 * The switches of `posthorn trace tls`, kept by the server's first process until they end, and its files of decrypted
 * content. `tell` gives all that hold to every process with TLS connections.
 */
export class Traces implements TraceAdmin {
  readonly #clock: Clock;
  readonly #emit: Emit;
  readonly #tell: (switches: readonly TraceSwitch[]) => void;
  readonly #dumps: DecryptedDumps;
  readonly #paths = new Map<string, string>();
  #switches: readonly TraceSwitch[] = [];
  #made = 0;

  constructor(parts: {
    clock: Clock;
    emit: Emit;
    directory: string;
    tell: (switches: readonly TraceSwitch[]) => void;
  }) {
    this.#clock = parts.clock;
    this.#emit = parts.emit;
    this.#tell = parts.tell;
    this.#dumps = new DecryptedDumps({
      directory: parts.directory,
      clock: parts.clock,
      onTrouble: (problem) => parts.emit(events.traceTrouble, { problem }),
    });
  }

  /** For a process that has just begun. */
  get switches(): readonly TraceSwitch[] {
    return this.#switches;
  }

  async set(wish: Parameters<TraceAdmin["set"]>[0]): Promise<TraceShown> {
    const { target, level, forMs, decryptedBytes } = wish;
    const now = this.#clock.now();
    const untilAt = now + forMs;
    let decrypted: TraceSwitch["decrypted"];
    if (decryptedBytes !== undefined) {
      const time = new Date(now).toISOString().replaceAll(/[:.]/g, "-");
      const file = `decrypted-${time}-${++this.#made}.txt`;
      try {
        this.#paths.set(file, await this.#dumps.open(file, decryptedBytes, untilAt));
      } catch (thrown) {
        throw new PosthornError("CONTROL_REFUSED", {
          message: `the file for decrypted content cannot be made: ${messageOf(thrown)}`,
          advice: "look at the space and the rights of the folder traces in the state directory",
          cause: thrown,
        });
      }
      decrypted = { file, bytes: decryptedBytes };
    }
    const made: TraceSwitch = { target, level, untilAt, decrypted };
    this.#replace(withSwitch(this.#switches, made, now));
    this.#emit(events.traceSet, {
      target: targetText(target),
      trace: level,
      untilAt,
      decrypted: this.#pathOf(made),
    });
    return this.#shown(made);
  }

  async remove(target: Parameters<TraceAdmin["remove"]>[0]): Promise<{ readonly removed: number }> {
    const before = await this.list();
    this.#replace(withoutSwitch(this.#switches, target, this.#clock.now()));
    const removed = before.length - (await this.list()).length;
    if (removed > 0) this.#emit(events.traceEnded, { target: target === undefined ? "all" : targetText(target) });
    return { removed };
  }

  list(): Promise<readonly TraceShown[]> {
    const now = this.#clock.now();
    return Promise.resolve(this.#switches.filter((one) => one.untilAt > now).map((one) => this.#shown(one)));
  }

  /** Decrypted lines from a process of ours. */
  dump(file: string, text: string): void {
    this.#dumps.write(file, text);
  }

  close(): void {
    this.#dumps.closeAll();
  }

  #replace(next: readonly TraceSwitch[]): void {
    const files = new Set(next.map(({ decrypted }) => decrypted?.file));
    for (const { decrypted } of this.#switches) {
      if (decrypted === undefined || files.has(decrypted.file)) continue;
      this.#dumps.close(decrypted.file);
      this.#paths.delete(decrypted.file);
    }
    this.#switches = next;
    this.#tell(next);
  }

  #pathOf({ decrypted }: TraceSwitch): string | undefined {
    return decrypted === undefined ? undefined : this.#paths.get(decrypted.file);
  }

  #shown(one: TraceSwitch): TraceShown {
    const { target, level, untilAt } = one;
    return { target, level, untilAt, decryptedInto: this.#pathOf(one) };
  }
}
