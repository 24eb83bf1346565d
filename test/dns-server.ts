/** A DNS server for tests, over UDP and TCP at one port of loopback, from a table of names. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import * as dnsPacket from "dns-packet";

export type TestRecord =
  | { readonly type: "A" | "AAAA" | "CNAME" | "TXT" | "PTR"; readonly data: string }
  | {
      readonly type: "SRV";
      readonly data: {
        readonly priority: number;
        readonly weight: number;
        readonly port: number;
        readonly target: string;
      };
    }
  | { readonly type: "MX"; readonly data: { readonly preference: number; readonly exchange: string } };

export interface TestDnsServer extends AsyncDisposable {
  /** For `dns.servers`. */
  readonly at: string;
  /** `udp mx example.org`, in the order of asking. */
  readonly questions: readonly string[];
}

export const mx = (preference: number, exchange: string): TestRecord => ({
  type: "MX",
  data: { preference, exchange },
});
export const a = (data: string): TestRecord => ({ type: "A", data });
export const aaaa = (data: string): TestRecord => ({ type: "AAAA", data });
export const txt = (data: string): TestRecord => ({ type: "TXT", data });
export const ptr = (data: string): TestRecord => ({ type: "PTR", data });
export const srv = (priority: number, port: number, target: string): TestRecord => ({
  type: "SRV",
  data: { priority, weight: 1, port, target },
});
export const cname = (data: string): TestRecord => ({ type: "CNAME", data });

const RESPONSE = 0x8180;
const TRUNCATED = 0x0200;
const NO_SUCH_NAME = 3;
const SERVER_FAILED = 2;

/**
 * A name that is not there does not exist; `"failed"` is SERVFAIL. Names in `onlyTcp` are answered over UDP with a
 * truncated message.
 */
export async function startDnsServer(
  zone: Readonly<Record<string, readonly TestRecord[] | "failed">>,
  onlyTcp: readonly string[] = [],
  port = 0,
): Promise<TestDnsServer> {
  const questions: string[] = [];
  const sockets = new Set<Socket>();
  const answer = (query: Buffer, over: "udp" | "tcp"): Buffer => {
    const { id, questions: asked } = dnsPacket.decode(query);
    const [question] = asked;
    const name = question?.name.toLowerCase() ?? "";
    questions.push(`${over} ${(question?.type ?? "").toLowerCase()} ${name}`);
    const records = zone[name];
    const cut = over === "udp" && onlyTcp.includes(name);
    const code = records === undefined ? NO_SUCH_NAME : records === "failed" ? SERVER_FAILED : 0;
    const found = records === undefined || records === "failed" || cut ? [] : records;
    const given = found.filter((record) => record.type === question?.type || record.type === "CNAME");
    return dnsPacket.encode({
      type: "response",
      id,
      flags: RESPONSE | (cut ? TRUNCATED : 0) | code,
      questions: asked,
      answers: given.map((record) =>
        // A string of a TXT record has at most 255 octets; longer texts are several.
        record.type === "TXT"
          ? { name, ttl: 60, type: "TXT", data: record.data.match(/[^]{1,255}/g) ?? [""] }
          : { name, ttl: 60, ...record },
      ),
    });
  };
  const tcp = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.on("data", (bytes) => {
      const reply = answer(bytes.subarray(2), "tcp");
      const head = Buffer.alloc(2);
      head.writeUInt16BE(reply.length);
      socket.write(Buffer.concat([head, reply]));
    });
  });
  const udp = await boundAlike(tcp, port);
  udp.on("message", (bytes, from) => udp.send(answer(bytes, "udp"), from.port, from.address));
  return {
    at: `127.0.0.1:${udp.address().port}`,
    questions,
    async [Symbol.asyncDispose]() {
      udp.close();
      for (const socket of sockets) socket.destroy();
      tcp.close();
      await once(tcp, "close");
    },
  };
}

/** Both at one port. One that is free for TCP may be somebody's for UDP: then another, unless it was asked for by number. */
async function boundAlike(tcp: Server, wanted: number): Promise<UdpSocket> {
  for (;;) {
    tcp.listen(wanted, "127.0.0.1");
    await once(tcp, "listening");
    const address = tcp.address();
    if (address === null || typeof address === "string") throw new Error("a TCP server has a numeric address");
    const udp = createSocket("udp4");
    const taken = await new Promise<Error | undefined>((resolve) => {
      udp.once("error", resolve);
      udp.bind(address.port, "127.0.0.1", () => resolve(undefined));
    });
    if (taken === undefined) return udp;
    udp.close();
    tcp.close();
    await once(tcp, "close");
    if (wanted !== 0) throw taken;
  }
}
