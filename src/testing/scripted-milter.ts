import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { milterNumber, milterPacket, milterPacketReader } from "../protocol/milter/packet.ts";

/** What a scripted milter does at a command. */
export type MilterAct =
  /** Packets, one after the other. */
  | readonly Buffer[]
  /** The connection is closed. */
  | "close"
  /** Nothing is said, ever. */
  | "silence"
  /** Nothing more is read. */
  | "deafness";

export interface ScriptedMilter extends AsyncDisposable {
  /** `inet:127.0.0.1:port`, or `unix:/path`. */
  readonly address: string;
  /** Commands in their order: code, a blank, and the data with `|` for NUL. Macros begin with D. */
  readonly heard: readonly string[];
  /** Without macros and negotiation. */
  commands(): readonly string[];
  readonly connections: number;
  /** Connections that are still open. */
  open(): number;
  /** Says this to all of them, unasked. */
  push(packet: Buffer): void;
  /** Closes them all. */
  drop(): void;
  /** Resolves when `count` commands that begin like this were heard. */
  sees(start: string, count?: number): Promise<void>;
}

export const says = {
  continue: milterPacket("c"),
  accept: milterPacket("a"),
  reject: milterPacket("r"),
  tempfail: milterPacket("t"),
  discard: milterPacket("d"),
  skip: milterPacket("s"),
  progress: milterPacket("p"),
  shutdown: milterPacket("4"),
  reply: (text: string): Buffer => milterPacket("y", text),
  addHeader: (name: string, value: string): Buffer => milterPacket("h", name, value),
  insertHeader: (index: number, name: string, value: string): Buffer =>
    milterPacket("i", milterNumber(index), name, value),
  changeHeader: (index: number, name: string, value: string): Buffer =>
    milterPacket("m", milterNumber(index), name, value),
  replaceBody: (piece: string): Buffer => milterPacket("b", Buffer.from(piece, "latin1")),
  addRecipient: (address: string): Buffer => milterPacket("+", address),
  removeRecipient: (address: string): Buffer => milterPacket("-", address),
  changeSender: (address: string): Buffer => milterPacket("e", address),
  quarantine: (reason: string): Buffer => milterPacket("q", reason),
} as const;

/**
 * A milter on loopback that does what a test says. `on` is asked at each command but macros and negotiation, and answers
 * "continue" where it gives nothing. Steps (`negotiation.ts`) that are not answered are up to `on`.
 */
export async function startScriptedMilter(
  options: {
    readonly version?: number;
    readonly actions?: number;
    readonly steps?: number;
    /** Behind the answer to the offer. */
    readonly chosen?: Buffer;
    readonly unix?: boolean;
    readonly on?: (command: { code: string; text: string; connection: number }) => MilterAct | undefined;
    /** Instead of the answer to the offer. */
    readonly negotiation?: MilterAct;
  } = {},
): Promise<ScriptedMilter> {
  const { version = 6, actions = 0x1ff, steps = 0, chosen = Buffer.alloc(0), on = () => undefined } = options;
  const heard: string[] = [];
  const sockets = new Set<Socket>();
  const watchers = new Set<() => void>();
  let connections = 0;
  const agreement = milterPacket(
    "O",
    Buffer.concat([milterNumber(version), milterNumber(actions), milterNumber(steps), chosen]),
  );
  const server = createServer((socket) => {
    const connection = ++connections;
    sockets.add(socket);
    const read = milterPacketReader();
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (chunk) => {
      const packets = read(chunk);
      if (!packets.ok) throw new Error(packets.problem);
      for (const { code, data } of packets.value) {
        const text = data.toString("latin1").replaceAll("\0", "|");
        heard.push(`${code} ${text}`);
        let act: MilterAct;
        if (code === "O") act = options.negotiation ?? [agreement];
        else if (code === "D") act = "silence";
        else act = on({ code, text, connection }) ?? (code === "A" || code === "Q" ? "silence" : [says.continue]);
        if (act === "close") socket.destroy();
        else if (act === "deafness") socket.pause();
        else if (act !== "silence") for (const packet of act) socket.write(packet);
        if (code === "Q") socket.end();
      }
      for (const watch of watchers) watch();
    });
  });
  const folder = options.unix === true ? mkdtempSync(join(tmpdir(), "posthorn-milter-")) : undefined;
  if (folder === undefined) server.listen(0, "127.0.0.1");
  else {
    server.listen({ path: join(folder, "sock"), writableAll: true });
    chmodSync(folder, 0o755);
  }
  await once(server, "listening");
  const at = server.address();
  return {
    address: typeof at === "object" && at !== null ? `inet:127.0.0.1:${at.port}` : `unix:${at}`,
    heard,
    commands: () => heard.filter((line) => !line.startsWith("O ") && !line.startsWith("D ")),
    get connections() {
      return connections;
    },
    open: () => sockets.size,
    push(packet) {
      for (const socket of sockets) socket.write(packet);
    },
    drop() {
      for (const socket of sockets) socket.destroy();
    },
    sees(start, count = 1) {
      return new Promise((resolve) => {
        const watch = (): void => {
          if (heard.filter((line) => line.startsWith(start)).length < count) return;
          watchers.delete(watch);
          resolve();
        };
        watchers.add(watch);
        watch();
      });
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}
