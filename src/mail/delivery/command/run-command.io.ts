import { spawn, type ChildProcess } from "node:child_process";
import { constants } from "node:os";
import { childEnvironment } from "../../../foundation/child-environment.ts";
import type { Clock, Timer } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import { Turns } from "../../../foundation/turns.ts";
import { inThreadAs, startAs } from "../../../foundation/ffi/identity.io.ts";
import type { RunAs } from "../../../foundation/ffi/identity.ts";
import type { CommandEnd, CommandErrand, CommandRunner } from "./command.ts";
import { GRACE_MS, type EndableCommand, type RunningCommands } from "./running-commands.ts";
import type { CommandSettings } from "./settings.ts";

/** What a command leaves in the background may keep its output open; nobody waits longer for that. */
const REST_OF_OUTPUT_MS = 500;
/**
 * For so long mail waits for a place among commands of its user of which none ends. Then it is put off, for whoever waits here
 * holds one of the places of all local deliveries.
 */
const PATIENCE_MS = 15_000;

/**
 * The shell goes home first, by itself: a home on a file server that hangs holds it up, not us. Where there is none (the
 * default user's) it works in the root directory.
 */
const SCRIPT = 'umask 077; cd "$HOME" 2>/dev/null || cd /; exec /bin/sh -c "$0"';

/** `content` gives what the command is to read; it rejects when the queue's copy cannot be read. */
export function commandRunner(parts: {
  readonly clock: Clock;
  readonly settings: CommandSettings;
  readonly content: (errand: CommandErrand) => AsyncIterable<Uint8Array>;
  readonly running: RunningCommands;
}): CommandRunner {
  const { clock, settings, running } = parts;
  const turns = new Turns({ most: settings.concurrency, mostPerKey: settings.perUser });

  const run = async (errand: CommandErrand): Promise<CommandEnd> => {
    const content = parts.content(errand)[Symbol.asyncIterator]();
    try {
      // The beginning is read before anything is started: what cannot be read starts nothing.
      const first = await content.next();
      if (running.isOver) return { kind: "stopped", output: "" };
      return await new Running(errand, clock, settings).end(first, content, running);
    } catch (thrown) {
      return { kind: "trouble", text: messageOf(thrown) };
    } finally {
      await content.return?.().catch(() => {});
    }
  };
  /** When a command of that user began last, while any runs. */
  const begun = new Map<string, { at: number; running: number }>();
  const inTurn = async (key: string, errand: CommandErrand): Promise<CommandEnd> => {
    const now = begun.get(key) ?? { at: 0, running: 0 };
    begun.set(key, now);
    now.at = clock.monotonicMs();
    now.running++;
    try {
      return await run(errand);
    } finally {
      if (--now.running === 0) begun.delete(key);
    }
  };
  return {
    finish: (withinMs) => running.finish(withinMs),
    async run(errand) {
      const key = String(errand.as?.uid ?? -1);
      const cameAt = clock.monotonicMs();
      const patience = new AbortController();
      let timer: Timer | undefined;
      let hasBegun = false;
      const look = (): void => {
        const leftMs = (begun.get(key)?.at ?? cameAt) + PATIENCE_MS - clock.monotonicMs();
        if (leftMs <= 0) patience.abort(new Error(`the commands of ${errand.user.name} that run do not end`));
        else timer = clock.after(leftMs, look);
      };
      const end = turns.take(
        () => {
          hasBegun = true;
          timer?.cancel();
          return inTurn(key, errand);
        },
        { key, patience: patience.signal },
      );
      if (!hasBegun) look();
      try {
        return await end;
      } catch (thrown) {
        return { kind: "trouble", text: messageOf(thrown) };
      } finally {
        timer?.cancel();
      }
    },
  };
}

class Running {
  readonly #clock: Clock;
  readonly #settings: CommandSettings;
  readonly #child: ChildProcess;
  readonly #as: RunAs | undefined;
  readonly #ended: Promise<{ readonly status: number | null; readonly signal: string | null } | Error>;
  #output: Buffer[] = [];
  #outputBytes = 0;
  #isOver = false;

  constructor({ command, as, environment }: CommandErrand, clock: Clock, settings: CommandSettings) {
    this.#clock = clock;
    this.#settings = settings;
    this.#as = as;
    const start = (program: string, args: readonly string[]): ChildProcess =>
      spawn(program, args, {
        cwd: "/",
        env: childEnvironment(environment),
        // A session of its own: what it starts can be ended with it, and none of it has our terminal.
        detached: true,
        stdio: ["pipe", "pipe", "pipe"],
      });
    const args = ["-c", SCRIPT, command];
    this.#child = as === undefined ? start("/bin/sh", args) : startAs(as, "/bin/sh", args, start);
    this.#ended = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(error));
      this.#child.once("exit", (status, signal) => resolve({ status, signal }));
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (bytes: Buffer) => this.#take(bytes));
      stream?.on("error", () => {});
    }
    // A command need not read all it is given: then its exit status counts, not the broken pipe.
    this.#child.stdin?.on("error", () => {});
  }

  async end(
    first: IteratorResult<Uint8Array>,
    content: AsyncIterator<Uint8Array>,
    running: RunningCommands,
  ): Promise<CommandEnd> {
    const { deadline } = this.#settings;
    let cutOff: "deadline" | "stopped" | undefined;
    let trouble: string | undefined;
    const abandoned = Promise.withResolvers<{ readonly status: null; readonly signal: null }>();
    const tellToEnd = (graceMs: number): void => {
      timer.cancel();
      this.#signal("SIGTERM");
      timer = this.#clock.after(graceMs, () => {
        this.#signal("SIGKILL");
        // One that hangs in the kernel, or has become somebody whom we may not end, is left behind.
        timer = this.#clock.after(graceMs, () => abandoned.resolve({ status: null, signal: null }));
      });
    };
    let timer = this.#clock.after(deadline, () => {
      cutOff = "deadline";
      tellToEnd(GRACE_MS);
    });
    const endable: EndableCommand = {
      end(graceMs) {
        cutOff ??= "stopped";
        tellToEnd(graceMs);
      },
    };
    running.add(endable);
    void this.#feed(first, content).catch((thrown: unknown) => {
      // It has a part of the mail and must not take it for the whole: it never sees the end.
      trouble = messageOf(thrown);
      this.#signal("SIGKILL");
    });
    const ended = await Promise.race([this.#ended, abandoned.promise]);
    running.delete(endable);
    timer.cancel();
    this.#isOver = true;
    this.#child.stdin?.destroy();
    // What it started and did not wait for goes, too, where its time was over.
    if (cutOff !== undefined || trouble !== undefined) this.#signal("SIGKILL");
    await this.#restOfOutput();
    const output = Buffer.concat(this.#output).toString("utf8");
    if (trouble !== undefined) return { kind: "trouble", text: trouble };
    if (ended instanceof Error) return { kind: "trouble", text: `the command could not be started: ${ended.message}` };
    if (cutOff === "deadline") return { kind: "deadline", afterMs: deadline, output };
    if (cutOff === "stopped") return { kind: "stopped", output };
    if (ended.signal !== null) return { kind: "signal", signal: signalText(ended.signal), output };
    return { kind: "exit", status: ended.status ?? 0, output };
  }

  async #feed(first: IteratorResult<Uint8Array>, content: AsyncIterator<Uint8Array>): Promise<void> {
    const { stdin } = this.#child;
    // Nothing at all where we have no descriptors left (EMFILE).
    if (stdin === null || stdin === undefined) return;
    for (let next = first; next.done !== true; next = await content.next()) {
      if (this.#isOver || stdin.destroyed) return;
      if (stdin.write(next.value)) continue;
      await new Promise<void>((resolve) => {
        stdin.once("drain", resolve);
        stdin.once("close", resolve);
      });
    }
    stdin.end();
  }

  #take(bytes: Buffer): void {
    const room = this.#settings.output - this.#outputBytes;
    if (room <= 0) return;
    const kept = bytes.subarray(0, room);
    this.#output.push(Buffer.from(kept));
    this.#outputBytes += kept.length;
  }

  async #restOfOutput(): Promise<void> {
    const streams = [this.#child.stdout, this.#child.stderr].filter(
      (stream) => stream !== null && stream !== undefined,
    );
    const closed = Promise.all(
      streams.map(
        (stream) =>
          new Promise<void>((resolve) => {
            if (stream.closed) resolve();
            else stream.once("close", resolve);
          }),
      ),
    );
    const rest = Promise.withResolvers<void>();
    const timer = this.#clock.after(REST_OF_OUTPUT_MS, () => rest.resolve());
    await Promise.race([closed, rest.promise]);
    timer.cancel();
    for (const stream of streams) stream.destroy();
  }

  /** To all of its process group. What is gone already needs none. */
  #signal(signal: "SIGTERM" | "SIGKILL"): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    const send = (): void => {
      try {
        process.kill(-pid, signal);
      } catch {
        // ESRCH: nothing of it lives.
      }
    };
    // As the user: whatever has this number by now, nobody else's process is meant.
    if (this.#as === undefined) send();
    else inThreadAs(this.#as, send);
  }
}

function signalText(name: string): string {
  const number = Object.entries(constants.signals).find(([each]) => each === name)?.[1];
  return number === undefined ? name : `${number} (${name})`;
}
