import { Socket } from "node:net";

/**
 * A socket that goes on reading when writing fails. A scanner that has seen enough says so and closes; whoever is still
 * writing then meets a broken pipe, and Node's own socket throws away what has come and was not read yet: the answer.
 */
export class HearingSocket extends Socket {
  #writeFailure: Error | undefined;

  /** Nothing written from now on arrives. What can still be read will be, up to the end or the error behind it. */
  get writeFailure(): Error | undefined {
    return this.#writeFailure;
  }

  override _write(chunk: unknown, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    super._write(chunk, encoding, this.#swallowing(done));
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], done: (error?: Error | null) => void): void {
    super._writev?.(chunks, this.#swallowing(done));
  }

  #swallowing(done: (error?: Error | null) => void): (error?: Error | null) => void {
    return (error) => {
      this.#writeFailure ??= error ?? undefined;
      done();
    };
  }
}
