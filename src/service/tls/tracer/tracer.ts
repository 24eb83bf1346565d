import type { Clock } from "../../../foundation/clock.ts";
import { escapeControls } from "../../../foundation/escape.ts";
import type { TlsRole } from "../facts.ts";
import type { Direction } from "../flight/flight.ts";
import { TraceBoard } from "./trace-switches.ts";
import type { TracedConnection, TraceLevel, TraceSettings, TraceSwitch } from "./trace-switches.ts";
import type { WireWatch } from "../tls.ts";
import { wireTrace } from "./wire-trace.ts";

/** Hides what is secret in a dialogue: the protocol knows what that is. Gives back text, one character a byte. */
export interface Masker {
  mask(side: "client" | "server", bytes: Uint8Array): string;
}

/** A connection that a handshake begins on. */
export interface Traceable extends TracedConnection {
  readonly role: TlsRole;
  readonly session: string;
}

export interface ConnectionTrace {
  readonly level: TraceLevel;
  /** For the engine; undefined where nobody looks. */
  readonly watch: WireWatch | undefined;
}

/**
 * What one process shows of its TLS connections. The lines of a trace go where the stage's log goes; decrypted content goes
 * to `dump` and nowhere else, with its secrets hidden before that.
 */
export class Tracer {
  readonly #clock: Clock;
  readonly #board: TraceBoard;
  readonly #newMasker: () => Masker;
  readonly #dump: (file: string, text: string) => void;
  #bytesLimit: number;
  /** What this process has given to each file of decrypted content. */
  readonly #given = new Map<string, number>();

  constructor(options: {
    clock: Clock;
    settings: TraceSettings & { readonly most: number };
    newMasker: () => Masker;
    dump: (file: string, text: string) => void;
  }) {
    this.#clock = options.clock;
    this.#board = new TraceBoard(options.clock, options.settings);
    this.#bytesLimit = options.settings.most;
    this.#newMasker = options.newMasker;
    this.#dump = options.dump;
  }

  /** All that hold now. */
  take(switches: readonly TraceSwitch[]): void {
    this.#board.take(switches);
    const files = new Set(switches.map(({ decrypted }) => decrypted?.file));
    for (const file of this.#given.keys()) if (!files.has(file)) this.#given.delete(file);
  }

  settings(settings: TraceSettings & { readonly most: number }): void {
    this.#board.settings(settings);
    this.#bytesLimit = settings.most;
  }

  /** What holds for a connection from its handshake on. */
  begin(connection: Traceable, tell: (line: string) => void): ConnectionTrace {
    const { level, decrypted } = this.#board.for(connection);
    const trace = wireTrace({ level, bytesLimit: this.#bytesLimit, tell });
    const dump = decrypted === undefined ? undefined : this.#dumping(connection, decrypted);
    if (dump === undefined) return { level, watch: trace };
    return { level, watch: { ...trace, decrypted: dump } };
  }

  #dumping(
    { role, session }: Traceable,
    { decrypted, untilAt }: TraceSwitch,
  ): ((direction: Direction, bytes: Uint8Array) => void) | undefined {
    if (decrypted === undefined) return undefined;
    const { file, bytes: most } = decrypted;
    const masker = this.#newMasker();
    return (direction, bytes) => {
      const now = this.#clock.now();
      const given = this.#given.get(file) ?? 0;
      // An end of the switch ends running dumps too, and the bound holds for all connections together.
      if (now >= untilAt || given >= most) return;
      const side = (direction === "in") === (role === "server") ? "client" : "server";
      const text = dumpText(masker.mask(side, bytes), { now, session, mark: side === "client" ? "C" : "S" });
      this.#given.set(file, given + text.length);
      if (text !== "") this.#dump(file, text);
    };
  }
}

/** The time of day, UTC, and who said it; one line for each line, without anything that a terminal would act on. */
function dumpText(text: string, about: { now: number; session: string; mark: string }): string {
  if (text === "") return "";
  const time = timeOfDay(about.now);
  const lines = text.split(/(?<=\n)/);
  return lines
    .map((line) => `${time} ${about.session} ${about.mark}: ${escapeControls(line.replace(/\r?\n$/, ""))}\n`)
    .join("");
}

/** `06:41:48.123`, UTC. */
function timeOfDay(now: number): string {
  const digits = (value: number, size: number): string => String(Math.floor(value)).padStart(size, "0");
  const hours = digits((now / 3_600_000) % 24, 2);
  return `${hours}:${digits((now / 60_000) % 60, 2)}:${digits((now / 1000) % 60, 2)}.${digits(now % 1000, 3)}`;
}
