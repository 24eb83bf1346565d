import { fstatSync, write } from "node:fs";
import { isatty } from "node:tty";
import type { Writable } from "node:stream";
import { promisify } from "node:util";
import type { Outlet } from "./sink.ts";
import { wholeLines } from "./whole-lines.ts";

const BATCH_CHARACTERS = 64 * 1024;
const STDOUT = 1;

/** Writes lines to standard output. A reader that stopped reading holds up nothing but this. */
export function stdoutOutlet(): Outlet {
  return isFileLike(STDOUT) ? descriptorOutlet(STDOUT) : streamOutlet(process.stdout);
}

/** Writes lines to a stream: for pipes, sockets and terminals, where what failed once has failed for good. */
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

/** Node's stream over a file takes a write for whole that was cut short, and is dead after one that failed: a disk heals. */
function descriptorOutlet(descriptor: number): Outlet {
  const whole = wholeLines();
  const writeSome = promisify(write);
  return {
    batchCharacters: BATCH_CHARACTERS,
    send: (lines) =>
      whole.write(lines, async (bytes) => (await writeSome(descriptor, bytes, 0, bytes.length, null)).bytesWritten),
    reopen: () => {},
    close: () => Promise.resolve(),
  };
}

function isFileLike(descriptor: number): boolean {
  try {
    const found = fstatSync(descriptor);
    return found.isFile() || (found.isCharacterDevice() && !isatty(descriptor));
  } catch {
    // Closed, or not to be asked: the stream says what is wrong with it.
    return false;
  }
}
