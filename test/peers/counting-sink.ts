import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { setTimeout as wait } from "node:timers/promises";
import { inPeer } from "./running.ts";
import { freePort } from "../server.ts";

/** A next host that takes everything (or fails as it is told), keeps nothing, and counts: Debian's smtp-sink. */
export interface CountingSink extends AsyncDisposable {
  readonly port: number;
  readonly pid: number;
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
  // It writes after each message. Into a file, which is read when somebody asks: through a pipe each of them would wake us, and take
  // from the processors what is measured.
  const folder = mkdtempSync(`${tmpdir()}/posthorn-sink-`);
  const file = openSync(`${folder}/count`, "w+");
  const child = spawn(program, argv, { stdio: ["ignore", file, "inherit"] });
  const block = Buffer.alloc(256);
  /** `sess=1 quit=0 mesg=17`; the last of them counts. */
  const last = (what: "sess" | "mesg"): number => {
    const at = Math.max(0, fstatSync(file).size - block.length);
    const text = block.toString("latin1", 0, readSync(file, block, 0, block.length, at));
    // Whoever reads while it writes sees no half a number: what stands behind it must be there.
    return Number([...text.matchAll(new RegExp(`${what}=(\\d+)[^\\d]`, "g"))].at(-1)?.[1] ?? 0);
  };
  await wait(300);
  if (child.exitCode !== null) throw new Error(`smtp-sink ended with ${child.exitCode}`);
  return {
    port,
    pid: child.pid ?? 0,
    get sessions() {
      return last("sess");
    },
    get messages() {
      return last("mesg");
    },
    async waitFor(count, withinMs) {
      const untilAt = performance.now() + withinMs;
      for (;;) {
        if (last("mesg") >= count) return;
        if (performance.now() > untilAt) throw new Error(`${last("mesg")} of ${count} messages came to the sink`);
        await wait(5);
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await once(child, "exit");
      closeSync(file);
      rmSync(folder, { recursive: true });
    },
  };
}
