/** We have a bug. The process that meets one ends; the supervisor restarts it and the queue is intact. */
export class BrokenInvariant extends Error {
  override readonly name = "BrokenInvariant";
}

/** States what must be true here if our own reasoning holds. Never for input from a peer, a file or a person. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new BrokenInvariant(invariant);
}

/** For the `default` of a switch over a union: the compiler tells when a case is missing. */
export function unreachable(value: never): never {
  throw new BrokenInvariant(`a case is missing for ${JSON.stringify(value)}`);
}
