import type { Writable } from "node:stream";
import type { Outlet } from "./sink.ts";

const BATCH_CHARACTERS = 64 * 1024;

/** Writes lines to standard output. A reader that stopped reading holds up nothing but this. */
export function streamOutlet(stream: Writable): Outlet {
  let problem: Error | undefined;
  // Without a listener a closed pipe (EPIPE) would end the process.
  const onError = (error: Error): void => {
    problem = error;
  };
  stream.on("error", onError);
  return {
    batchCharacters: BATCH_CHARACTERS,
    send: (lines) =>
      new Promise((resolve, reject) => {
        if (problem !== undefined) {
          reject(problem);
          return;
        }
        stream.write(lines.map((line) => `${line.text}\n`).join(""), (error) => (error ? reject(error) : resolve()));
      }),
    reopen: () => {},
    close: () => Promise.resolve(),
  };
}
