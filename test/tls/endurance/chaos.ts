/**
 * Both ends of a connection do what they like, at random moments: write, end, close both ways, destroy, reset, stop and go
 * on reading. Nothing may throw, and nothing may stay open.
 */
import { connect as tlsConnect, createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { Socket } from "node:net";
import { isDeepStrictEqual } from "node:util";
import type { Closing } from "../../../src/service/tls/facts.ts";
import type { Handshaken, TlsConnection } from "../../../src/service/tls/tls.ts";
import { inParallel, pick, rest, upTo, within, type Version, type World } from "./world.ts";

export interface ChaosReport {
  readonly connections: number;
  /** Handshakes of ours that succeeded; the others were cut short on purpose. */
  readonly established: number;
  /** `peer/we`: how often. */
  readonly ends: ReadonlyMap<string, number>;
  readonly wrong: readonly string[];
}

/** One end: a connection of ours, or a socket of Node's. */
interface End {
  readonly socket: TLSSocket;
  readonly ours?: TlsConnection | undefined;
  readonly raw: Socket;
}

const ACTIONS = [
  "write",
  "write",
  "write",
  "pause",
  "resume",
  "rest",
  "end",
  "close",
  "close",
  "destroy",
  "destroyRaw",
  "reset",
] as const;

export async function runChaos(world: World, count: number): Promise<ChaosReport> {
  const ends = new Map<string, number>();
  const wrong: string[] = [];
  let established = 0;
  const { random } = world;
  const theirs = createTlsServer({
    key: world.certificate.key,
    cert: world.certificate.cert,
    handshakeTimeout: 10_000,
  });
  theirs.on("tlsClientError", (_error, socket) => socket.destroy());
  theirs.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    void act(world, { socket, raw: socket });
  });
  const theirPort = await world.listen((socket) => theirs.emit("connection", socket), false);

  await inParallel(count, 24, async (index) => {
    const version: Version = pick(random, ["TLSv1.2", "TLSv1.3"]);
    const kind = pick(random, ["both", "server", "client"] as const);
    const watched: Promise<Closing>[] = [];
    const take = async (shaking: Promise<Handshaken>, raw: Socket): Promise<void> => {
      const shaken = await shaking;
      if (!shaken.ok) {
        if (shaken.finding.sentence === "") wrong.push(`#${index}: a failure without a sentence`);
        if (!raw.destroyed) raw.destroy();
        return;
      }
      established++;
      const { connection } = shaken;
      watched.push(new Promise((resolve) => connection.onClosed(resolve)));
      await act(world, { socket: connection.socket, ours: connection, raw });
    };
    try {
      const acting: Promise<void>[] = [];
      let raw: Socket;
      if (kind === "client") raw = await world.dial(theirPort);
      else {
        const { dialled, accepted } = await world.pair();
        raw = dialled;
        acting.push(take(world.server.accept(accepted, { deadlineMs: 15_000 }), accepted));
      }
      if (kind !== "server" && random.next() < 0.05)
        setTimeout(() => pick(random, [() => raw.destroy(), () => raw.resetAndDestroy()])(), upTo(random, 5));
      if (kind === "server") {
        const socket = tlsConnect({
          socket: raw,
          rejectUnauthorized: false,
          servername: "mx.example",
          maxVersion: version,
          minVersion: version,
        });
        socket.on("error", () => {});
        acting.push(act(world, { socket, raw }, true));
      } else {
        const key = random.next() < 0.3 ? "kept" : undefined;
        acting.push(
          take(world.client.connect(raw, { ...world.connectOptions(version, key), deadlineMs: 15_000 }), raw),
        );
      }
      await within(60_000, "all that was to be done", Promise.all(acting));
      for (const closing of await within(20_000, "the ends", Promise.all(watched))) {
        const name = `${closing.peer}/${closing.we}${closing.because ? " " + closing.because.slice(0, 80) : ""}`;
        ends.set(name, (ends.get(name) ?? 0) + 1);
        if (closing.we === "open" && closing.peer === "open") wrong.push(`#${index}: ended by nobody`);
      }
    } catch (thrown) {
      wrong.push(`#${index} ${version} ${kind}: ${String(thrown)}`);
    }
  });
  return { connections: count, established, ends, wrong };
}

/** Some things, then the end, after which everything is closed. */
async function act(world: World, { socket, ours, raw }: End, isShaking = false): Promise<void> {
  const { random } = world;
  socket.on("error", () => {});
  if (random.next() < 0.9) socket.on("data", () => {});
  if (isShaking)
    await new Promise((resolve) => {
      socket.once("secureConnect", resolve);
      socket.once("close", resolve);
    });
  const isPolite = random.next() < 0.5;
  if (isPolite) socket.once("end", () => (ours === undefined ? socket.end() : void ours.close(200)));
  const told: Closing[] = [];
  ours?.onClosed((closing) => told.push(closing));
  for (let left = upTo(random, 8); left > 0; left--) {
    switch (pick(random, ACTIONS)) {
      case "write":
        if (socket.writable) socket.write(Buffer.alloc(1 + upTo(random, pick(random, [30, 3000, 60_000]))));
        break;
      case "pause":
        socket.pause();
        break;
      case "resume":
        socket.resume();
        break;
      case "rest":
        await rest(upTo(random, 4));
        break;
      case "end":
        if (socket.writable && random.next() < 0.5) socket.end("bye");
        else socket.end();
        break;
      case "close":
        if (ours !== undefined) void ours.close(pick(random, [0, 5, 50, 300]));
        break;
      case "destroy":
        if (ours !== undefined) ours.destroy();
        else socket.destroy();
        break;
      case "destroyRaw":
        if (ours !== undefined && random.next() < 0.3) raw.destroy();
        break;
      case "reset":
        // Node cannot reset what is ending, and would leave it open.
        if (ours !== undefined && !raw.writableEnded && random.next() < 0.3) raw.resetAndDestroy();
        break;
      default:
    }
    if (random.next() < 0.5) await rest(upTo(random, 2));
  }
  if (random.next() < 0.5) await rest(upTo(random, 20));
  if (ours === undefined) {
    socket.destroy();
    return;
  }
  const closing = await ours.close(100);
  const later = ours.closing();
  if (!isDeepStrictEqual(closing, later) || told.length !== 1)
    throw new Error(`an end that changed: ${JSON.stringify([closing, later, told])}`);
  // Its user has nothing left to do, so there must be nothing left.
  for (let waited = 0; waited < 500 && !(socket.destroyed && raw.destroyed); waited += 5) await rest(5);
  if (!socket.destroyed || !raw.destroyed) throw new Error("something is still there after the end");
}
