import { Readable } from "node:stream";
import { runPosthorn } from "../admin/cli/posthorn.ts";
import type { Dialled, Output, World } from "../admin/cli/world.ts";
import type { ControlClient } from "../admin/control/control.ts";
import { catalogueOf, mailEvents } from "../mail/log/log.ts";
import type { LiveRow } from "../mail/scheduler/admin/admin.ts";

export const NOON = Date.UTC(2026, 10, 21, 12);
export const MESSAGE = "01ARZ3NDEKT";

/** What a command told, asked and left. */
export interface Told {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** What was asked of the server. */
  readonly asked: readonly (readonly [socket: string, name: string, args: unknown])[];
  /** What was left in the drop folder. */
  readonly dropped: readonly string[];
}

/** What the world of a command is to do; a server that knows no answer says nothing. */
export interface Fakes {
  /** The server's answers by operation; an error is thrown. */
  readonly answers?: Readonly<Record<string, unknown>>;
  readonly items?: readonly unknown[];
  /** A stream's portions; an error is thrown in its place. */
  readonly portions?: readonly (readonly unknown[] | Error)[];
  readonly stdin?: string;
  /** What the SMTP server says to each line, the greeting first. */
  readonly smtp?: (line: string) => string | undefined;
  readonly world?: Partial<World>;
}

/** Runs `posthorn` in memory, at `NOON`, as its user types it. */
export async function posthorn(argv: readonly string[], fakes: Fakes = {}): Promise<Told> {
  const dropped: string[] = [];
  let out = "";
  let err = "";
  const asked: Told["asked"][number][] = [];
  const output = (write: (text: string) => void): Output => ({
    isTerminal: false,
    write: (text) => write(typeof text === "string" ? text : Buffer.from(text).toString()),
    room: () => Promise.resolve(),
    flushed: () => Promise.resolve(),
    lost: new AbortController().signal,
  });
  const clientAt = (socket: string): ControlClient => ({
    call: (name, args) => {
      asked.push([socket, name, args]);
      const answer = fakes.answers?.[name];
      // The test hands in what the command expects of this operation.
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer as never);
    },
    async *stream(name, args) {
      asked.push([socket, name, args]);
      for (const item of fakes.items ?? []) yield await Promise.resolve(item as never);
    },
    async *portions(name, args) {
      asked.push([socket, name, args]);
      for (const portion of fakes.portions ?? []) {
        if (portion instanceof Error) throw portion;
        yield await Promise.resolve(portion as never);
      }
    },
    [Symbol.dispose]: () => {},
  });
  const world: World = {
    stdin: Readable.from(fakes.stdin === undefined ? [] : [Buffer.from(fakes.stdin)]),
    stdout: output((text) => (out += text)),
    stderr: output((text) => (err += text)),
    env: {},
    cwd: "/home/anna",
    now: () => NOON,
    offsetMinutes: () => 0,
    version: "1.2.3",
    hostname: "here.example",
    uniqueId: () => "unique",
    caller: { name: "anna", isRoot: false },
    calledAs: "posthorn",
    catalogue: catalogueOf(mailEvents),
    locate: () =>
      Promise.resolve({
        hostname: "mail.example",
        mailName: "mail.example",
        controlPaths: { query: "query", change: "change" },
        journalFile: "journal.db",
        injection: () => Promise.resolve([{ host: "127.0.0.1", port: 2587 }]),
      }),
    checkSettings: () =>
      Promise.resolve({ file: "posthorn.yaml", isFine: false, lines: ["posthorn.yaml:3:5: unknown name"] }),
    connectControl: (path) => Promise.resolve(clientAt(path)),
    openJournal: () => {
      throw new Error("no journal here");
    },
    saveFile: () => Promise.reject(new Error("not asked")),
    probeTls: () => Promise.reject(new Error("not asked")),
    simulate: () => Promise.reject(new Error("not asked")),
    adviseDomains: () => Promise.reject(new Error("not asked")),
    drop: (folder, bytes) => {
      dropped.push(`${folder}: ${Buffer.from(bytes).toString()}`);
      return Promise.resolve();
    },
    autoconfig: () => Promise.reject(new Error("not asked")),
    explain: () => Promise.reject(new Error("not asked")),
    lookupTable: () => Promise.reject(new Error("not asked")),
    aliasFiles: () => Promise.resolve([]),
    makeMap: () => Promise.reject(new Error("not asked")),
    checkAliases: () => Promise.reject(new Error("not asked")),
    listSimulations: () => Promise.resolve([{ name: "storm", says: "A storm." }]),
    testPolicy: () => Promise.resolve({ outcomes: [], settings: [] }),
    makeSigningKey: () => Promise.resolve({ line: 's._domainkey.example.org. IN TXT "v=DKIM1"' }),
    checkSigning: () => Promise.resolve([]),
    comparePolicy: () => Promise.resolve({ sessions: 0, unclear: 0, queued: 0, hasQueue: false, changes: [] }),
    hashPassword: (password) => Promise.resolve(`hash of ${password}`),
    readSecret: () => Promise.resolve("secret"),
    restore: () => Promise.resolve({ messages: 1, bytes: 2, lost: { count: 0, messages: [] } }),
    dial: () => Promise.resolve(dialled(fakes.smtp ?? (() => undefined))),
    sleep: () => Promise.resolve(),
    interrupted: new AbortController().signal,
    ...fakes.world,
  };
  const code = await runPosthorn(argv, world);
  return { code, out, err, asked, dropped };
}

/** A connection to a server that says this to each line; to an empty one, before all, its greeting. */
export function dialled(answer: (line: string) => string | undefined): Dialled {
  let said = answer("") ?? "";
  let unread = "";
  return {
    read: () => {
      const bytes = Buffer.from(said);
      said = "";
      return Promise.resolve(bytes.length === 0 ? undefined : bytes);
    },
    write: (bytes) => {
      unread += String(bytes);
      for (let at = unread.indexOf("\r\n"); at >= 0; at = unread.indexOf("\r\n")) {
        said += answer(unread.slice(0, at)) ?? "";
        unread = unread.slice(at + 2);
      }
      return Promise.resolve();
    },
    end: () => {},
    close: () => {},
  };
}

/** A row of the queue that waits after three attempts, to a recipient who means ill. */
export const liveRow: LiveRow = {
  envelope: `${MESSAGE}.1`,
  message: MESSAGE,
  state: "queued",
  live: "waiting",
  sender: "",
  recipient: "evil\u001b[2J@d.example",
  action: "relay",
  sizeBytes: 2048,
  receivedAt: NOON - 90 * 60_000,
  dueAt: NOON + 5 * 60_000,
  expiresAt: NOON + 1e9,
  attempts: 3,
  lastFailure: {
    lasting: "temporary",
    status: "4.4.1",
    cause: { kind: "connect", reason: "refused", text: "ECONNREFUSED" },
  },
};
