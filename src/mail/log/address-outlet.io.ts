import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { connect, isIPv6, type Socket } from "node:net";
import { once } from "node:events";
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
  utc: (at: number) => string,
): Outlet {
  const format: Format = (line) => rfc5424Message(line, hostname, utc(line.at));
  return target.kind === "udp" ? datagrams(target, format) : stream(target, format);
}

function datagrams(target: { readonly host: string; readonly port: number }, format: Format): Outlet {
  let socket: DatagramSocket | undefined;
  const opened = (): DatagramSocket => {
    if (socket !== undefined) return socket;
    socket = createSocket(isIPv6(target.host) ? "udp6" : "udp4");
    socket.unref();
    // A receiver that is not there may be told by ICMP; UDP has no delivery to speak of either way.
    socket.on("error", () => letGo());
    return socket;
  };
  const letGo = (): void => {
    const old = socket;
    socket = undefined;
    old?.close();
  };
  return {
    batchCharacters: 32 * 1024,
    async send(lines) {
      for (const line of lines) {
        const bytes = Buffer.from(format(line)).subarray(0, LONGEST_DATAGRAM);
        await new Promise<void>((resolve, reject) => {
          opened().send(bytes, target.port, target.host, (error) => (error ? reject(error) : resolve()));
        });
      }
    },
    reopen: letGo,
    close: () => Promise.resolve(letGo()),
  };
}

function stream(target: Extract<LogTarget, { kind: "tcp" | "unix" }>, format: Format): Outlet {
  let socket: Socket | undefined;
  const letGo = (): void => {
    socket?.destroy();
    socket = undefined;
  };
  const opened = async (): Promise<Socket> => {
    if (socket?.writable === true) return socket;
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
    reopen: letGo,
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
