import { spawn } from "node:child_process";
import { messageOf } from "../foundation/error.ts";

/**
 * Into the background: the same program again, in a session of its own, without a terminal. The one that the person
 * started waits until the server is up, or tells why it is not, so that the exit status of `posthornd` is the truth.
 */
export const BACKGROUND_MARK = "POSTHORN_BACKGROUND";

const UP_WITHIN_MS = 120_000;

type Said = { readonly kind: "up"; readonly text: string } | { readonly kind: "down"; readonly text: string };

/** Starts the program in the background. Resolves with what the person should read, and the exit status. */
export function startInBackground(argv: readonly string[]): Promise<{ status: number; text: string }> {
  const [entry = ""] = process.argv.slice(1);
  const child = spawn(process.execPath, [...process.execArgv, entry, ...argv], {
    detached: true,
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    env: { ...process.env, [BACKGROUND_MARK]: "1" },
  });
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      done(1, `the server is not up after ${UP_WITHIN_MS / 1000} s; its log says how far it came\n`);
    }, UP_WITHIN_MS);
    const done = (status: number, text: string): void => {
      clearTimeout(timer);
      child.removeAllListeners();
      if (child.connected) child.disconnect();
      child.unref();
      resolve({ status, text });
    };
    child.on("message", (message) => {
      // The child is this same program.
      const said = message as Said;
      if (said.kind === "up") done(0, said.text);
      else done(78, said.text);
    });
    child.on("error", (error) => done(71, `cannot start the background process: ${messageOf(error)}\n`));
    child.on("exit", (code, signal) => done(code ?? 70, `the server ended before it was up (${signal ?? code})\n`));
  });
}

/** In the background process: tells the waiting one how it went, once. */
export function tellStarter(said: Said): Promise<void> {
  return new Promise((resolve) => {
    if (process.env[BACKGROUND_MARK] === undefined || process.send === undefined || !process.connected) {
      resolve();
      return;
    }
    process.send(said, undefined, undefined, () => {
      if (process.connected) process.disconnect();
      resolve();
    });
  });
}
