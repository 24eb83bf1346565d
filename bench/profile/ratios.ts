/** What one load of one server came to. */
export interface Figures {
  readonly perSecond: number;
  /** Of the processors, for each message. */
  readonly cpuUs: number;
}

export interface Ratio {
  /** Geometric mean over the starts; 1: no difference. */
  readonly ratio: number;
  /** Standard error of that, over the starts. */
  readonly error: number;
  readonly perStart: readonly number[];
}

/** Ours by theirs: rounds of one start are paired one by one, for they were run beside each other; starts are what varies. */
export function ratiosOf(
  starts: readonly { readonly ours: readonly Figures[]; readonly theirs: readonly Figures[] }[],
): { readonly rate: Ratio; readonly cpu: Ratio } {
  return {
    rate: ratioOf(starts, ({ perSecond }) => perSecond),
    cpu: ratioOf(starts, ({ cpuUs }) => cpuUs),
  };
}

function ratioOf(
  starts: readonly { readonly ours: readonly Figures[]; readonly theirs: readonly Figures[] }[],
  figure: (of: Figures) => number,
): Ratio {
  const logs = starts.map(({ ours, theirs }) =>
    mean(
      ours.flatMap((one, round) => {
        const other = theirs[round];
        return other === undefined ? [] : [Math.log(figure(one) / figure(other))];
      }),
    ),
  );
  const middle = mean(logs);
  const variance = logs.reduce((sum, log) => sum + (log - middle) ** 2, 0) / Math.max(1, logs.length - 1);
  return {
    ratio: Math.exp(middle),
    error: Math.exp(middle) * Math.sqrt(variance / logs.length),
    perStart: logs.map((log) => Math.exp(log)),
  };
}

function mean(of: readonly number[]): number {
  return of.reduce((sum, one) => sum + one, 0) / of.length;
}
