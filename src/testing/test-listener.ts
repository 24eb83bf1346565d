import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { systemClock } from "../foundation/clock.io.ts";
import type { Clock } from "../foundation/clock.ts";
import { messageIdMaker } from "../foundation/ids.ts";
import { createListener, type Inherited, type Listener, type ListenerWorld } from "../mail/connection/listener.io.ts";
import { listenerSettings } from "../mail/connection/settings.ts";
import { sessionSettings } from "../mail/session/settings.ts";
import { ownCertificate } from "../service/tls/keeper/own-certificate.io.ts";
import type { ServerProfile } from "../service/tls/tls.ts";
import {
  eventLog,
  lenientPolicy,
  memoryQueue,
  oneAccount,
  rawClient,
  type EventLog,
  type MemoryQueue,
  type RawClient,
} from "./reception.ts";
import { testProfile } from "./tls-profile.ts";

/** A listener on loopback with everything behind it in memory. Close it with `await using`. */
export interface TestListener extends AsyncDisposable {
  readonly listener: Listener;
  readonly queue: MemoryQueue;
  readonly log: EventLog;
  readonly port: number;
  connect(from?: string): RawClient;
  /** Connected, greeted, and past EHLO or LHLO. */
  hello(): Promise<RawClient>;
  /** Waits for a log line. */
  logged(pattern: RegExp): Promise<string>;
}

export async function testListener(
  settings: Record<string, unknown> = {},
  options: {
    readonly session?: Record<string, unknown>;
    readonly world?: Partial<ListenerWorld>;
    readonly clock?: Clock;
    readonly inherited?: Inherited;
  } = {},
): Promise<TestListener> {
  const queue = memoryQueue();
  const log = eventLog();
  const place = settings["path"] === undefined ? { port: 0, address: "127.0.0.1" } : {};
  const clock = options.clock ?? systemClock;
  const listener = createListener({
    settings: listenerSettings.parse({ name: "test", ...place, ...settings }),
    session: sessionSettings.parse(options.session ?? {}),
    hostname: "mx.test",
    world: {
      clock,
      emit: log.emit,
      newMessageId: messageIdMaker(clock, 1),
      intake: queue,
      queue,
      policy: lenientPolicy(),
      logins: oneAccount,
      tls: () => undefined,
      ...options.world,
    },
  });
  await listener.listen(options.inherited);
  const address = listener.address();
  const port = typeof address === "object" ? address.port : 0;
  const connect = (from?: string): RawClient => rawClient(typeof address === "string" ? address : port, from);
  return {
    listener,
    queue,
    log,
    port,
    connect,
    async hello() {
      const client = connect();
      await client.expect(/^220 .*\r\n/);
      await client.say(settings["protocol"] === "lmtp" ? "LHLO me.example\r\n" : "EHLO me.example\r\n", /^250 .*\r\n/m);
      return client;
    },
    async logged(pattern) {
      for (let at = 0; at < 6000; at++) {
        const line = log.lines.find((one) => pattern.test(one));
        if (line !== undefined) return line;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      throw new Error(`${pattern} was never logged, but\n${log.lines.join("\n")}`);
    },
    [Symbol.asyncDispose]: () => listener.close(0),
  };
}

let contexts: Promise<ServerProfile> | undefined;

/** A certificate for mx.test, made once in a test run. */
export function testCertificate(): Promise<ServerProfile> {
  contexts ??= (async () => {
    const directory = mkdtempSync(join(tmpdir(), "posthorn-certificate-"));
    return testProfile([await ownCertificate(directory, ["mx.test"], systemClock)]);
  })();
  return contexts;
}

/** A TLS client on a socket that is there; resolves when the handshake is done. */
export async function startTlsOn(client: RawClient): Promise<RawClient> {
  client.socket.removeAllListeners("data");
  const socket = connectTls({ socket: client.socket, servername: "mx.test", rejectUnauthorized: false });
  return await secured(socket);
}

export async function tlsClient(port: number): Promise<RawClient> {
  return await secured(connectTls({ port, host: "127.0.0.1", servername: "mx.test", rejectUnauthorized: false }));
}

async function secured(socket: TLSSocket): Promise<RawClient> {
  const client = rawClient(socket);
  await new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", resolve);
    socket.once("error", reject);
  });
  return client;
}
