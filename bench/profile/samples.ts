/** One look of the profiler at one thread: where it was, innermost first. */
export interface StackSample {
  readonly pid: number;
  /** As the kernel names it, 15 characters at most. */
  readonly thread: string;
  readonly frames: readonly StackFrame[];
}

export interface StackFrame {
  readonly symbol: string;
  readonly isKernel: boolean;
  /** Of JavaScript: the file and line of the function. */
  readonly script?: { readonly file: string; readonly line: number } | undefined;
}

/** What `perf script -F comm,pid,tid,ip,sym,dso` prints: blocks with a line for the thread and one for each frame. */
export function samplesFrom(text: string): readonly StackSample[] {
  return text.split(/\n\s*\n/).flatMap((block): StackSample[] => {
    const [head = "", ...lines] = block.split("\n").filter((line) => line.trim() !== "");
    const found = /^(.+?)\s+(\d+)\/\d+\s*$/.exec(head.trim());
    const frames = lines.flatMap((line) => frameFrom(line) ?? []);
    if (found === null || frames.length === 0) return [];
    return [{ thread: (found[1] ?? "").trim(), pid: Number(found[2]), frames }];
  });
}

function frameFrom(line: string): StackFrame | undefined {
  const found = /^\s*[0-9a-f]+\s(.*)\s\((.*)\)$/.exec(line);
  if (found === null) return undefined;
  const [, symbol = "", object = ""] = found;
  // V8 writes of each function how far it is compiled, its name, and where it begins: `JS:*'name file:///…:line:column`.
  const script = /^JS:.*?\s?(?:file:\/\/)?(\/\S+|node:\S+):(\d+):\d+$/.exec(symbol);
  return {
    symbol,
    isKernel: object.includes("kernel"),
    script: script === null ? undefined : { file: script[1] ?? "", line: Number(script[2]) },
  };
}
