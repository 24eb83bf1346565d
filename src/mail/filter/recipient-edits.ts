/** Recipients that come and go, in the order in which that was said: who was removed and is added again is there. */
export class RecipientEdits {
  // Most mail has none.
  #added: Map<string, string> | undefined;
  #removed: Map<string, string> | undefined;

  add(recipient: string): void {
    const key = fold(recipient);
    this.#removed?.delete(key);
    this.#added ??= new Map();
    if (!this.#added.has(key)) this.#added.set(key, recipient);
  }

  remove(recipient: string): void {
    const key = fold(recipient);
    this.#added?.delete(key);
    this.#removed ??= new Map();
    if (!this.#removed.has(key)) this.#removed.set(key, recipient);
  }

  /** Neither of the two has a recipient of the other. */
  get added(): readonly string[] {
    return this.#added === undefined ? [] : [...this.#added.values()];
  }

  get removed(): readonly string[] {
    return this.#removed === undefined ? [] : [...this.#removed.values()];
  }
}

/** Recipients of a transaction are told apart without regard to case. */
export function isSameRecipient(one: string, other: string): boolean {
  return fold(one) === fold(other);
}

function fold(address: string): string {
  return address.toLowerCase();
}
