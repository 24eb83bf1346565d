import type { SinkLine } from "./sink.ts";

/** Writes as many of the bytes as there is room for, and says how many; rejects when not one could be written. */
export type WriteSome = (bytes: Buffer) => Promise<number>;

/**
 * Lines into a file that may stop taking them in the middle of one (a full disk): what comes again after a failure goes on
 * where the file ends, so that no line there is torn and none comes twice.
 */
export interface WholeLines {
  write(lines: readonly SinkLine[], writeSome: WriteSome): Promise<void>;
  /** What comes next goes into another file: a line that the old one has the beginning of is written anew. */
  startAnew(): void;
}

/** What of a line is to be written yet. */
interface Part {
  readonly line: SinkLine;
  readonly rest: Buffer;
}

export function wholeLines(): WholeLines {
  // By identity: lines that were put back in the buffer come again as the same objects, maybe in other company.
  const written = new WeakSet<SinkLine>();
  let begun: Part | undefined;

  return {
    async write(lines, writeSome) {
      const pending = lines.filter((line) => !written.has(line) && line !== begun?.line);
      const parts: Part[] = pending.map((line) => ({ line, rest: Buffer.from(`${line.text}\n`) }));
      // The end of a line goes first, even if the line was dropped from the buffer meanwhile.
      if (begun !== undefined) parts.unshift(begun);
      const bytes = Buffer.concat(parts.map((part) => part.rest));
      let done = 0;
      try {
        while (done < bytes.length) {
          const count = await writeSome(bytes.subarray(done));
          if (count === 0) throw new Error("nothing could be written");
          done += count;
        }
      } finally {
        for (const { line, rest } of parts) {
          if (done >= rest.length) {
            written.add(line);
            if (begun?.line === line) begun = undefined;
          } else if (done > 0) begun = { line, rest: rest.subarray(done) };
          done = Math.max(0, done - rest.length);
        }
      }
    },
    startAnew() {
      begun = undefined;
    },
  };
}
