import { fdatasync, openSync, writev } from "node:fs";
import type { BareKeeping } from "./bare-keeping.ts";

/** All mail in one file, that is only added to: one sync for all that waits. */
export function keepInFile(path: string): BareKeeping {
  const log = openSync(path, "a");
  let waiting: { readonly bytes: Buffer; readonly done: () => void }[] = [];
  let isWriting = false;

  const add = (bytes: Buffer, done: () => void): void => {
    waiting.push({ bytes, done });
    // What the sockets of this turn bring shares a sync.
    if (!isWriting) setImmediate(write);
  };
  const write = (): void => {
    if (isWriting || waiting.length === 0) return;
    isWriting = true;
    const group = waiting;
    waiting = [];
    const fail = (error: Error | null): void => {
      if (error !== null) throw error;
    };
    writev(
      log,
      group.map(({ bytes }) => bytes),
      (error) => {
        fail(error);
        fdatasync(log, (error) => {
          fail(error);
          isWriting = false;
          write();
          for (const { done } of group) done();
        });
      },
    );
  };
  return {
    keep: ({ from, to, content }, done) => add(Buffer.from(`${from}\n${to}\n${content}`, "latin1"), done),
    forget: () => add(Buffer.from("sent\n"), () => {}),
  };
}
