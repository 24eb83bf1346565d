import { readdirSync, readFileSync } from "node:fs";
import { threadName } from "./table.ts";

/** What the kernel counts of a process or a thread, in /proc: see proc(5), and Documentation/filesystems/proc.rst of Linux. */
export interface Io {
  /** Bytes that `read` and its like gave, sockets included, and that `write` and its like took. Not those of recvmsg and sendmsg. */
  readonly rchar: number;
  readonly wchar: number;
  readonly syscr: number;
  readonly syscw: number;
  /** Bytes of whole pages that were made to differ from the disk. */
  readonly writeBytes: number;
}

export const NO_IO: Io = { rchar: 0, wchar: 0, syscr: 0, syscw: 0, writeBytes: 0 };

/** A process's threads by number, with their names; under its own number stands the main thread. */
export interface ProcessIo {
  readonly all: Io;
  readonly threads: ReadonlyMap<number, { readonly name: string; readonly io: Io }>;
}

export function ioOf(pid: number): ProcessIo {
  const threads = readdirSync(`/proc/${pid}/task`).flatMap((id) => {
    try {
      const name = readFileSync(`/proc/${pid}/task/${id}/comm`, "utf8").trim();
      return [
        [
          Number(id),
          { name: threadName(name), io: ioFrom(readFileSync(`/proc/${pid}/task/${id}/io`, "utf8")) },
        ] as const,
      ];
    } catch {
      // It has ended.
      return [];
    }
  });
  return { all: ioFrom(readFileSync(`/proc/${pid}/io`, "utf8")), threads: new Map(threads) };
}

/** What /proc/PID/io says. */
export function ioFrom(text: string): Io {
  const of = (field: string): number => {
    const found = new RegExp(`^${field}: (\\d+)$`, "m").exec(text)?.[1];
    if (found === undefined) throw new Error(`no ${field} in what the kernel counts: ${text}`);
    return Number(found);
  };
  return {
    rchar: of("rchar"),
    wchar: of("wchar"),
    syscr: of("syscr"),
    syscw: of("syscw"),
    writeBytes: of("write_bytes"),
  };
}

export function plus(a: Io, b: Io): Io {
  return {
    rchar: a.rchar + b.rchar,
    wchar: a.wchar + b.wchar,
    syscr: a.syscr + b.syscr,
    syscw: a.syscw + b.syscw,
    writeBytes: a.writeBytes + b.writeBytes,
  };
}

export function times(io: Io, factor: number): Io {
  return {
    rchar: io.rchar * factor,
    wchar: io.wchar * factor,
    syscr: io.syscr * factor,
    syscw: io.syscw * factor,
    writeBytes: io.writeBytes * factor,
  };
}
