import type { Clock } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import { filterFailed } from "../failed.ts";

/** How long one that failed is asked only after the others. */
const REST_MS = 30_000;

/**
 * Several servers that do the same, asked in the order of the settings until one answers. One that failed is asked last for a
 * while, so that a mail does not wait for it again; when all have failed lately, all are asked nevertheless.
 */
export function inTurn<Server extends { readonly text: string }>(
  what: string,
  servers: readonly Server[],
  clock: Clock,
): <Answer>(ask: (server: Server) => Promise<Answer>, signal: AbortSignal) => Promise<Answer> {
  const restsUntilMs = new Map<Server, number>();
  const turns = (): readonly Server[] => {
    const nowMs = clock.monotonicMs();
    const rests = (server: Server): boolean => (restsUntilMs.get(server) ?? Number.NEGATIVE_INFINITY) > nowMs;
    return [...servers.filter((server) => !rests(server)), ...servers.filter(rests)];
  };
  return async (ask, signal) => {
    const failures: string[] = [];
    for (const server of turns()) {
      if (signal.aborted) break;
      try {
        const answer = await ask(server);
        restsUntilMs.delete(server);
        return answer;
      } catch (thrown) {
        // When nobody waits any more, that says nothing about the server.
        if (!signal.aborted) restsUntilMs.set(server, clock.monotonicMs() + REST_MS);
        failures.push(`${server.text}: ${messageOf(thrown)}`);
      }
    }
    throw filterFailed(
      `${what} ${failures.length === 0 ? "was not asked in time" : failures.join("; ")}`,
      "see whether it runs and listens where the settings say",
    );
  };
}
