import { spawn, type ChildProcess } from "node:child_process";
import { childEnvironment } from "./child-environment.ts";
import { messageOf } from "./error.ts";
import { lineSplitter } from "./line-splitter.ts";

/**
 * A program of somebody else's that is spoken with in lines: ours to its standard input, its answers from standard output,
 * and what it writes to standard error for people. It runs in a session of its own, so that nothing of it is left when it
 * is ended by force.
 */
export interface LineProgram {
  /** Adds the line's end; several lines may stand in one text. False when more waits for the program than it reads: see `unreadBytes`. */
  say(line: string): boolean;
  /** Undefined when it could not be started. */
  readonly pid: number | undefined;
  /** Our bytes that the program has not taken yet. */
  readonly unreadBytes: number;
  /** Closes its standard input, for it to end in good order; by force after `graceMs`. Resolves when it has ended. */
  end(graceMs: number): Promise<void>;
  /** Whether its lines are read. Who can't keep up with them lets them wait; those that were read already still come. */
  listen(isListening: boolean): void;
  /** Ends it and what it started, at once. `onEnd` is told as always; no line comes after this. */
  kill(): void;
}

export interface LineProgramOptions {
  /** The program and its arguments; no shell is between. */
  readonly command: readonly string[];
  /** Longer lines of the program end it. */
  readonly mostLineBytes: number;
  /** `latin1`: a character is a byte, both ways, for protocols whose lines carry content. */
  readonly encoding?: "utf8" | "latin1" | undefined;
  readonly onLine: (line: string) => void;
  /** A line of standard error, cut to a bearable length. */
  readonly onComplaint: (line: string) => void;
  /** The program has taken what had to wait. */
  readonly onDrain?: (() => void) | undefined;
  /** Told once, when there is nothing more to come; the text says how it ended: `ended with code 1`. */
  readonly onEnd: (text: string) => void;
}

/** Never throws: a program that cannot be started has ended, and `onEnd` says why. */
export function startLineProgram(options: LineProgramOptions): LineProgram {
  const [program = "", ...args] = options.command;
  const { encoding = "utf8" } = options;
  let child: ChildProcess | undefined;
  let hasEnded = false;
  let isKilled = false;
  let whyKilled: string | undefined;
  const { promise: ended, resolve: tellEnded } = Promise.withResolvers<void>();
  const end = (text: string): void => {
    if (hasEnded) return;
    hasEnded = true;
    options.onEnd(whyKilled ?? text);
    tellEnded();
  };
  const kill = (): void => {
    isKilled = true;
    if (child?.pid === undefined || hasEnded) return;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  };
  try {
    child = spawn(program, args, {
      cwd: "/",
      env: childEnvironment(ENVIRONMENT),
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
  } catch (thrown) {
    setImmediate(() => end(`cannot be started: ${messageOf(thrown)}`));
  }
  child?.once("error", (error) => end(`cannot be started: ${messageOf(error)}`));
  child?.once("exit", (code, signal) => {
    const text = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
    // What it wrote last is on its way; whoever inherited its output must not keep us waiting.
    const patience = setTimeout(() => {
      child?.stdout?.destroy();
      child?.stderr?.destroy();
      end(text);
    }, LAST_WORDS_MS);
    child?.once("close", () => {
      clearTimeout(patience);
      end(text);
    });
  });
  // A program that ended does not read: its end is told, this is not.
  child?.stdin?.on("error", () => {});
  child?.stdin?.on("drain", () => options.onDrain?.());
  child?.stdout?.on("error", () => {});
  child?.stderr?.on("error", () => {});
  const hear = lineSplitter(
    options.mostLineBytes,
    (line) => {
      if (!isKilled) options.onLine(line);
    },
    () => {
      whyKilled = `wrote a line of more than ${options.mostLineBytes} bytes`;
      kill();
    },
    encoding,
  );
  child?.stdout?.on("data", (chunk: Uint8Array) => hear(chunk));
  hearComplaints(child, options.onComplaint);
  return {
    say(line) {
      if (hasEnded || isKilled || child?.stdin?.writable !== true) return false;
      return child.stdin.write(`${line}\n`, encoding);
    },
    get pid() {
      return child?.pid;
    },
    get unreadBytes() {
      return child?.stdin?.writableLength ?? 0;
    },
    async end(graceMs) {
      if (hasEnded) return;
      child?.stdin?.end();
      const force = setTimeout(kill, graceMs);
      await ended;
      clearTimeout(force);
    },
    listen(isListening) {
      if (isListening) child?.stdout?.resume();
      else child?.stdout?.pause();
    },
    kill,
  };
}

/** Programs get what they need to run, and nothing of what the server was started with. */
const ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LANG: "C.UTF-8",
  ...(process.env["TZ"] === undefined ? {} : { TZ: process.env["TZ"] }),
};
const LAST_WORDS_MS = 500;
const MOST_COMPLAINT_CHARACTERS = 500;

/** Longer lines are cut, not refused: they are for people. */
function hearComplaints(child: ChildProcess | undefined, onComplaint: (line: string) => void): void {
  let rest = "";
  const tell = (line: string): void => {
    const text = line.trimEnd();
    if (text !== "") onComplaint(text.slice(0, MOST_COMPLAINT_CHARACTERS));
  };
  child?.stderr?.setEncoding("utf8");
  child?.stderr?.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    // The rest of a line without an end is kept as long as it would be told.
    rest = (lines.pop() ?? "").slice(0, MOST_COMPLAINT_CHARACTERS);
    for (const line of lines) tell(line);
  });
  child?.stderr?.on("end", () => tell(rest));
}
