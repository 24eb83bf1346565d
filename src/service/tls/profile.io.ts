import type { Clock, Timer } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import { makeContexts, type ContextTerms, type Contexts } from "./contexts.io.ts";
import type { Keeper, ProfileMaterial } from "./keeper.ts";
import type { ServerProfile } from "./tls.ts";

/** A listener's profile, kept up to date with what the keeper has. */
export interface ListenerProfile {
  /** Another object whenever something has changed; undefined while the keeper has given nothing yet. */
  current(): ServerProfile | undefined;
  /** Settles when the keeper was asked for the first time, with or without success. */
  readonly ready: Promise<void>;
  close(): void;
}

const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5000;

/**
 * Asks the keeper, and again whenever that says something has changed. While the keeper is away what is there serves on. A
 * new ticket key alone leaves the contexts as they are.
 */
export function listenerProfile(parts: {
  keeper: Keeper;
  terms: ContextTerms;
  /** What `ServerProfile` says of client certificates. */
  client: Pick<ServerProfile, "clientCertificate" | "verifyClient">;
  clock: Clock;
  onTrouble: (text: string) => void;
}): ListenerProfile {
  const { keeper, terms, clock, onTrouble } = parts;
  let profile: ServerProfile | undefined;
  let contexts: { readonly label: string; readonly made: Contexts } | undefined;
  let isAsking = false;
  let isStale = false;
  let isClosed = false;
  let retry: Timer | undefined;
  let retryMs = FIRST_RETRY_MS;
  let told = "";
  const first = Promise.withResolvers<void>();

  const tell = (text: string): void => {
    if (told !== text) onTrouble(text);
    told = text;
  };
  const take = (material: ProfileMaterial): void => {
    const label = labelOf(material);
    if (contexts?.label !== label) {
      const made = makeContexts({
        material,
        terms,
        clock,
        ask: (serverName) => keeper.certificateFor(serverName, terms.listener),
        onTrouble: tell,
      });
      contexts = { label, made };
    }
    const { made } = contexts;
    const tickets = terms.hasTickets ? Buffer.from(material.tickets.key) : undefined;
    profile = {
      contextFor: (serverName, offered) => made.contextFor(serverName, offered),
      defaultContext: made.defaultContext,
      defaultOptions: { ...made.defaultOptions, ...(tickets === undefined ? {} : { ticketKeys: tickets }) },
      ticketKeys: tickets,
      ticketLifetimeMs: terms.ticketLifetimeMs,
      ...parts.client,
      // An offer that nobody answers is fatal for the client: the name is only there while it is waited for.
      ...(material.challenges.length === 0 ? {} : { alpn: ["acme-tls/1"] }),
    };
  };
  const ask = async (): Promise<void> => {
    if (isAsking || isClosed) {
      isStale = true;
      return;
    }
    isAsking = true;
    isStale = false;
    retry?.cancel();
    try {
      const material = await keeper.profile(terms.listener);
      if (isClosed) return;
      take(material);
      told = "";
      retryMs = FIRST_RETRY_MS;
    } catch (thrown) {
      // The keeper is started again; what is there serves until then.
      if (profile !== undefined) tell(`listener ${terms.listener}: ${messageOf(thrown)}; what is known serves on`);
      if (!isClosed) retry = clock.after(retryMs, () => void ask());
      retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
    } finally {
      isAsking = false;
      first.resolve();
    }
    if (isStale) await ask();
  };
  const forget = keeper.onChange((change) => {
    if (change !== "anchors") void ask();
  });
  void ask();
  return {
    current: () => profile,
    ready: first.promise,
    close() {
      isClosed = true;
      retry?.cancel();
      forget();
    },
  };
}

/** Tells whether contexts have to be made anew. */
function labelOf(material: ProfileMaterial): string {
  return JSON.stringify([
    material.pairs.map((pair) => [pair.fingerprint, pair.names, pair.certificatePem.length]),
    material.challenges.map(([name, pair]) => [name, pair.fingerprint]),
    material.hasTables,
  ]);
}
