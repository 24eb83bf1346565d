import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import type { Clock } from "../../foundation/clock.ts";
import { withDeadline } from "../../foundation/deadline.ts";
import type { LogTarget } from "./settings.ts";
import type { Outlet, SinkLine } from "./sink.ts";
import { octetCounted, rfc5424Message } from "./syslog.ts";

/** RFC 5426 section 3.2: what every receiver over UDP takes; longer messages are cut rather than fragmented. */
const LONGEST_DATAGRAM = 2048;
const CONNECT_MS = 10_000;
const WRITE_MS = 30_000;

type Format = (line: SinkLine) => string;

/** Sends lines to an RFC 5424 receiver: UDP (RFC 5426), TCP or a unix stream socket (RFC 6587, octet counting). */
export function addressOutlet(
  target: Extract<LogTarget, { kind: "udp" | "tcp" | "unix" }>,
  hostname: string,
  clock: Clock,
  utc: (at: number) => string,
): Outlet {
  const format: Format = (line) => rfc5424Message(line, hostname, utc(line.at));
  return target.kind === "udp" ? datagrams(target, format, clock) : stream(target, format);
}

type Family = 4 | 6;

function datagrams(target: { readonly host: string; readonly port: number }, format: Format, clock: Clock): Outlet {
  let socket: { readonly udp: DatagramSocket; readonly family: Family } | undefined;
  /** A socket in use is not closed under a datagram: what Node looks up or binds for would never be answered. */
  let isReopenWanted = false;
  const letGo = (): void => {
    const old = socket;
    socket = undefined;
    old?.udp.close();
  };
  const opened = (family: Family): DatagramSocket => {
    if (isReopenWanted || socket?.family !== family) letGo();
    isReopenWanted = false;
    if (socket !== undefined) return socket.udp;
    const udp = createSocket(family === 6 ? "udp6" : "udp4");
    udp.unref();
    // A receiver that is not there may be told by ICMP; UDP has no delivery to speak of either way.
    udp.on("error", () => {
      if (socket?.udp === udp) letGo();
    });
    socket = { udp, family };
    return udp;
  };
  return {
    batchCharacters: 32 * 1024,
    async send(lines) {
      const { address, family } = await withDeadline(clock, CONNECT_MS, `looking up ${target.host}`, () =>
        addressOf(target.host),
      );
      for (const line of lines) {
        const bytes = cutDatagram(Buffer.from(format(line)));
        await withDeadline(clock, WRITE_MS, "sending a datagram", () =>
          sent(opened(family), bytes, target.port, address),
        );
      }
    },
    reopen() {
      isReopenWanted = true;
    },
    close: () => Promise.resolve(letGo()),
  };
}

const CUT = Buffer.from("…");

/** Whoever reads one that was cut sees that. */
function cutDatagram(bytes: Buffer): Buffer {
  if (bytes.length <= LONGEST_DATAGRAM) return bytes;
  let end = LONGEST_DATAGRAM - CUT.length;
  // Not inside a character (RFC 3629: those bytes are 10xxxxxx).
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return Buffer.concat([bytes.subarray(0, end), CUT]);
}

/** Its IPv4 address where it has one, as receivers of logs listen. */
async function addressOf(host: string): Promise<{ readonly address: string; readonly family: Family }> {
  const all = await lookup(host, { all: true });
  const chosen = all.find((one) => one.family === 4) ?? all[0];
  if (chosen === undefined) throw new Error(`${host} has no address`);
  return { address: chosen.address, family: chosen.family === 6 ? 6 : 4 };
}

function sent(socket: DatagramSocket, bytes: Buffer, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // A socket that is closed while it is bound forgets whom it owes an answer.
    const onClose = (): void => reject(new Error("the socket was closed"));
    socket.once("close", onClose);
    socket.send(bytes, port, address, (error) => {
      socket.off("close", onClose);
      if (error) reject(error);
      else resolve();
    });
  });
}

function stream(target: Extract<LogTarget, { kind: "tcp" | "unix" }>, format: Format): Outlet {
  let socket: Socket | undefined;
  /** Not in the middle of a batch: the receiver would have some of its lines twice. */
  let isReopenWanted = false;
  const letGo = (): void => {
    socket?.destroy();
    socket = undefined;
  };
  const opened = async (): Promise<Socket> => {
    if (socket?.writable === true && !isReopenWanted) return socket;
    isReopenWanted = false;
    letGo();
    const fresh = target.kind === "unix" ? connect(target.path) : connect(target.port, target.host);
    socket = fresh;
    fresh.unref();
    // Receivers send nothing; reading anyway is how the end of the connection is noticed.
    fresh.resume();
    fresh.on("error", () => {});
    fresh.on("close", () => {
      if (socket === fresh) socket = undefined;
    });
    await once(fresh, "connect", { signal: AbortSignal.timeout(CONNECT_MS) });
    return fresh;
  };
  return {
    batchCharacters: 64 * 1024,
    async send(lines) {
      try {
        const to = await opened();
        const text = lines.map((line) => octetCounted(format(line))).join("");
        await written(to, text);
      } catch (thrown) {
        letGo();
        throw thrown;
      }
    },
    reopen() {
      isReopenWanted = true;
    },
    close: () =>
      new Promise((resolve) => {
        if (socket === undefined || !socket.writable) resolve();
        else socket.end(resolve);
      }),
  };
}

function written(socket: Socket, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => end(new Error("the receiver does not read")), WRITE_MS);
    timer.unref();
    const onClose = (): void => end(new Error("the receiver closed the connection"));
    const end = (error?: Error | null): void => {
      clearTimeout(timer);
      socket.off("close", onClose);
      if (error) reject(error);
      else resolve();
    };
    socket.once("close", onClose);
    socket.write(text, end);
  });
}
