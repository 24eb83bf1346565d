import type { Clock, Timer } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import { makeContexts, type ContextTerms, type Contexts } from "./contexts.io.ts";
import type { Keeper, ProfileMaterial } from "./keeper/keeper.ts";
import type { ServerProfile } from "./tls.ts";
import { verify } from "./verify.ts";

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
 * Asks the keeper, and again whenever that says something has changed. While the keeper is away what is there serves on.
 */
export function listenerProfile(parts: {
  keeper: Keeper;
  terms: Omit<ContextTerms, "clientAuthorities" | "sessionScope">;
  /** Whose certificates clients may show: `authorities` as the keeper is asked for them. Without any nobody's verifies. */
  client: { readonly mode: ServerProfile["clientCertificate"]; readonly authorities?: string | undefined };
  clock: Clock;
  onTrouble: (text: string) => void;
}): ListenerProfile {
  const { keeper, clock, client, onTrouble } = parts;
  const { listener } = parts.terms;
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
  const take = (material: ProfileMaterial, authorities: readonly string[] | undefined): void => {
    const terms: ContextTerms = {
      ...parts.terms,
      // A session keeps the judgement on its client's certificate: it is good only where the same is asked.
      sessionScope: client.mode,
      ...(authorities === undefined ? {} : { clientAuthorities: authorities }),
    };
    const label = JSON.stringify([labelOf(material), authorities ?? []]);
    if (contexts?.label !== label) {
      const made = makeContexts({
        material,
        terms,
        clock,
        ask: (serverName) => keeper.certificateFor(serverName, listener),
        onTrouble: tell,
      });
      contexts = { label, made };
    }
    const { made } = contexts;
    profile = {
      optionsFor: (serverName, offered) => made.optionsFor(serverName, offered),
      defaultOptions: made.defaultOptions,
      ticketKeys: made.defaultOptions.ticketKeys,
      ticketLifetimeMs: terms.ticketLifetimeMs,
      clientCertificate: client.mode,
      ...(client.mode === "none"
        ? {}
        : { verifyClient: (shown) => verify(shown, { by: "authorities", names: "any" }, clock.now()) }),
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
      const material = await keeper.profile(listener);
      const authorities = await clientAuthorities();
      if (isClosed) return;
      told = "";
      take(material, authorities.pems);
      if (authorities.problem !== undefined)
        tell(`listener ${listener}: no client can be verified: ${authorities.problem}`);
      retryMs = FIRST_RETRY_MS;
    } catch (thrown) {
      // The keeper is started again; what is there serves until then.
      if (profile !== undefined) tell(`listener ${listener}: ${messageOf(thrown)}; what is known serves on`);
      if (!isClosed) retry = clock.after(retryMs, () => void ask());
      retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
    } finally {
      isAsking = false;
      first.resolve();
    }
    if (isStale) await ask();
  };
  const clientAuthorities = async (): Promise<{ pems?: readonly string[]; problem?: string | undefined }> => {
    if (client.mode === "none") return {};
    return client.authorities === undefined ? { pems: [] } : await keeper.anchors(client.authorities);
  };
  const forget = keeper.onChange((change) => {
    if (change !== "anchors" || client.authorities !== undefined) void ask();
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
    material.pairs.map((pair) => [pair.version, pair.names]),
    material.challenges.map(([name, pair]) => [name, pair.version]),
    material.hasTables,
    material.tickets.replacedAt,
    Buffer.from(material.tickets.key).toString("base64"),
  ]);
}
