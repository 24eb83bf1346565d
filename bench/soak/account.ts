/**
 * What was promised with 250 and what became of it. Mails have numbers; a delivery is `number where`, where `where` is what
 * stands in front of the recipient's @: a mailbox, or what a next host is asked for.
 */
export class Account {
  /** When each delivery that is owed was promised, by `performance.now()`. */
  readonly #owed = new Map<string, number>();
  /** Numbers of mails that have arrived, by where: for eight hours of them a bit each. */
  readonly #arrived = new Map<string, Uint8Array>();
  readonly #problems: string[] = [];
  #problemCount = 0;
  #next = 0;
  promised = 0;
  arrivedCount = 0;
  longestMs = 0;

  next(): number {
    return this.#next++;
  }

  promise(number: number, wheres: readonly string[]): void {
    for (const where of wheres) {
      this.promised++;
      // It may be there before the client has read its 250.
      if (!this.#has(number, where)) this.#owed.set(`${number} ${where}`, performance.now());
    }
  }

  /** A mail was found, whole or not. */
  arrive(number: number, where: string, isWhole: boolean): void {
    const key = `${number} ${where}`;
    if (!isWhole) this.problem(`${key} is not as it was sent`);
    if (this.#has(number, where)) {
      this.problem(`${key} has arrived twice`);
      return;
    }
    this.#mark(number, where);
    this.arrivedCount++;
    const since = this.#owed.get(key);
    if (since !== undefined) this.longestMs = Math.max(this.longestMs, performance.now() - since);
    this.#owed.delete(key);
  }

  problem(text: string): void {
    this.#problemCount++;
    if (this.#problems.length < 20) this.#problems.push(text);
  }

  get owed(): readonly string[] {
    return [...this.#owed.keys()];
  }

  get owedCount(): number {
    return this.#owed.size;
  }

  /** At the end, when all has had its time. */
  verdict(): readonly string[] {
    const more = this.#problemCount - this.#problems.length;
    const all = [...this.#problems, ...(more > 0 ? [`and ${more} like these`] : [])];
    if (this.#owed.size > 0)
      all.push(`${this.#owed.size} promised with 250 and never seen: ${this.owed.slice(0, 10).join(", ")}`);
    if (this.arrivedCount !== this.promised && this.#owed.size === 0)
      all.push(`${this.arrivedCount} arrived of ${this.promised} promised`);
    return all;
  }

  #has(number: number, where: string): boolean {
    return ((this.#arrived.get(where)?.[number >> 3] ?? 0) & (1 << (number & 7))) !== 0;
  }

  #mark(number: number, where: string): void {
    let bits = this.#arrived.get(where) ?? new Uint8Array(1024);
    if (bits.length <= number >> 3) {
      const larger = new Uint8Array(2 * (number >> 3));
      larger.set(bits);
      bits = larger;
    }
    bits[number >> 3] = (bits[number >> 3] ?? 0) | (1 << (number & 7));
    this.#arrived.set(where, bits);
  }
}
