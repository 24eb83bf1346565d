import { connect } from "node:net";
import { once } from "node:events";
import { StringDecoder } from "node:string_decoder";
import { messageOf, PosthornError, systemCodeOf } from "../../foundation/error.ts";
import type { ControlClient } from "./control.ts";
import type { AnswerOf } from "./operations.ts";
import type { ItemOf, StreamName } from "./streams.ts";
import { CONTROL_VERSION, LineSplitter, LONGEST_ANSWER, type Answer } from "./protocol.ts";

const CONNECT_MS = 5_000;
/** A server that lives gives a sign every 5 s, however long an answer takes (`serve-client.io.ts`). */
const SILENCE_MS = 30_000;
/** Silence is counted in turns: a client that was stopped (Ctrl-Z) has missed the time, and not what was said in it. */
const TURNS = 6;
/** Portions that wait to be used. */
const MOST_WAITING = 8;

/**
 * Throws `CONTROL_UNREACHABLE` with what to do where there is no server, or none that answers; `CONTROL_REFUSED` where this user
 * may not ask it.
 */
export async function connectControl(path: string, silenceMs = SILENCE_MS): Promise<ControlClient> {
  const socket = connect(path);
  try {
    await once(socket, "connect", { signal: AbortSignal.timeout(CONNECT_MS) });
  } catch (thrown) {
    socket.destroy();
    throw unreachable(path, thrown);
  }
  const decoder = new StringDecoder("utf8");
  const lines = new LineSplitter(LONGEST_ANSWER);
  const answers: Answer[] = [];
  let problem: Error | undefined;
  let wake: (() => void) | undefined;
  let lastId = 0;
  let quietTurns = 0;
  const end = (error: Error): void => {
    problem ??= error;
    wake?.();
  };
  socket.on("data", (bytes: Buffer) => {
    quietTurns = 0;
    const whole = lines.push(decoder.write(bytes));
    if (whole === undefined) {
      socket.destroy(new Error("the server's answer is too long"));
      return;
    }
    try {
      // The server is ours; what is no JSON here is another program's socket.
      for (const line of whole) answers.push(JSON.parse(line) as Answer);
    } catch (thrown) {
      socket.destroy(new Error(`what answers there is no Posthorn: ${messageOf(thrown)}`));
    }
    if (answers.length > MOST_WAITING) socket.pause();
    wake?.();
  });
  socket.on("error", end);
  socket.on("close", () => end(new Error("the server closed the connection")));

  const nextAnswer = async (): Promise<Answer> => {
    for (;;) {
      const answer = answers.shift();
      if (answer !== undefined) {
        if (answers.length === 0) socket.resume();
        return answer;
      }
      if (problem !== undefined) throw unreachable(path, problem);
      const turn = setInterval(() => {
        if (++quietTurns < TURNS) return;
        const problem = `it has said nothing for ${Math.round(silenceMs / 1000)} seconds`;
        end(Object.assign(new Error(problem), { code: SILENT }));
        socket.destroy();
      }, silenceMs / TURNS);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      clearInterval(turn);
    }
  };
  /** Items as they come; returns the value of the end. */
  async function* exchange(name: string, args: unknown): AsyncGenerator<readonly unknown[], unknown, void> {
    const id = ++lastId;
    quietTurns = 0;
    socket.write(`${JSON.stringify({ v: CONTROL_VERSION, id, do: name, with: args ?? {} })}\n`);
    for (;;) {
      const answer = await nextAnswer();
      if ("items" in answer) {
        // None: a sign of life.
        if (answer.items.length > 0) yield answer.items;
      } else if (answer.ok) return answer.value;
      else throw new PosthornError(codeOf(answer.error.code), answer.error);
    }
  }
  // What the items of a stream are its name says (`ItemOf`); the server is of the same version.
  async function* portions<Name extends StreamName>(
    name: Name,
    args: unknown,
  ): AsyncGenerator<readonly ItemOf[Name][], void, void> {
    let isOver = false;
    try {
      const exchanged = exchange(name, args);
      for (;;) {
        const step = await exchanged.next();
        isOver = step.done === true;
        if (step.done === true) return;
        yield step.value as readonly ItemOf[Name][];
      }
    } finally {
      if (!isOver) socket.destroy();
    }
  }
  return {
    async call(name, args) {
      const rows: unknown[] = [];
      const exchanged = exchange(name, args);
      for (;;) {
        const step = await exchanged.next();
        // An answer without a value is a list, possibly empty, or nothing at all; which one the operation's type says.
        if (step.done === true) return (step.value ?? rows) as AnswerOf<typeof name>;
        for (const row of step.value) rows.push(row);
      }
    },
    portions,
    async *stream(name, args) {
      for await (const items of portions(name, args)) yield* items;
    },
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

const SILENT = "SILENT";
const HANGS =
  "it is stopped, or hangs: its log and `ps` may say why (kill -CONT PID lets a stopped one go on). What it was asked it may still do";
const MAY_NOT =
  "this user may not: use root, or set control.query.group and control.change.group to a group of this user";

function unreachable(path: string, thrown: unknown): PosthornError {
  const advice: Readonly<Record<string, string>> = {
    ENOENT:
      "no server listens there: start it (posthornd -f FILE), or name the settings that it has (posthorn COMMAND -f FILE, posthorn send --file FILE). " +
      "One that was started before `state` or `control` was changed in them listens where it did, and a reload cannot move it: " +
      "end it (posthorn stop -f FILE with the settings it began with, systemctl stop, or kill PID), then start it",
    ECONNREFUSED: "the server is not running; start it with posthornd",
    EACCES: MAY_NOT,
    EPERM: MAY_NOT,
    // Nobody takes connections, and no more may wait.
    EAGAIN: HANGS,
    ABORT_ERR: HANGS,
    [SILENT]: HANGS,
  };
  const code = systemCodeOf(thrown) ?? "";
  const what = code === "ABORT_ERR" ? `it takes no connection within ${CONNECT_MS / 1000} seconds` : messageOf(thrown);
  return new PosthornError(code === "EACCES" || code === "EPERM" ? "CONTROL_REFUSED" : "CONTROL_UNREACHABLE", {
    message: `cannot speak with the server through ${path}: ${what}`,
    advice: advice[code] ?? "the server's log may say more",
    cause: thrown,
  });
}

function codeOf(code: string): PosthornError["code"] {
  // Codes are for programs; a newer server may have one that this client does not know, and its text says enough.
  return code as PosthornError["code"];
}
