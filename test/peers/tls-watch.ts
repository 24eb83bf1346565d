import { setTimeout as wait } from "node:timers/promises";
import type { TestServer } from "../server.ts";

/** An event of the server's log, which these tests have as JSON. */
export type LoggedEvent = Readonly<Record<string, unknown>> & { readonly event: string; readonly time: string };

/** Words of Postfix that a session in good order has none of; what it says of this machine's clock is no matter of TLS. */
export const POSTFIX_COMPLAINS =
  /SSL_(?:accept|connect) error|TLS library problem|lost connection|Cannot start TLS|warning:(?! file system clock is| resetting file time stamps)/;

/** What the log said of one TLS session, from its handshake to the end of the connection. */
export interface SeenSession {
  readonly version: string;
  readonly cipher: string;
  readonly group: string;
  readonly verify: string;
  readonly peerEnd: string;
  readonly ourEnd: string;
  readonly moment: string;
  readonly after: string;
  /** From the end of the dialogue to the end of the connection, where the log has both. */
  readonly tookMs: number | undefined;
}

/** Begins to watch a server's log; what was written before counts for nothing. */
export function watchLog(server: TestServer) {
  const from = server.output().length;
  const events = (): readonly LoggedEvent[] =>
    server
      .output()
      .slice(from)
      .split("\n")
      .filter((line) => line.startsWith("{") && line.endsWith("}"))
      // Our own server's lines.
      .map((line) => JSON.parse(line) as LoggedEvent);
  const waitFor = async (what: string, isIt: (event: LoggedEvent) => boolean, withinMs = 60_000) => {
    const untilAt = Date.now() + withinMs;
    for (;;) {
      const found = events().find(isIt);
      if (found !== undefined) return found;
      if (Date.now() > untilAt) throw new Error(`the log has no ${what}:\n${server.output().slice(from).slice(-5000)}`);
      await wait(20);
    }
  };
  return {
    events,
    waitFor,
    /** The first TLS session of one direction, when it is over. */
    async session(direction: "in" | "out"): Promise<SeenSession> {
      const stage = direction === "in" ? "session.tls" : "delivery.tls-established";
      const up = await waitFor(stage, ({ event }) => event === stage);
      const closing = direction === "in" ? "session.tls-closed" : "delivery.tls-closed";
      const closed = await waitFor(closing, (one) => one.event === closing && one["session"] === up["session"]);
      // Outwards the mail's own line is the last before QUIT: the answer to that is in the time too.
      const last = direction === "in" ? "connection.disconnected" : "delivery.smtp";
      const over = events().findLast(
        (one) => one.event === last && (direction === "out" || one["session"] === up["session"]),
      );
      const text = (value: unknown): string => (typeof value === "string" ? value : "none");
      return {
        version: text(up["version"]),
        cipher: text(up["cipher"]),
        group: text(up["group"]),
        verify: text(up["verify"]),
        peerEnd: text(closed["peerEnd"]),
        ourEnd: text(closed["ourEnd"]),
        moment: text(closed["moment"]),
        after: text(closed["after"]),
        tookMs: over === undefined ? undefined : Math.max(0, Date.parse(closed.time) - Date.parse(over.time)),
      };
    },
    /** What a healthy session must not leave: warnings, errors, failed handshakes. */
    complaints: (): readonly LoggedEvent[] =>
      events().filter(
        ({ event, level }) =>
          level === "error" || level === "warning" || /tls-(?:failed|trouble)$|connection-lost/.test(event),
      ),
  };
}
