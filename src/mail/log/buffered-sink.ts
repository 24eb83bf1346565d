import type { Clock, Timer } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import type { Bufferable, Outlet, Sink, SinkReports } from "./sink.ts";
import { waitingLines } from "./waiting-lines.ts";

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 15_000;

/**
 * A sink over an outlet that takes one batch at a time, may be slow, may fail and may never answer. Lines wait in a
 * bounded buffer; a failed batch is tried again, with waits that double.
 */
export function bufferedSink<Line extends Bufferable>(options: {
  readonly name: string;
  readonly outlet: Outlet<Line>;
  readonly clock: Clock;
  readonly mostCharacters: number;
  readonly reports: SinkReports;
  /** How long a line waits for company where each batch has a price of its own; a flush does not wait. 0 when left out. */
  readonly lingerMs?: number;
  /** The line without what it has besides its text, for a buffer that fills. */
  readonly lean?: (line: Line) => Line;
}): Sink<Line> {
  const { name, outlet, clock, reports } = options;
  const lingerMs = options.lingerMs ?? 0;
  const waiting = waitingLines(options.mostCharacters, options.lean);
  let isSending = false;
  let sending: readonly Line[] = [];
  let isClosed = false;
  let retry: Timer | undefined;
  let linger: Timer | undefined;
  let retryMs = FIRST_RETRY_MS;
  let inTrouble = false;
  let emptied: (() => void)[] = [];
  let wasTried = (): void => {};

  const settle = (): void => {
    if (isSending || !waiting.isEmpty) return;
    const callbacks = emptied;
    emptied = [];
    for (const callback of callbacks) callback();
  };
  const pumpSoon = (): void => {
    if (lingerMs === 0 || emptied.length > 0) pump();
    else
      linger ??= clock.after(lingerMs, () => {
        linger = undefined;
        pump();
      });
  };
  const pump = (): void => {
    if (isSending || retry !== undefined || isClosed) return;
    const lines = waiting.take(outlet.batchCharacters);
    if (lines.length === 0) {
      settle();
      return;
    }
    send(lines);
  };
  const send = (lines: readonly Line[]): void => {
    isSending = true;
    sending = lines;
    const isMore = !waiting.isEmpty;
    outlet.send(lines).then(
      () => {
        isSending = false;
        retryMs = FIRST_RETRY_MS;
        if (inTrouble) {
          inTrouble = false;
          reports.trouble(name, undefined);
        }
        const lost = waiting.takeLost();
        if (lost !== undefined) reports.lost(name, lost);
        wasTried();
        if (isMore || waiting.isEmpty) pump();
        else pumpSoon();
      },
      (thrown: unknown) => {
        isSending = false;
        waiting.putBack(lines);
        if (!inTrouble) {
          inTrouble = true;
          reports.trouble(name, messageOf(thrown));
        }
        wasTried();
        retry = clock.after(retryMs, () => {
          retry = undefined;
          pump();
        });
        retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
      },
    );
  };
  const flush = (limitMs: number): Promise<boolean> =>
    new Promise((resolve) => {
      const timer = clock.after(limitMs, () => resolve(false));
      emptied.push(() => {
        timer.cancel();
        resolve(true);
      });
      retry?.cancel();
      retry = undefined;
      linger?.cancel();
      linger = undefined;
      pump();
      settle();
    });

  return {
    name,
    write(lines) {
      for (const line of lines) waiting.add(line);
      pumpSoon();
    },
    open: (limitMs) =>
      new Promise((resolve) => {
        const timer = clock.after(limitMs, () => resolve());
        wasTried = () => {
          wasTried = () => {};
          timer.cancel();
          resolve();
        };
        if (!isSending && retry === undefined && !isClosed) send([]);
      }),
    flush,
    reopen() {
      outlet.reopen();
      retry?.cancel();
      retry = undefined;
      pump();
    },
    async close(limitMs) {
      await flush(limitMs);
      isClosed = true;
      retry?.cancel();
      linger?.cancel();
      const isStuck = isSending;
      // Nobody knows what becomes of those that are on their way.
      if (isStuck) waiting.putBack(sending);
      const lost = waiting.abandon();
      if (!isStuck) await outlet.close();
      return { isStuck, ...lost };
    },
  };
}
