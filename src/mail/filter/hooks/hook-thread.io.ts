import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../../foundation/clock.io.ts";
import { messageOf, PosthornError } from "../../../foundation/error.ts";
import { bodyPieces } from "./body-pieces.ts";
import { stagesOf } from "./hooks.ts";
import { loadHooks } from "./load-module.io.ts";
import type { MessageSource } from "./message.ts";
import type { HookMailVerdict } from "./read-answer.ts";
import { askHook, judgeByHook, placed, type HookCall, type HooksInUse } from "./run-hooks.ts";
import { strayCatcher } from "./stray-failures.io.ts";
import type { FromHooks, HookThreadTask, ThreadEdit, ThreadMailVerdict, ToHooks } from "./thread-messages.ts";

/** The thread that hooks run in. It knows no disk but its module's, and answers whatever it is asked; its filter has the deadlines. */

/** Of a new body, so that a piece never holds the other side up. */
const PIECE_BYTES = 64 * 1024;

const port = parentPort;
if (port !== null) {
  const say = (message: FromHooks): void => port.postMessage(message);
  const task = workerData as HookThreadTask; // What thread-filter.io.ts gave.
  const withStrays = strayCatcher((thrown) => say({ say: "strayed", text: placed(thrown) }));
  try {
    const hooks = await withStrays(() => loadHooks(task, systemClock));
    serve({ hooks, where: task.file }, withStrays, say, (hear) => port.on("message", hear));
    say({ say: "ready", stages: [...stagesOf(hooks)] });
  } catch (thrown) {
    say({ say: "unusable", text: messageOf(thrown) });
  }
}

type Asked = Extract<ToHooks, { do: "ask" | "judge" }>;

/** Those who wait for something of the other side. */
interface Waiting<Value> {
  resolve(value: Value): void;
  reject(because: Error): void;
}

function serve(
  inUse: HooksInUse,
  withStrays: ReturnType<typeof strayCatcher>,
  say: (message: FromHooks) => void,
  onMessage: (hear: (message: ToHooks) => void) => void,
): void {
  const states = new Map<number, Record<string, unknown>>();
  const open = new Map<number, AbortController>();
  const reading = new Map<number, Waiting<Uint8Array | undefined>>();
  const giving = new Map<number, Waiting<void>>();
  let reads = 0;

  const answer = async ({ id, dialogue, now }: Asked, work: (call: HookCall) => Promise<void>): Promise<void> => {
    const controller = new AbortController();
    open.set(id, controller);
    const state = states.get(dialogue) ?? {};
    states.set(dialogue, state);
    try {
      await withStrays(() => work({ state, now, signal: controller.signal }));
    } catch (thrown) {
      const advice = thrown instanceof PosthornError ? thrown.advice : "see the hooks' module";
      say({ say: "failed", id, text: messageOf(thrown), advice });
    } finally {
      open.delete(id);
    }
  };
  async function* bodyOf(id: number): AsyncGenerator<Uint8Array> {
    const read = ++reads;
    try {
      for (;;) {
        const piece = await new Promise<Uint8Array | undefined>((resolve, reject) => {
          reading.set(read, { resolve, reject });
          say({ say: "want", id, read });
        });
        if (piece === undefined) return;
        yield piece;
      }
    } finally {
      reading.delete(read);
      say({ say: "enough", read });
    }
  }
  const give = (id: number, at: number, bytes: Uint8Array | undefined): Promise<void> =>
    new Promise((resolve, reject) => {
      giving.set(id, { resolve, reject });
      say({ say: "piece", id, at, bytes });
    });
  /** Bodies go ahead of the verdict that speaks of them. */
  const giveBodies = async (id: number, { edits, ...rest }: HookMailVerdict): Promise<ThreadMailVerdict> => {
    const left: ThreadEdit[] = [];
    for (const [at, edit] of edits.entries()) {
      if (edit.edit !== "new-body") {
        left.push(edit);
        continue;
      }
      for await (const bytes of bodyPieces(edit.body))
        for (let from = 0; from < bytes.length; from += PIECE_BYTES)
          await give(id, at, Uint8Array.from(bytes.subarray(from, from + PIECE_BYTES)));
      await give(id, at, undefined);
      left.push({ edit: "new-body" });
    }
    return { ...rest, edits: left };
  };

  onMessage((message) => {
    switch (message.do) {
      case "ask": {
        const { id, question } = message;
        void answer(message, async (call) => {
          say({ say: "verdict", id, verdict: await askHook(inUse, question, call) });
        });
        return;
      }
      case "judge": {
        const { id, facts, trace, header, sizeBytes } = message;
        const source: MessageSource = { facts, trace, header, sizeBytes, body: { read: () => bodyOf(id) } };
        void answer(message, async (call) => {
          say({ say: "judged", id, verdict: await giveBodies(id, await judgeByHook(inUse, source, call)) });
        });
        return;
      }
      case "piece": {
        const waiting = reading.get(message.read);
        reading.delete(message.read);
        if (message.failure === undefined) waiting?.resolve(message.bytes);
        else waiting?.reject(new Error(message.failure));
        return;
      }
      case "taken": {
        const waiting = giving.get(message.id);
        giving.delete(message.id);
        if (message.failure === undefined) waiting?.resolve();
        else waiting?.reject(new Error(message.failure));
        return;
      }
      case "cancel": {
        const because = new Error("nobody waits for this answer any more");
        open.get(message.id)?.abort(because);
        giving.get(message.id)?.reject(because);
        giving.delete(message.id);
        return;
      }
      case "end":
        states.delete(message.dialogue);
        return;
      case "ping":
        say({ say: "pong" });
    }
  });
}
