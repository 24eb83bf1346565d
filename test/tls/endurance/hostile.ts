/**
 * Peers that speak TLS well enough to do harm: floods of key updates, before and after either side's close_notify, asked
 * for at the moment when we close; data, alerts and garbage behind a close_notify; records that cannot be decrypted;
 * renegotiation; no reading. Ours is the server, or the client.
 */
import { createPrivateKey, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect as tlsConnect } from "node:tls";
import type { Socket } from "node:net";
import type { Closing } from "../../../src/service/tls/facts.ts";
import type { TlsConnection } from "../../../src/service/tls/tls.ts";
import { bareClient, bareServer, type BareTls } from "./bare-tls13.ts";
import { inParallel, pick, rest, upTo, within, type World } from "./world.ts";

/** What is done, and what must be said of it; undefined: nothing has to be. */
const DEEDS = {
  "key updates": "key-update-flood",
  "key updates, deaf": "key-update-flood",
  "key updates after our close": "key-update-flood",
  "key updates after their close": "data-after-close",
  "a few key updates while we close": undefined,
  "garbage after their close": "data-after-close",
  "garbage with their close": "data-after-close",
  "data after their close": "data-after-close",
  "an alert after their close": undefined,
  "a record that is none": "bad-record",
  "a bad record": "bad-record",
  "empty records": "bad-record",
  "deaf to a long answer": undefined,
  renegotiation: "renegotiation-refused",
  "half a hello": undefined,
  "a hello and away": undefined,
} as const;

type Deed = keyof typeof DEEDS;
const NAMES = Object.keys(DEEDS) as Deed[];

export interface HostileReport {
  readonly connections: number;
  /** `deed: reason`: how often. */
  readonly said: ReadonlyMap<string, number>;
  readonly wrong: readonly string[];
}

export async function runHostile(world: World, count: number): Promise<HostileReport> {
  const said = new Map<string, number>();
  const wrong: string[] = [];
  const own = { cert: world.certificate.cert, key: createPrivateKey(world.certificate.key) };

  const ours = async (raw: Socket, role: "server" | "client"): Promise<TlsConnection | string> => {
    const shaken =
      role === "server"
        ? await world.server.accept(raw, { deadlineMs: 15_000 })
        : await world.client.connect(raw, { ...world.connectOptions("TLSv1.3"), deadlineMs: 15_000 });
    return shaken.ok ? shaken.connection : shaken.finding.reason;
  };

  await inParallel(count, 12, async (index) => {
    const deed = NAMES[index % NAMES.length] ?? "key updates";
    const role = deed === "renegotiation" || Math.floor(index / NAMES.length) % 2 === 0 ? "server" : "client";
    const { dialled: mine, accepted: theirs } = await world.pair();
    try {
      const reason = await within(40_000, deed, suffer(world, deed, role, { mine, theirs }, own, ours));
      const name = `${deed}: ${reason ?? "nothing"}`;
      said.set(name, (said.get(name) ?? 0) + 1);
      const expected = DEEDS[deed];
      // It may come when both sides have said their close_notify and nobody listens any more.
      const isMissed = reason === undefined && deed === "garbage after their close";
      if (expected !== undefined && reason !== expected && !isMissed)
        wrong.push(`#${index} ${role} ${deed}: called ${reason ?? "nothing"}`);
    } catch (thrown) {
      wrong.push(`#${index} ${role} ${deed}: ${String(thrown)}`);
    }
    mine.destroy();
    theirs.destroy();
  });
  return { connections: count, said, wrong };
}

async function suffer(
  world: World,
  deed: Deed,
  role: "server" | "client",
  { mine, theirs }: { mine: Socket; theirs: Socket },
  own: Parameters<typeof bareServer>[1],
  shake: (raw: Socket, role: "server" | "client") => Promise<TlsConnection | string>,
): Promise<string | undefined> {
  const { random } = world;
  const shaking = shake(theirs, role);
  if (deed === "half a hello" || deed === "a hello and away") {
    mine.write(Buffer.from("1603010200010001fc0303", "hex"));
    await rest(upTo(random, 10));
    if (deed === "a hello and away")
      pick(random, [() => mine.end(), () => mine.resetAndDestroy(), () => mine.destroy()])();
    else mine.end(randomBytes(upTo(random, 600)));
    const reason = await shaking;
    return typeof reason === "string" ? reason : "a handshake";
  }
  let bare: BareTls | undefined;
  const node =
    deed === "renegotiation"
      ? tlsConnect({ socket: mine, rejectUnauthorized: false, maxVersion: "TLSv1.2" }).on("error", () => {})
      : undefined;
  const isSecured = node === undefined ? undefined : once(node, "secureConnect");
  if (node === undefined) bare = await (role === "server" ? bareClient(mine, "mx.example") : bareServer(mine, own));
  const connection = await shaking;
  if (typeof connection === "string") throw new Error(`the handshake failed: ${connection}`);

  let reason: string | undefined;
  connection.onFinding((finding) => (reason = finding.reason));
  const closed = new Promise<Closing>((resolve) => connection.onClosed(resolve));
  const { socket } = connection;
  socket.on("data", (chunk: Buffer) => {
    if (socket.writable && socket.writableLength < 100_000) socket.write(chunk);
    if (random.next() < 0.1) {
      socket.pause();
      setImmediate(() => socket.resume());
    }
  });
  socket.on("end", () => void connection.close(8000));
  if (node !== undefined) {
    await isSecured;
    node.renegotiate({}, () => {});
  }
  if (bare !== undefined) misbehave(world, deed, bare, connection);
  // However it went on, it ends: by us at the latest. What has to be said of it is waited for, on a busy machine too.
  const last = setTimeout(() => void connection.close(300), DEEDS[deed] === undefined ? 400 : 8000);
  connection.onClosed(() => clearTimeout(last));
  await within(15_000, `the end of what is ${JSON.stringify(connection.closing())}`, closed);
  await rest(2);
  node?.destroy();
  if (!socket.destroyed) throw new Error("the socket is still there");
  return reason;
}

function misbehave(world: World, deed: Deed, bare: BareTls, connection: TlsConnection): void {
  const { random } = world;
  const send = (...records: readonly Buffer[]): void => {
    if (bare.socket.destroyed) return;
    if (random.next() < 0.5) for (const record of records) bare.socket.write(record);
    else bare.socket.write(Buffer.concat(records));
  };
  const updates = (count: number): Buffer[] => Array.from({ length: count }, () => bare.keyUpdate(random.next() < 0.8));
  switch (deed) {
    case "key updates":
      send(...updates(300));
      break;
    case "key updates, deaf":
      bare.socket.pause();
      connection.socket.write(Buffer.alloc(3_000_000));
      send(...updates(1000));
      break;
    case "key updates after our close":
      void connection.close(8000);
      setTimeout(() => send(...updates(300)), upTo(random, 3));
      break;
    case "key updates after their close":
      send(bare.closeNotify(), ...updates(300));
      break;
    case "a few key updates while we close": {
      // Spread over the moments around our end: answers to them must find a way out, or none, and nothing may break.
      const rounds = 1 + upTo(random, 20);
      for (let round = 0; round < rounds; round++)
        setTimeout(() => send(...updates(1 + upTo(random, 3))), upTo(random, 6));
      setTimeout(
        () => {
          connection.socket.pause();
          setImmediate(() => {
            connection.socket.resume();
            process.nextTick(() => void connection.close(100));
          });
        },
        upTo(random, 6),
      );
      break;
    }
    case "garbage after their close":
      send(bare.closeNotify());
      setTimeout(() => send(randomBytes(100 + upTo(random, 20_000))), upTo(random, 2));
      break;
    case "garbage with their close":
      bare.socket.write(Buffer.concat([bare.closeNotify(), Buffer.alloc(200, 0x41)]));
      break;
    case "data after their close":
      send(bare.closeNotify(), bare.seal("data", randomBytes(200 + upTo(random, 5000))));
      break;
    case "an alert after their close":
      send(bare.closeNotify(), bare.seal("alert", Buffer.from([2, 80])));
      break;
    case "a record that is none":
      send(bare.seal("data", Buffer.from("NOOP\r\n")), Buffer.from("EHLO in the clear\r\n".repeat(20)));
      break;
    case "a bad record":
      send(Buffer.concat([Buffer.from([23, 3, 3, 1, 0]), randomBytes(256)]));
      break;
    case "empty records":
      send(...Array.from({ length: 300 }, () => bare.seal("data", Buffer.alloc(0))));
      break;
    case "deaf to a long answer":
      bare.socket.pause();
      connection.socket.write(Buffer.alloc(5_000_000));
      void connection.close(200);
      break;
    case "renegotiation":
    case "half a hello":
    case "a hello and away":
      // Done elsewhere: with Node's own TLS, or before there is any.
      break;
    default:
  }
}
