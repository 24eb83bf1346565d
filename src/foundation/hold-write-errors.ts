import type { Duplex } from "node:stream";

type WriteDone = (error?: Error | null) => void;

/** Who hears of a stream's write errors; a later holder takes the place of an earlier one. */
const holders = new WeakMap<Duplex, (error: Error) => void>();

/**
 * A failed write makes Node destroy the stream at once, with whatever the kernel holds unread: the `421` or `552` that
 * explains the hang-up would be lost, and so would a close_notify. `_write` and `_writev` are the documented places where
 * a stream's writing is defined; here they keep the error to themselves, and the reading side goes on to its own end.
 * The write that failed never completes: whoever holds must see to it that nobody waits for it.
 */
export function holdWriteErrors(stream: Duplex, onError: (error: Error) => void): void {
  const isHeld = holders.has(stream);
  holders.set(stream, onError);
  if (isHeld) return;
  const hold =
    (done: WriteDone): WriteDone =>
    (error) => {
      if (error === undefined || error === null) done();
      else holders.get(stream)?.(error);
    };
  const write = stream._write.bind(stream);
  stream._write = (chunk, encoding, done) => write(chunk, encoding, hold(done));
  const writev = stream._writev?.bind(stream);
  if (writev !== undefined && stream._writev !== null) stream._writev = (chunks, done) => writev(chunks, hold(done));
}
