import { connect } from "node:net";
import { once } from "node:events";
import { StringDecoder } from "node:string_decoder";
import { messageOf, PosthornError, systemCodeOf } from "../../foundation/error.ts";
import type { ControlClient } from "./control.ts";
import type { AnswerOf } from "./operations.ts";
import type { ItemOf, StreamName } from "./streams.ts";
import { CONTROL_VERSION, LineSplitter, LONGEST_ANSWER, type Answer } from "./protocol.ts";

const CONNECT_MS = 5_000;
/** Portions that wait to be used. */
const MOST_WAITING = 8;

/** Throws `CONTROL_UNREACHABLE` with what to do: no server, or not allowed. */
export async function connectControl(path: string): Promise<ControlClient> {
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
  const end = (error: Error): void => {
    problem ??= error;
    wake?.();
  };
  socket.on("data", (bytes: Buffer) => {
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
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  /** Items as they come; returns the value of the end. */
  async function* exchange(name: string, args: unknown): AsyncGenerator<readonly unknown[], unknown, void> {
    const id = ++lastId;
    socket.write(`${JSON.stringify({ v: CONTROL_VERSION, id, do: name, with: args ?? {} })}\n`);
    for (;;) {
      const answer = await nextAnswer();
      if ("items" in answer) yield answer.items;
      else if (answer.ok) return answer.value;
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

function unreachable(path: string, thrown: unknown): PosthornError {
  const advice: Readonly<Record<string, string>> = {
    ENOENT:
      "is the server running, with these settings? (posthornd -f FILE, posthorn COMMAND -f FILE; posthorn send --file FILE) " +
      "One that was started before `state` or `control` was changed in them listens where it did, and a reload cannot move it: " +
      "end it (posthorn stop -f FILE with the settings it began with, systemctl stop, or kill PID), then start it",
    ECONNREFUSED: "the server is not running; start it with posthornd",
    EACCES: "this user may not; see control.query and control.change in the settings, or use root",
    EPERM: "this user may not; see control.query and control.change in the settings, or use root",
  };
  return new PosthornError("CONTROL_UNREACHABLE", {
    message: `cannot speak with the server through ${path}: ${messageOf(thrown)}`,
    advice: advice[systemCodeOf(thrown) ?? ""] ?? "the server's log may say more",
    cause: thrown,
  });
}

function codeOf(code: string): PosthornError["code"] {
  // Codes are for programs; a newer server may have one that this client does not know, and its text says enough.
  return code as PosthornError["code"];
}
