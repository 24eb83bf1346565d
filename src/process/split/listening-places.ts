import { removeDeadSocket } from "../../mail/connection/dead-socket.io.ts";
import type { ListenerSettings } from "../../mail/connection/settings.ts";
import { acmePlaceOf, type AcmePlace } from "../settings/acme-files.ts";
import { placeOf } from "../settings/listener-place.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import { adjustSockets, bindPlaceOf, bindSocket, overlap, type BindPlace, type BoundSocket } from "./bound-sockets.ts";
import type { Role } from "./roles.ts";

export interface NamedSocket {
  readonly name: string;
  readonly fd: number;
}

function acmeSocketOf(place: AcmePlace): string {
  return `${place.name} ${place.address ?? "*"}:${place.port}`;
}

/** The sockets of a split server by their places: bound by the supervisor, handed to who accepts on them. */
export class ListeningPlaces {
  readonly #inherited: ReadonlyMap<string, number>;
  readonly #sockets = new Map<string, BoundSocket>();

  /** `inherited`: sockets that systemd bound, by listener. */
  constructor(inherited: ReadonlyMap<string, number>) {
    this.#inherited = inherited;
  }

  /** What a process of this role accepts on, by the names that these settings give: a socket may have been bound under another. */
  of(role: Role, { settings }: LoadedSettings): readonly NamedSocket[] {
    if (role === "ingress")
      return settings.listeners.flatMap((listener) => this.#named(listener.name, placeOf(listener)));
    const place = role === "acme" ? acmePlaceOf(settings) : undefined;
    return typeof place === "object" ? this.#named(place.name, acmeSocketOf(place)) : [];
  }

  #named(name: string, place: string): readonly NamedSocket[] {
    const socket = this.#sockets.get(place);
    return socket === undefined ? [] : [{ name, fd: socket.fd }];
  }

  /** Binds what `next` needs and is not bound yet, and says what. On an error nothing new stays bound. */
  async bind(next: LoadedSettings): Promise<readonly string[]> {
    const fresh: string[] = [];
    const wanted = placesOf(next);
    const bindNew = (name: string, place: BindPlace): BoundSocket => {
      // Ours that go are not in the way of those that come; two that are both wanted are in each other's, as at a start.
      const all = [...this.#sockets];
      const isTaken = all.some(([key, socket]) => wanted.has(key) && overlap(socket.place, place));
      return bindSocket(name, place, isTaken ? [] : all.flatMap(([key, socket]) => (wanted.has(key) ? [] : [socket])));
    };
    try {
      for (const listener of next.settings.listeners) {
        const place = placeOf(listener);
        if (this.#sockets.has(place)) continue;
        const inherited = this.#inherited.get(listener.name);
        if (inherited === undefined && listener.path !== undefined) await removeDeadSocket(listener.path);
        const where = bindPlaceOf(listener);
        this.#sockets.set(
          place,
          inherited === undefined ? bindNew(listener.name, where) : { fd: inherited, place: where, close: () => {} },
        );
        fresh.push(place);
      }
      const acme = acmePlaceOf(next.settings);
      if (typeof acme === "object" && !this.#sockets.has(acmeSocketOf(acme))) {
        this.#sockets.set(acmeSocketOf(acme), bindNew(acme.name, { address: acme.address, port: acme.port }));
        fresh.push(acmeSocketOf(acme));
      }
    } catch (thrown) {
      this.release(fresh);
      throw thrown;
    }
    return fresh;
  }

  /** What other settings want of sockets that stay; gives back what could not be done. */
  adjust(before: readonly ListenerSettings[], next: readonly ListenerSettings[]): readonly string[] {
    return adjustSockets(
      before,
      next,
      (name) => this.#inherited.has(name),
      (listener) => this.#sockets.get(placeOf(listener)),
    );
  }

  release(places: readonly string[]): void {
    for (const place of places) {
      this.#sockets.get(place)?.close();
      this.#sockets.delete(place);
    }
  }

  /** Releases all that these settings do not have. */
  keepOnly(loaded: LoadedSettings): void {
    const wanted = placesOf(loaded);
    this.release([...this.#sockets.keys()].filter((place) => !wanted.has(place)));
  }

  releaseAll(): void {
    this.release([...this.#sockets.keys()]);
  }
}

/** The sockets that these settings have. */
function placesOf({ settings }: LoadedSettings): ReadonlySet<string> {
  const acme = acmePlaceOf(settings);
  return new Set([...settings.listeners.map(placeOf), ...(typeof acme === "object" ? [acmeSocketOf(acme)] : [])]);
}
