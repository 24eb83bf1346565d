import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import { inPeer } from "./running.ts";
import { freePort } from "../server.ts";

/** A next host that takes everything (or fails as it is told), keeps nothing, and counts: Debian's smtp-sink. */
export interface CountingSink extends AsyncDisposable {
  readonly port: number;
  readonly messages: number;
  readonly sessions: number;
  /** Resolves when so many have come since it began; throws when they have not within the limit. */
  waitFor(messages: number, withinMs: number): Promise<void>;
}

/** @param options.failure options of smtp-sink: `-Q rcpt` answers RCPT with 421 and closes */
export async function startCountingSink(
  options: { readonly address?: string; readonly failure?: readonly string[] } = {},
): Promise<CountingSink> {
  const port = await freePort();
  const { address = "127.0.0.1", failure = [] } = options;
  const [program, argv] = inPeer("postfix", [
    "smtp-sink",
    "-u",
    "postfix",
    "-c",
    ...failure,
    `${address}:${port}`,
    "1000",
  ]);
  const child = spawn(program, argv, { stdio: ["ignore", "pipe", "inherit"] });
  let messages = 0;
  let sessions = 0;
  child.stdout.on("data", (bytes: Buffer) => {
    // `sess=1 quit=0 mesg=17`, after each message; the last one counts.
    sessions = Number([...bytes.toString("latin1").matchAll(/sess=(\d+)/g)].at(-1)?.[1] ?? sessions);
    messages = Number(/mesg=(\d+)[^=]*$/.exec(bytes.toString("latin1"))?.[1] ?? messages);
  });
  await wait(300);
  if (child.exitCode !== null) throw new Error(`smtp-sink ended with ${child.exitCode}`);
  return {
    port,
    get sessions() {
      return sessions;
    },
    get messages() {
      return messages;
    },
    async waitFor(count, withinMs) {
      const untilAt = performance.now() + withinMs;
      for (;;) {
        if (messages >= count) return;
        if (performance.now() > untilAt) throw new Error(`${messages} of ${count} messages came to the sink`);
        await wait(5);
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}
