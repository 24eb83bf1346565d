/**
 * Ground truth: connections whose end is made on purpose, by a peer that is Node's own TLS behind a relay that can lose a
 * FIN, cut a record, reset or fall silent. What our side says must be what was done, and what was sent before a proper end
 * must have arrived whole, however slowly it was read.
 */
import { once } from "node:events";
import { connect as tlsConnect, createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { Socket } from "node:net";
import type { Closing } from "../../../src/service/tls/facts.ts";
import type { TlsConnection } from "../../../src/service/tls/tls.ts";
import { inParallel, pick, rest, upTo, within, type Version, type World } from "./world.ts";

const ENDINGS = {
  "close_notify, FIN": { peer: ["close_notify"], we: ["close_notify+fin"], isWhole: true },
  "close_notify, left open": { peer: ["close_notify"], we: ["close_notify+fin"], isWhole: true },
  "FIN alone": { peer: ["truncated"], we: ["close_notify+fin"], isWhole: true },
  "FIN inside a record": { peer: ["truncated-mid-record"], we: ["close_notify+fin"], isWhole: true },
  reset: { peer: ["reset"], we: ["open", "close_notify"], isWhole: false },
  "silent to our close": { peer: ["no-answer"], we: ["close_notify"], isWhole: false },
  "we close": { peer: ["close_notify"], we: ["close_notify+fin"], isWhole: false },
  "we cut": { peer: ["open"], we: ["cut"], isWhole: false },
} as const satisfies Record<
  string,
  { peer: readonly Closing["peer"][]; we: readonly Closing["we"][]; isWhole: boolean }
>;

type Ending = keyof typeof ENDINGS;
const NAMES = Object.keys(ENDINGS) as Ending[];
/** Short of the deadline, so that a silent peer does not make the run long. */
const SILENCE_MS = 120;

export interface EndingsReport {
  readonly connections: number;
  /** `server TLSv1.3 reset`: how many. */
  readonly counts: ReadonlyMap<string, number>;
  readonly wrong: readonly string[];
}

export async function runEndings(world: World, count: number): Promise<EndingsReport> {
  const counts = new Map<string, number>();
  const wrong: string[] = [];
  const stage = await makeStage(world);
  await inParallel(count, 16, async (index) => {
    const role = index % 2 === 0 ? "server" : "client";
    const version: Version = index % 4 < 2 ? "TLSv1.2" : "TLSv1.3";
    const ending = NAMES[Math.floor(index / 4) % NAMES.length] ?? "we cut";
    const name = `${role} ${version} ${ending}`;
    try {
      const problem = await within(60_000, "the end", endOne(world, stage, role, version, ending));
      if (problem !== undefined) wrong.push(`#${index} ${name}: ${problem}`);
    } catch (thrown) {
      wrong.push(`#${index} ${name}: ${String(thrown)}`);
    }
    counts.set(name, (counts.get(name) ?? 0) + 1);
  });
  await stage.close();
  return { connections: count, counts, wrong };
}

interface Pair {
  readonly ours: TlsConnection;
  readonly peer: TLSSocket;
  readonly relay: Relay;
}

interface Stage {
  make(role: "server" | "client", version: Version): Promise<Pair>;
  close(): Promise<void>;
}

/** Three ports: ours, the relay's, and that of Node's own server. */
async function makeStage(world: World): Promise<Stage> {
  const accepted: ((socket: Socket) => void)[] = [];
  const ourPort = await world.listen((socket) => accepted.shift()?.(socket));
  const relayed: ((socket: Socket) => void)[] = [];
  const relayPort = await world.listen((socket) => relayed.shift()?.(socket));
  const secured: ((socket: TLSSocket) => void)[] = [];
  const peerServer = createTlsServer(
    { key: world.certificate.key, cert: world.certificate.cert, noDelay: true },
    (socket) => {
      socket.on("error", () => {});
      secured.shift()?.(socket);
    },
  );
  await new Promise<void>((done) => peerServer.listen(0, "127.0.0.1", done));
  const address = peerServer.address();
  const peerPort = address !== null && typeof address === "object" ? address.port : 0;
  // One connection is made at a time, so that the halves of a pair find each other.
  let last: Promise<unknown> = Promise.resolve();
  const make = async (role: "server" | "client", version: Version): Promise<Pair> => {
    const incoming = new Promise<Socket>((resolve) => relayed.push(resolve));
    if (role === "server") {
      const raw = new Promise<Socket>((resolve) => accepted.push(resolve));
      const peer = tlsConnect({
        socket: await world.dial(relayPort, false),
        rejectUnauthorized: false,
        servername: "mx.example",
        minVersion: version,
        maxVersion: version,
      });
      peer.on("error", () => {});
      const isSecured = once(peer, "secureConnect");
      const relay = new Relay({ near: await world.dial(ourPort), far: await incoming });
      const shaken = await world.server.accept(await raw, { deadlineMs: 30_000 });
      if (!shaken.ok) throw new Error(shaken.finding.sentence);
      await isSecured;
      return { ours: shaken.connection, peer, relay };
    }
    const peer = new Promise<TLSSocket>((resolve) => secured.push(resolve));
    const raw = await world.dial(relayPort);
    const relay = new Relay({ near: await incoming, far: await world.dial(peerPort) });
    const shaken = await world.client.connect(raw, world.connectOptions(version));
    if (!shaken.ok) throw new Error(shaken.finding.sentence);
    return { ours: shaken.connection, peer: await peer, relay };
  };
  return {
    make(role, version) {
      const made = last.then(() => make(role, version));
      last = made.catch(() => {});
      return made;
    },
    close: () => new Promise((done) => void peerServer.close(() => done())),
  };
}

/** Between `near`, our side, and `far`, the peer. */
class Relay {
  readonly near: Socket;
  readonly far: Socket;
  bytesFromPeer = 0;
  /** What to do with the next bytes of the peer, in place of passing them on. */
  instead: ((chunk: Buffer) => void) | undefined;
  keepsFin = false;

  constructor({ near, far }: { near: Socket; far: Socket }) {
    this.near = near;
    this.far = far;
    near.on("data", (chunk: Buffer) => far.writable && far.write(chunk));
    near.on("end", () => far.end());
    near.on("close", () => far.destroy());
    far.on("data", (chunk: Buffer) => {
      this.bytesFromPeer += chunk.length;
      if (this.instead !== undefined) this.instead(chunk);
      else if (near.writable) near.write(chunk);
    });
    far.on("end", () => {
      if (!this.keepsFin) near.end();
    });
  }

  /** Nothing has come from the peer for a while, and everything has been passed on. */
  async settled(): Promise<void> {
    for (let seen = -1, still = 0; still < 3;) {
      await rest(2);
      still = seen === this.bytesFromPeer && this.near.writableLength === 0 ? still + 1 : 0;
      seen = this.bytesFromPeer;
    }
  }
}

async function endOne(
  world: World,
  stage: Stage,
  role: "server" | "client",
  version: Version,
  ending: Ending,
): Promise<string | undefined> {
  const { ours, peer, relay } = await stage.make(role, version);
  const { random } = world;
  const expected = ENDINGS[ending];
  const closed = new Promise<Closing>((resolve) => ours.onClosed(resolve));
  let found: string | undefined;
  ours.onFinding((finding) => (found = finding.sentence));

  let received = 0;
  const { socket } = ours;
  socket.on("data", (chunk: Buffer) => {
    received += chunk.length;
    if (random.next() < 0.2) {
      socket.pause();
      setTimeout(() => socket.resume(), upTo(random, 15));
    }
  });
  // A peer that has ended gets our end for its own, as every user of a connection does it.
  socket.on("end", () => void ours.close(20_000));
  peer.resume();

  const sent = pick(random, [0, 1, 200, 5000, 70_000, 200_000]);
  if (random.next() < 0.5) socket.write(Buffer.alloc(upTo(random, 30_000)));
  if (sent > 0) await new Promise<void>((done) => peer.write(Buffer.alloc(sent), () => done()));
  if (random.next() < 0.5) await rest(upTo(random, 5));

  switch (ending) {
    case "close_notify, FIN":
      peer.end();
      break;
    case "close_notify, left open":
      relay.keepsFin = true;
      peer.end();
      break;
    case "FIN alone":
      await relay.settled();
      relay.instead = () => {};
      relay.near.end();
      break;
    case "FIN inside a record": {
      await relay.settled();
      relay.instead = (chunk) => {
        relay.instead = () => {};
        relay.near.end(chunk.subarray(0, chunk.length - 1 - upTo(random, 15)));
      };
      peer.write(Buffer.alloc(1 + upTo(random, 500)));
      break;
    }
    case "reset":
      await relay.settled();
      relay.near.resetAndDestroy();
      break;
    case "silent to our close":
      await relay.settled();
      relay.instead = () => {};
      relay.keepsFin = true;
      void ours.close(SILENCE_MS);
      break;
    case "we close":
      void ours.close(20_000);
      break;
    case "we cut":
      ours.destroy();
      break;
    default:
  }
  const closing = await within(30_000, `the end of what is ${JSON.stringify(ours.closing())}`, closed);
  const isRight =
    (expected.peer as readonly string[]).includes(closing.peer) &&
    (expected.we as readonly string[]).includes(closing.we);
  if (!socket.destroyed) socket.destroy();
  peer.destroy();
  relay.near.destroy();
  if (!isRight) return `was called ${JSON.stringify(closing)}`;
  if (expected.isWhole && received !== sent) return `${received} of ${sent} bytes arrived`;
  return found === undefined ? undefined : `was found fault with: ${found}`;
}
