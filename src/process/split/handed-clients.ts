import type { Socket } from "node:net";
import type { KnownClient } from "../../mail/session/services.ts";
import type { WorkerProcess } from "./worker-process.ts";

/** Connections of users of this host that an ingress has, and who is to be told when each has ended. */
export class HandedClients {
  #turn = 0;
  #count = 0;
  /** By the name of the ingress. */
  readonly #onEnds = new Map<string, Map<number, () => void>>();

  /** Each of the receiving ones in turn; one that is just being started again has none. False: nobody is there to take it. */
  hand(receiving: readonly WorkerProcess[], socket: Socket, known: KnownClient, onEnd: () => void): boolean {
    for (let tries = 0; tries < receiving.length; tries++) {
      const worker = receiving[this.#turn++ % receiving.length];
      if (worker === undefined) continue;
      const client = ++this.#count;
      const lost = (): void => this.end(worker.name, client);
      if (!worker.hand({ kind: "local-client", known, client }, socket, lost)) continue;
      const theirs = this.#onEnds.get(worker.name) ?? new Map<number, () => void>();
      this.#onEnds.set(worker.name, theirs.set(client, onEnd));
      return true;
    }
    return false;
  }

  end(worker: string, client: number): void {
    const theirs = this.#onEnds.get(worker);
    theirs?.get(client)?.();
    theirs?.delete(client);
  }

  /** The process is gone, and all of its connections with it. */
  endAll(worker: string): void {
    for (const client of this.#onEnds.get(worker)?.keys() ?? []) this.end(worker, client);
    this.#onEnds.delete(worker);
  }
}
