/**
 * What the ingress processes of one server tell each other, so that a limit is one of the server and not of each process.
 * They tell some twenty times a second; a burst within that moment may pass a limit by a few, and no more.
 */
export interface CountChanges {
  /** Open connections of the process. */
  readonly open: number;
  /** Its open connections of addresses and networks where the number has changed; 0 is none any more. */
  readonly addresses: readonly (readonly [address: string, open: number])[];
  readonly networks: readonly (readonly [network: string, open: number])[];
  /** What it let clients have since it told last; to be added to what they had this minute. */
  readonly taken: readonly (readonly [client: string, what: string, times: number])[];
}

/** Open connections of the other processes, by the last they told. */
export class OthersCounts {
  readonly #processes = new Map<
    string,
    { open: number; addresses: Map<string, number>; networks: Map<string, number> }
  >();

  get open(): number {
    let sum = 0;
    for (const { open } of this.#processes.values()) sum += open;
    return sum;
  }

  ofAddress(address: string): number {
    let sum = 0;
    for (const { addresses } of this.#processes.values()) sum += addresses.get(address) ?? 0;
    return sum;
  }

  ofNetwork(network: string): number {
    let sum = 0;
    for (const { networks } of this.#processes.values()) sum += networks.get(network) ?? 0;
    return sum;
  }

  learn(from: string, { open, addresses, networks }: CountChanges): void {
    let known = this.#processes.get(from);
    if (known === undefined) {
      known = { open: 0, addresses: new Map(), networks: new Map() };
      this.#processes.set(from, known);
    }
    known.open = open;
    put(known.addresses, addresses);
    put(known.networks, networks);
  }

  /** The process has ended, and its connections with it. */
  forget(from: string): void {
    this.#processes.delete(from);
  }
}

function put(counts: Map<string, number>, told: CountChanges["addresses"]): void {
  for (const [key, open] of told) {
    if (open === 0) counts.delete(key);
    else counts.set(key, open);
  }
}

/** What has changed here since it was told last. `onUntold` is called when there is something to tell, once until it is taken. */
export class UntoldCounts {
  readonly #onUntold: () => void;
  #isEmpty = true;
  readonly #addresses = new Set<string>();
  readonly #networks = new Set<string>();
  readonly #taken = new Map<string, Map<string, number>>();

  constructor(onUntold: () => void) {
    this.#onUntold = onUntold;
  }

  opened(address: string | undefined, network: string | undefined): void {
    if (address !== undefined) this.#addresses.add(address);
    if (network !== undefined) this.#networks.add(network);
    this.#note();
  }

  took(client: string, what: string): void {
    let ofClient = this.#taken.get(client);
    if (ofClient === undefined) {
      ofClient = new Map();
      this.#taken.set(client, ofClient);
    }
    ofClient.set(what, (ofClient.get(what) ?? 0) + 1);
    this.#note();
  }

  #note(): void {
    if (!this.#isEmpty) return;
    this.#isEmpty = false;
    this.#onUntold();
  }

  /** Undefined when there is nothing to tell. */
  take(
    open: number,
    ofAddress: ReadonlyMap<string, number>,
    ofNetwork: ReadonlyMap<string, number>,
  ): CountChanges | undefined {
    if (this.#isEmpty) return undefined;
    const told = (keys: ReadonlySet<string>, counts: ReadonlyMap<string, number>) =>
      Array.from(keys, (key) => [key, counts.get(key) ?? 0] as const);
    const changes: CountChanges = {
      open,
      addresses: told(this.#addresses, ofAddress),
      networks: told(this.#networks, ofNetwork),
      taken: [...this.#taken].flatMap(([client, each]) =>
        Array.from(each, ([what, times]) => [client, what, times] as const),
      ),
    };
    this.#isEmpty = true;
    this.#addresses.clear();
    this.#networks.clear();
    this.#taken.clear();
    return changes;
  }
}
