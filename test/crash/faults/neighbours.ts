import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { a, startDnsServer, type TestDnsServer, type TestRecord } from "../../dns-server.ts";
import { freePort } from "../../server.ts";
import type { SinkManner } from "../../sink.ts";

/**
 * Whom a server under test asks and sends to: a DNS server that knows the next host's name, a backend that knows an alias, and
 * the manners of the next host. Each can be well, or broken in one of the ways that such neighbours break.
 */
export type Ailment = "gone" | "silent" | "failing";

export interface Neighbours extends AsyncDisposable {
  readonly manner: SinkManner;
  readonly dns: Neighbour;
  readonly tables: Neighbour;
}

export interface Neighbour {
  readonly port: number;
  /** Undefined: it is well. */
  become(ailment: Ailment | undefined): Promise<void>;
}

/** The next host's name. */
export const NEXT_HOST = "mx.far.test";
/** What the backend knows, of the map `people`. */
export const ALIAS = { from: "list@tab.test", to: "cid@localhost" };
/** Whom the next host refuses for good. */
export const REFUSED = "no@far.test";

export async function startNeighbours(): Promise<Neighbours> {
  const dns = await dnsNeighbour();
  const tables = await tablesNeighbour();
  return {
    manner: { isDown: false, replyAfterMs: 0, refuses: (recipient) => recipient === REFUSED },
    dns,
    tables,
    async [Symbol.asyncDispose]() {
      await dns.close();
      await tables.close();
    },
  };
}

type Closable = Neighbour & { readonly close: () => Promise<void> };

async function dnsNeighbour(): Promise<Closable> {
  const zone: Record<string, readonly TestRecord[] | "failed"> = {};
  const port = await freePort();
  let server: TestDnsServer | undefined;
  let mute: ReturnType<typeof createSocket> | undefined;
  const close = async (): Promise<void> => {
    await server?.[Symbol.asyncDispose]();
    mute?.close();
    server = mute = undefined;
  };
  const become: Neighbour["become"] = async (ailment) => {
    await close();
    zone[NEXT_HOST] = ailment === "failing" ? "failed" : [a("127.0.0.1")];
    if (ailment === "silent") {
      mute = createSocket("udp4").bind(port, "127.0.0.1");
      await once(mute, "listening");
    } else if (ailment !== "gone") server = await startDnsServer(zone, [], port);
  };
  await become(undefined);
  return { port, become, close };
}

/** A server of the socketmap protocol: `NAME KEY` as a netstring, answered by one. */
async function tablesNeighbour(): Promise<Closable> {
  const port = await freePort();
  const open = new Set<Socket>();
  let ailment: Ailment | undefined;
  const answer = (question: string): string => {
    if (ailment === "failing") return "TEMP the disk is on fire";
    return question === `people ${ALIAS.from}` ? `OK ${ALIAS.to}` : "NOTFOUND ";
  };
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
    let held = "";
    socket.on("data", (bytes: Buffer) => {
      if (ailment === "silent") return;
      held += bytes.toString("latin1");
      for (;;) {
        const head = /^(\d+):/.exec(held);
        const from = head?.[0].length ?? 0;
        const until = from + Number(head?.[1]);
        if (head === null || held.length <= until) return;
        const said = answer(held.slice(from, until));
        held = held.slice(until + 1);
        socket.write(`${said.length}:${said},`);
      }
    });
  });
  const close = async (): Promise<void> => {
    for (const socket of open) socket.destroy();
    if (!server.listening) return;
    server.close();
    await once(server, "close");
  };
  const become: Neighbour["become"] = async (next) => {
    ailment = next;
    // Whoever got no answer hears no late one either.
    for (const socket of open) socket.destroy();
    if (next === "gone") await close();
    else if (!server.listening) {
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
    }
  };
  await become(undefined);
  return { port, become, close };
}
