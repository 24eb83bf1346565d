/** A tree of calls with what was allocated in each, estimated from samples: of the inspector's HeapProfiler. */
export interface HeapProfile {
  readonly head: HeapNode;
}

export interface HeapNode {
  /** Line and column count from 0. */
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    readonly lineNumber: number;
    readonly columnNumber: number;
  };
  readonly selfSize: number;
  readonly children: readonly HeapNode[];
}

/** What one thread allocated while it was looked at, twice over: by samples, and by the sizes of its heap. */
export interface ThreadHeap {
  readonly profile: HeapProfile;
  readonly usedAtStart: number;
  readonly usedAtEnd: number;
  /** The heap's bytes in use before and after each collection, in order. */
  readonly collections: readonly { readonly before: number; readonly after: number }[];
}

/** A function of ours, as `mail/session` and `mail/session/state.ts step`. */
export interface OwnFunction {
  readonly area: string;
  readonly name: string;
}
export type OwnFunctionOf = (frame: HeapNode["callFrame"]) => OwnFunction | undefined;

export interface Allocation extends OwnFunction {
  readonly isOurs: boolean;
  readonly bytes: number;
}

const OF_NODE = "Node: sockets, timers, threads";
const WITHOUT = "Node and V8 without JavaScript";

/** One row a function: the innermost of ours that was being called, else the innermost of Node's, else what V8 calls it. */
export function allocationsOf({ head }: HeapProfile, ownFunctionOf: OwnFunctionOf): readonly Allocation[] {
  const rows = new Map<string, Allocation>();
  const visit = (node: HeapNode, caller: Omit<Allocation, "bytes">): void => {
    const { functionName, url } = node.callFrame;
    const own = ownFunctionOf(node.callFrame);
    let at = caller;
    if (own !== undefined) at = { ...own, isOurs: true };
    else if (!caller.isOurs) {
      if (url !== "") at = { area: OF_NODE, name: `${url} ${functionName || "(anonymous)"}`, isOurs: false };
      // `(V8 API)` below one of Node's functions belongs to that.
      else if (caller.area === WITHOUT) at = { area: WITHOUT, name: functionName || "(anonymous)", isOurs: false };
    }
    if (node.selfSize > 0) {
      const key = `${at.area} ${at.name}`;
      rows.set(key, { ...at, bytes: (rows.get(key)?.bytes ?? 0) + node.selfSize });
    }
    for (const child of node.children) visit(child, at);
  };
  visit(head, { area: WITHOUT, name: "(root)", isOurs: false });
  return [...rows.values()].toSorted((a, b) => b.bytes - a.bytes);
}

/** What the heap grew by between collections: all that was allocated, without samples. */
export function grownBytes({ usedAtStart, usedAtEnd, collections }: ThreadHeap): number {
  let bytes = 0;
  let used = usedAtStart;
  for (const { before, after } of collections) {
    bytes += before - used;
    used = after;
  }
  return bytes + usedAtEnd - used;
}
