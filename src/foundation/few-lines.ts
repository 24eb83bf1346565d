import type { Clock } from "./clock.ts";

/**
 * Lets a bounded number of lines through in each span of time, for what a program or a peer writes of its own will; the
 * rest is counted, and told with the first line of the next span.
 */
export function fewLines(
  limit: { readonly most: number; readonly inMs: number },
  clock: Clock,
  tell: (line: string) => void,
): (line: string) => void {
  let since = Number.NEGATIVE_INFINITY;
  let told = 0;
  let untold = 0;
  return (line) => {
    const nowMs = clock.monotonicMs();
    if (nowMs - since >= limit.inMs) {
      if (untold > 0) tell(`(${untold} lines before this one were left out)`);
      since = nowMs;
      told = 0;
      untold = 0;
    }
    if (told >= limit.most) {
      untold++;
      return;
    }
    told++;
    tell(line);
  };
}
