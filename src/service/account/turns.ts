/** How much dear work is done at once; the rest waits in line, and what would wait behind too many is refused. */
export interface Turns {
  /** Undefined: the line is too long. */
  take<Value>(work: () => Promise<Value>): Promise<Value | undefined>;
}

export function turns(atOnce: number, mostWaiting: number): Turns {
  let running = 0;
  const waiting: (() => void)[] = [];
  return {
    async take(work) {
      if (running < atOnce) running++;
      else if (waiting.length >= mostWaiting) return undefined;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      try {
        return await work();
      } finally {
        const next = waiting.shift();
        if (next === undefined) running--;
        else next();
      }
    },
  };
}
