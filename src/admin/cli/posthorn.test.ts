import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { PosthornError } from "../../foundation/error.ts";
import { catalogueOf, mailEvents } from "../../mail/log/log.ts";
import type { LiveRow } from "../../mail/scheduler/admin/admin.ts";
import type { ControlClient } from "../control/control.ts";
import { snapshot } from "../../mail/scheduler/replay/snapshot.ts";
import { commands } from "./commands.ts";
import { commandsReference } from "./help.ts";
import { runPosthorn } from "./posthorn.ts";
import type { Dialled, Output, World } from "./world.ts";

const NOON = Date.UTC(2026, 10, 21, 12);
const MESSAGE = "01ARZ3NDEKT";

interface Told {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** What was asked of the server. */
  readonly asked: readonly (readonly [socket: string, name: string, args: unknown])[];
  /** What was left in the drop folder. */
  readonly dropped: readonly string[];
}

interface Fakes {
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

async function posthorn(argv: readonly string[], fakes: Fakes = {}): Promise<Told> {
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

function dialled(answer: (line: string) => string | undefined): Dialled {
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

const row: LiveRow = {
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

test("an unknown command gets the nearest known one", async () => {
  const { code, err } = await posthorn(["quue"]);
  assert.equal(code, 64);
  assert.match(err, /^posthorn: unknown command "quue"; did you mean queue\?\n/);
  assert.match((await posthorn(["queue", "lst"])).err, /did you mean list\?/);
  assert.match((await posthorn(["queue"])).err, /there are: list, show, count/);
});

test("every command explains itself, and the reference has them all", async () => {
  const reference = commandsReference();
  for (const { name } of commands) {
    const { code, out } = await posthorn([...name.split(" "), "--help"]);
    assert.equal(code, 0, name);
    assert.ok(out.startsWith(`posthorn ${name}`), name);
    assert.match(reference, new RegExp(`^## posthorn ${name}$`, "m"));
  }
  assert.match((await posthorn(["help"])).out, /queue list/);
});

test("a backup tells whose content the queue had lost, and a restore too", async () => {
  const whole = { messages: 2, bytes: 4096, lost: { count: 0, messages: [] } };
  const short = { ...whole, lost: { count: 21, messages: [MESSAGE] } };
  assert.deepEqual(
    await posthorn(["backup", "/b"], { answers: { backup: whole } }).then(({ code, out, err }) => [code, out, err]),
    [0, "2 messages, 4.0 KiB, in /b\n", ""],
  );
  for (const { code, out, err } of [
    await posthorn(["backup", "/b"], { answers: { backup: short } }),
    await posthorn(["restore", "/b"], { world: { restore: () => Promise.resolve(short) } }),
  ]) {
    assert.equal(code, 65);
    assert.match(out, /^2 messages, 4\.0 KiB, /);
    assert.match(
      err,
      /^posthorn: .* the content of 21 messages had been lost from the queue before: 01ARZ3NDEKT, \.\.\.\n/,
    );
  }
});

test("--help behind the first word of a group explains all its commands", async () => {
  for (const option of ["--help", "-h"]) {
    const { code, out } = await posthorn(["tls", option]);
    assert.equal(code, 0);
    assert.match(out, /^posthorn tls failures /m);
    assert.match(out, /^posthorn tls probe /m);
  }
});

test("the queue is listed in columns, and what a peer wrote does nothing to the terminal", async () => {
  const { code, out, asked } = await posthorn(
    ["queue", "list", "--state", "deferred", "--older", "1h", "--sender", "<>"],
    { portions: [[row]] },
  );
  assert.equal(code, 0);
  const [title = "", line = ""] = out.split("\n");
  assert.equal(title.indexOf("STATE"), line.indexOf("waiting"));
  assert.match(
    line,
    /01ARZ3NDEKT\.1 +waiting +1h30m +2\.0 KiB +3 +<> +evil\\x1b\[2J@d\.example +in 5m +connect to the next host: ECONNREFUSED/,
  );
  const [[socket, name, args] = []] = asked;
  assert.deepEqual([socket, name], ["query", "queue.list"]);
  assert.deepEqual(JSON.parse(JSON.stringify(args)), {
    state: "deferred",
    sender: "",
    receivedBeforeAt: NOON - 3_600_000,
  });
});

test("a list says what an envelope waits for now and until when, rather than how it failed before", async () => {
  const suspended = { what: "suspended" as const, text: "domain d.example is suspended by ann: a move" };
  for (const [more, expected] of [
    [
      { live: "held", waits: { ...suspended, untilAt: NOON + 7_200_000 } },
      / held .* released in 2h +domain d\.example is/,
    ],
    [{ live: "held", waits: suspended }, / held .* - +domain d\.example is/],
    [{ live: "waiting", waits: suspended }, / waiting .* - +domain d\.example is/],
    [{ live: "waiting", waits: { ...suspended, untilAt: NOON + 60_000 } }, / waiting .* in 5m +domain/],
    [{ live: "waiting", nextAt: NOON + 60_000 }, / waiting .* in 1m +connect to/],
    [
      { live: "waiting", waits: { what: "not-due", text: "not tried: others", untilAt: NOON } },
      / in 5m +not tried: others/,
    ],
    [{ live: "ready" }, / ready .* now +connect to/],
    [
      { live: "ready", waits: { what: "route-rests", text: "every next host rests", untilAt: NOON + 30_000 } },
      / in 30s +every/,
    ],
    [{ live: "ready", waits: { what: "paused", text: "out is paused: x" } }, / ready .* - +out is paused: x/],
    [{ live: "ready", waits: { what: "limit", text: "5 of 5 connections" } }, / ready .* now +5 of 5 connections/],
  ] as readonly (readonly [Partial<LiveRow>, RegExp])[])
    assert.match((await posthorn(["queue", "list"], { portions: [[{ ...row, ...more }]] })).out, expected);
});

test("with --json each envelope is an object of its own line; nothing found exits with 1", async () => {
  const { out } = await posthorn(["queue", "list", "--json"], { portions: [[row], [row]] });
  assert.deepEqual(
    out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as LiveRow),
    [row, row],
  );
  assert.equal((await posthorn(["queue", "list"], { portions: [] })).code, 1);
});

test("a long list is printed as it comes, under one line of titles, and no faster than it is read", async () => {
  const written: string[] = [];
  let rooms = 0;
  const stdout: Output = {
    isTerminal: false,
    write: (text) => void written.push(String(text)),
    room: async () => void rooms++,
    flushed: () => Promise.resolve(),
    lost: new AbortController().signal,
  };
  const wide = { ...row, recipient: `${"x".repeat(60)}@d.example` };
  const broken = new PosthornError("CONTROL_UNREACHABLE", { message: "the server went away", advice: "ask again" });
  const { code, err } = await posthorn(["queue", "list"], {
    portions: [[row], [wide, row], broken],
    world: { stdout },
  });
  // Both portions were out when the third one failed.
  assert.equal(written.length, 2);
  assert.equal(rooms, 2);
  assert.equal(code, 75);
  assert.match(err, /the server went away/);
  const [first = "", second = ""] = written;
  assert.deepEqual(
    first.split("\n").map((line) => line.slice(0, 8)),
    ["ENVELOPE", row.envelope.slice(0, 8), ""],
  );
  const [wider = "", narrower = ""] = second.split("\n");
  assert.doesNotMatch(second, /ENVELOPE/);
  assert.equal(wider.indexOf("in 5m"), narrower.indexOf("in 5m"));
});

test("mistakes in options are told with the nearest one, and with what was expected", async () => {
  for (const [argv, words] of [
    [["queue", "list", "--sendr", "x"], /unknown option --sendr; did you mean --sender\?/],
    [["queue", "list", "--older", "5"], /--older: expected a duration/],
    [["queue", "list", "--state", "lost"], /--state: expected queued, deferred, held, dead/],
    [["queue", "list", "extra"], /"extra" is one argument too many/],
    [["queue", "show"], /MESSAGE\|ENVELOPE is missing/],
    [["queue", "show", "../x"], /neither a message id/],
    [["queue", "hold"], /say which/],
    [["queue", "hold", MESSAGE, "--all"], /in one way only/],
    [["queue", "list", "--limit"], /--limit/],
    [["log"], /say one of/],
    [["pause", "everything"], /expected in, out or local/],
  ] as const) {
    const { code, err, asked } = await posthorn(argv);
    assert.equal(code, 64, argv.join(" "));
    assert.match(err, words);
    assert.match(err, /--help says how to use it\n$/);
    assert.deepEqual(asked, []);
  }
});

test("changes go to the control socket, with who asked as the reason when none is given", async () => {
  const answers = { "queue.hold": { envelopes: 2 }, "queue.retry": { envelopes: 0 } };
  const hold = await posthorn(["queue", "hold", "--domain", "D.example", "--for", "2h"], { answers });
  assert.equal(hold.out, "2 envelopes held\n");
  assert.deepEqual(hold.asked, [
    [
      "change",
      "queue.hold",
      { selector: { by: "domain", domain: "d.example" }, because: "by anna", untilAt: NOON + 7_200_000 },
    ],
  ]);
  const retry = await posthorn(["queue", "retry", `${MESSAGE}.2`], { answers });
  assert.equal(retry.code, 1);
  assert.deepEqual(retry.asked[0]?.[2], { selector: { by: "envelope", id: `${MESSAGE}.2` } });
});

test("a change says what is done, what is asked for while it is being tried, and what could not be done and why", async () => {
  const held = await posthorn(["queue", "remove", "--all"], {
    answers: { "queue.remove": { envelopes: 2, asked: 1 } },
  });
  assert.equal(
    held.out,
    "2 envelopes removed\n1 envelope being tried now: removed unless that delivers it; forgotten if the server ends first\n",
  );
  assert.equal(held.code, 0);
  const asked = await posthorn(["queue", "hold", "--all"], { answers: { "queue.hold": { envelopes: 0, asked: 2 } } });
  assert.equal(
    asked.out,
    "2 envelopes being tried now: held unless that delivers or returns it; forgotten if the server ends first\n",
  );
  assert.equal(asked.code, 0);
  const undone = { envelopes: 0, undone: 1, because: "its bounce could not be made: \x1b[2J" };
  const bounced = await posthorn(["queue", "bounce", MESSAGE, `${MESSAGE}.1`], { answers: { "queue.bounce": undone } });
  assert.equal(bounced.out, "2 envelopes not returned to their senders: its bounce could not be made: \\x1b[2J\n");
  assert.equal(bounced.code, 1);
  const told = { envelopes: 6, toPostmaster: 2, untold: 3 };
  const returned = await posthorn(["queue", "bounce", "--all"], { answers: { "queue.bounce": told } });
  assert.deepEqual(returned.out.split("\n"), [
    "1 envelope returned to their senders",
    "2 envelopes reported to postmaster: no sender can be told",
    "3 envelopes removed, and nobody told: their senders wanted no bounce",
    "",
  ]);
  assert.equal(returned.code, 0);
});

test("an error of the server is told with what to do, and nothing else", async () => {
  const error = new PosthornError("CONTROL_UNREACHABLE", { message: "no server", advice: "start it" });
  const { code, err } = await posthorn(["status"], { world: { connectControl: () => Promise.reject(error) } });
  assert.equal(code, 75);
  assert.equal(err, "no server\nstart it\n");
  const bug = await posthorn(["status"], { answers: { status: new TypeError("x is not a function") } });
  assert.equal(bug.code, 70);
  assert.equal(bug.err, "posthorn: x is not a function\n");
});

test("who may change may look too, though the socket for queries be closed to them", async () => {
  const error = new PosthornError("CONTROL_UNREACHABLE", { message: "not for you", advice: "ask root" });
  const tried: string[] = [];
  const only = (open: string) => (path: string) => {
    tried.push(path);
    if (path !== open) return Promise.reject(error);
    return Promise.resolve({ call: () => Promise.reject(new Error("asked")), [Symbol.dispose]() {} } as never);
  };
  assert.match((await posthorn(["status"], { world: { connectControl: only("change") } })).err, /asked/);
  assert.deepEqual(tried, ["query", "change"]);
  assert.match((await posthorn(["reload"], { world: { connectControl: only("query") } })).err, /not for you/);
  assert.deepEqual(tried, ["query", "change", "change"]);
});

test("each of several problems has a line of its own, with nothing in it that a terminal obeys", async () => {
  const error = new PosthornError("SETTINGS_INVALID", { message: "a:1:1: x\na:2:1: \x1b[2J", advice: "mend them" });
  const { code, err } = await posthorn(["status"], { world: { locate: () => Promise.reject(error) } });
  assert.equal(code, 78);
  assert.equal(err, "a:1:1: x\na:2:1: \\x1b[2J\nmend them\n");
});

test("a refused reload prints the problems and says that nothing changed", async () => {
  const report = { kind: "refused", problems: ["posthorn.yaml:1:1: wrong"] };
  const { code, err } = await posthorn(["reload"], { answers: { reload: report } });
  assert.equal(code, 78);
  assert.equal(err, "posthorn.yaml:1:1: wrong\nthe settings stay as they were\n");
});

test("check exits with 78 and the lines of -n", async () => {
  const { code, err } = await posthorn(["check"]);
  assert.equal(code, 78);
  assert.match(err, /posthorn\.yaml:3:5/);
});

test("a story comes from the server, or from the journal itself when no server runs", async () => {
  const from = { role: "server", pid: 7, startedAt: 0 };
  const record = { at: NOON, name: "queue.removed", level: "info" as const, from, fields: { message: MESSAGE } };
  const entries = [{ id: 1, record }];
  const online = await posthorn(["log", MESSAGE.toLowerCase()], { answers: { "log.story": entries } });
  assert.equal(online.out, `2026-11-21 12:00:00 posthorn/qmgr[7]: ${MESSAGE}: removed\n`);
  assert.deepEqual(online.asked[0]?.slice(0, 2), ["query", "log.story"]);
  const unreachable = new PosthornError("CONTROL_UNREACHABLE", { message: "no server", advice: "start it" });
  const world = {
    connectControl: () => Promise.reject(unreachable),
    openJournal: () => ({
      story: () => entries,
      tls: () => {
        throw new Error("not asked");
      },
      sql: () => ({ columns: [], rows: [], isCut: false }),
      inputs: () => [],
      [Symbol.dispose]() {},
    }),
  };
  assert.equal((await posthorn(["log", "--to", "a@b.example"], { world })).out, online.out);
  // The user of the server's processes may read the file, but is told only of own mail.
  const refused = new PosthornError("CONTROL_REFUSED", { message: "own mail only", advice: "use root" });
  const { openJournal } = world;
  const answers = { "log.story": refused };
  assert.equal((await posthorn(["log", MESSAGE], { answers, world: { openJournal } })).out, online.out);
  const neither = await posthorn(["log", MESSAGE], { answers });
  assert.deepEqual([neither.code, neither.err], [77, "own mail only\nuse root\n"]);
});

const SERVER: Readonly<Record<string, string>> = {
  "": "220 mail.example ESMTP\r\n",
  EHLO: "250-mail.example\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 DSN\r\n",
  MAIL: "250 2.1.0 ok\r\n",
  RCPT: "250 2.1.5 ok\r\n",
  DATA: "354 go on\r\n",
  ".": "250 2.0.0 kept\r\n",
  QUIT: "221 2.0.0 bye\r\n",
};

/** A server that says what `SERVER` says to each verb, or what a test says instead. */
function smtpServer(lines: string[], instead: (line: string) => string | undefined = () => undefined) {
  let isContent = false;
  return (line: string): string | undefined => {
    if (line !== "") lines.push(line);
    const said = instead(line) ?? (isContent && line !== "." ? undefined : SERVER[line.split(" ")[0] ?? ""]);
    if (line === "DATA") isContent = true;
    if (line === ".") isContent = false;
    return said;
  };
}

test("send hands the mail in over SMTP, with dots doubled and what DSN was asked for", async () => {
  const lines: string[] = [];
  const { code, err } = await posthorn(["send", "-t", "-i", "-f", "anna@a.example", "-N", "never", "-R", "hdrs"], {
    stdin: "To: bert@b.example\nBcc: carl\nSubject: x\n\n.dot\n",
    smtp: smtpServer(lines),
  });
  assert.equal(err, "");
  assert.equal(code, 0);
  assert.match(lines[1] ?? "", /^MAIL FROM:<anna@a\.example> SIZE=\d+ RET=HDRS$/);
  assert.deepEqual(lines.slice(2, 4), [
    "RCPT TO:<bert@b.example> NOTIFY=NEVER",
    "RCPT TO:<carl@mail.example> NOTIFY=NEVER",
  ]);
  assert.ok(lines.includes("..dot"));
  assert.ok(!lines.some((line) => /bcc/i.test(line)));
  assert.equal(lines.at(-1), "QUIT");
});

test("send's exit status tells programs whether to come again", async () => {
  const refuse = (verb: string, reply: string) => (line: string) => (line.startsWith(verb) ? reply : undefined);
  for (const [instead, expected] of [
    [refuse("RCPT", "550 5.1.1 no such user\r\n"), 67],
    [refuse("RCPT", "450 4.2.0 later\r\n"), 75],
    [refuse("MAIL", "552 5.3.4 too big\r\n"), 69],
    [refuse("MAIL", "452 4.3.1 no room\r\n"), 75],
    [(line: string) => (line === "." ? "554 5.6.0 no\r\n" : undefined), 69],
    [(line: string) => (line === "." ? "garbage\r\n" : undefined), 75],
  ] as const) {
    const lines: string[] = [];
    const { code, err } = await posthorn(["send", "bert"], { stdin: "hello\n", smtp: smtpServer(lines, instead) });
    assert.equal(code, expected);
    assert.notEqual(err, "");
  }
  const nobody = { dial: () => Promise.reject(new Error("ECONNREFUSED")) };
  assert.equal((await posthorn(["send", "bert"], { stdin: "x", world: nobody })).code, 75);
  const forbidden = { dial: () => Promise.reject(Object.assign(new Error("EACCES"), { code: "EACCES" })) };
  assert.match((await posthorn(["send", "bert"], { stdin: "x", world: forbidden })).err, /may not open the socket/);
  assert.equal((await posthorn(["send"], { stdin: "x" })).code, 64);
  assert.equal((await posthorn(["send", "-t"], { stdin: "Subject: x\n\n" })).code, 65);
});

/** The settings want the socket for users of this host and the drop folder. */
const droppingWorld = (dial: World["dial"]): Partial<World> => ({
  locate: () =>
    Promise.resolve({
      hostname: "mail.example",
      mailName: "mail.example",
      controlPaths: { query: "query", change: "change" },
      journalFile: "journal.db",
      injection: () => Promise.reject(new Error("not asked")),
      submit: { path: "submit.sock", drop: { folder: "/drop", mostBytes: 1000 } },
    }),
  dial,
});

test("while the server is down mail waits for it, and what could not be taken from there is not left there", async () => {
  const world = droppingWorld(() => Promise.reject(new Error("ECONNREFUSED")));
  const left = await posthorn(["send", "bert"], { stdin: "Subject: x\n\nshort\n", world });
  assert.deepEqual([left.code, left.err, left.dropped.length], [0, "", 1]);
  assert.match(left.dropped[0] ?? "", /^\/drop: \{.*"recipients":\["bert@mail\.example"\]\}\n/);

  const large = await posthorn(["send", "bert"], { stdin: `Subject: x\n\n${"x".repeat(1000)}\n`, world });
  assert.equal(large.code, 75);
  assert.match(large.err, /cannot wait in \/drop: it is larger than 1000 bytes; .*local-submission\.drop-size/);
  assert.deepEqual(large.dropped, []);

  const many = Array.from({ length: 10_001 }, (_, index) => `u${index}@x.example`);
  const roomy = {
    ...world,
    locate: async () => ({
      ...(await (world.locate ?? assert.fail)(undefined)),
      submit: { path: "submit.sock", drop: { folder: "/drop", mostBytes: 1 << 30 } },
    }),
  };
  const wide = await posthorn(["send", ...many], { stdin: "x\n", world: roomy });
  assert.equal(wide.code, 75);
  assert.match(wide.err, /cannot wait in \/drop: .*recipients/);
  assert.deepEqual(wide.dropped, []);

  const named = await posthorn(["send", "-V", "v".repeat(101), "bert"], { stdin: "x\n", world });
  assert.equal(named.code, 64);
  assert.match(named.err, /-V is at most 100 characters/);
});

test("mail that the server turns away before a word waits for it, too", async () => {
  for (const greeting of ["421 4.7.0 Too many connections of yours; come again later\r\n", ""]) {
    const world = droppingWorld(() => Promise.resolve(dialled(() => greeting)));
    const left = await posthorn(["send", "bert"], { stdin: "x\n", world });
    assert.deepEqual([left.code, left.err, left.dropped.length], [0, "", 1]);
  }
  const refuses = droppingWorld(() => Promise.resolve(dialled(() => "554 5.7.1 no\r\n")));
  const refused = await posthorn(["send", "bert"], { stdin: "x\n", world: refuses });
  assert.deepEqual([refused.code, refused.dropped.length], [69, 0]);
  const elsewhere = await posthorn(["send", "--server", "there:25", "bert"], {
    stdin: "x\n",
    smtp: () => "421 4.3.2 no\r\n",
  });
  assert.deepEqual([elsewhere.code, elsewhere.dropped.length], [75, 0]);
});

test("one refused recipient means that nobody gets the mail", async () => {
  const lines: string[] = [];
  const smtp = smtpServer(lines, (line) => (line.startsWith("RCPT TO:<bad@") ? "550 5.1.1 no\r\n" : undefined));
  const { err } = await posthorn(["send", "good@x.example", "bad@x.example"], { stdin: "x", smtp });
  assert.ok(!lines.includes("DATA"));
  assert.match(err, /<bad@x\.example>: 550 5\.1\.1 no\n.*nothing was sent/s);
});

test("what the server said no to counts though it ends the session for it", async () => {
  const many = Array.from({ length: 30 }, (_, index) => `u${index}@x.example`);
  let refused = 0;
  // As a server does that bounds refused commands: the last refusal, the 421, and the end.
  const hangsUp = smtpServer([], (line) => {
    if (!line.startsWith("RCPT")) return undefined;
    refused++;
    if (refused < 20) return "550 5.1.1 no such user\r\n";
    return refused === 20 ? "550 5.1.1 no such user\r\n421 4.7.0 Too many errors; closing\r\n" : "";
  });
  const { code, err } = await posthorn(["send", ...many], { stdin: "x", smtp: hangsUp });
  assert.equal(code, 67);
  assert.match(err, /<u0@x\.example>: 550 5\.1\.1 .*<u19@x\.example>: 550 .*421 4\.7\.0 .*10 more recipients/s);

  // One that is being stopped, and one that is cut: nobody was refused for good.
  const stops = smtpServer([], (line) => (line.startsWith("RCPT") ? "421 4.3.2 closing\r\n" : undefined));
  assert.equal((await posthorn(["send", "bert"], { stdin: "x", smtp: stops })).code, 75);
  const breaks = smtpServer([], (line) => (line.startsWith("RCPT") ? "" : undefined));
  assert.equal((await posthorn(["send", "bert"], { stdin: "x", smtp: breaks })).code, 75);
});

test("a mail to more than the server takes at once is refused for good, with what to do about it", async () => {
  const lines: string[] = [];
  const many = ["a@x.example", "b@x.example", "c@x.example"];
  const announced = smtpServer(lines, (line) =>
    line.startsWith("EHLO") ? "250-mail.example\r\n250 LIMITS RCPTMAX=2\r\n" : undefined,
  );
  const { code, err } = await posthorn(["send", ...many], { stdin: "x", smtp: announced });
  assert.equal(code, 69);
  assert.match(err, /3 recipients, and the server takes 2 .*session\.recipients/);
  assert.ok(!lines.some((line) => line.startsWith("MAIL")));
  assert.equal((await posthorn(["send", ...many.slice(1)], { stdin: "x", smtp: announced })).code, 0);

  let asked = 0;
  const untold = smtpServer([], (line) =>
    line.startsWith("RCPT") && ++asked > 2 ? "452 4.5.3 Too many recipients\r\n" : undefined,
  );
  const told = await posthorn(["send", ...many], { stdin: "x", smtp: untold });
  assert.equal(told.code, 69);
  assert.match(told.err, /452 4\.5\.3/);
});

test("-bs carries the dialogue between the program and the server", async () => {
  const lines: string[] = [];
  const { code, out } = await posthorn(["send", "-bs"], { stdin: "EHLO me\r\nQUIT\r\n", smtp: smtpServer(lines) });
  assert.equal(code, 0);
  assert.deepEqual(lines, ["EHLO me", "QUIT"]);
  assert.match(out, /^220 mail\.example ESMTP\r\n/);
});

test("called as sendmail, mailq or newaliases it does what these do", async () => {
  const lines: string[] = [];
  const sendmail = await posthorn(["bert"], { stdin: "x", smtp: smtpServer(lines), world: { calledAs: "sendmail" } });
  assert.equal(sendmail.code, 0);
  const mailq = await posthorn([], { portions: [[row]], world: { calledAs: "mailq" } });
  assert.match(mailq.out, /^-Queue ID-/);
  const listed = await posthorn(["-v", "-bp"], { portions: [[row]], world: { calledAs: "sendmail" } });
  assert.equal(listed.out, mailq.out);
  assert.equal((await posthorn([], { world: { calledAs: "newaliases" } })).code, 0);
});

test("tail shows events as lines until the stream ends, and says what it missed", async () => {
  const from = { role: "server", pid: 7, startedAt: 0 };
  const record = { at: NOON, name: "queue.removed", level: "info", from, fields: { message: MESSAGE } };
  const { out, err } = await posthorn(["tail"], { items: [{ record }, { missed: 3 }, { record }] });
  assert.equal(out.match(/removed/g)?.length, 2);
  assert.match(err, /3 events were left out/);
});

test("schedule takes ids and domains, now or at an instant; what is wrong is said before the server is asked", async () => {
  const answers = { "queue.retry": { envelopes: 2 }, "queue.schedule": { envelopes: 1 } };
  const now = await posthorn(["schedule", MESSAGE, "d.example"], { answers });
  assert.equal(now.out, "4 envelopes due now\n");
  assert.deepEqual(
    now.asked.map(([socket, name, args]) => [socket, name, args]),
    [
      ["change", "queue.retry", { selector: { by: "domain", domain: "d.example" } }],
      ["change", "queue.retry", { selector: { by: "message", id: MESSAGE } }],
    ],
  );
  const later = await posthorn(["schedule", "D.example", "--in", "90m"], { answers });
  assert.equal(later.out, "1 envelope due at 2026-11-21 13:30:00 (in 1h30m)\n");
  const at = await posthorn(["schedule", "--sender", "<>", "--at", "23:00"], { answers });
  assert.deepEqual(at.asked[0]?.[2], { selector: { by: "sender", sender: "" }, at: NOON + 11 * 3_600_000 });
  for (const wrong of [
    ["schedule"],
    ["schedule", "a@b.example"],
    ["schedule", "d.example", "--at", "soon"],
    ["schedule", "d.example", "--at", "2026-11-20"],
    ["schedule", "d.example", "--at", "13:00", "--in", "1h"],
  ]) {
    const { code, asked } = await posthorn(wrong, { answers });
    assert.deepEqual([code, asked], [64, []], wrong.join(" "));
  }
});

test("show writes a line a row, and --watch looks again until interrupted, over an absence of the server", async () => {
  const route = {
    name: "* > mx.d.example[192.0.2.1]:25",
    states: ["resting"],
    connections: 0,
    allowed: 1,
    limit: 5,
    sessions: 3,
    failures: 2,
    refused: 0,
    penalty: 2,
    restsUntilAt: NOON + 60_000,
    ready: 0,
    waiting: 0,
    held: 0,
    lastFailure: "Connection refused\u001b[2J",
    lastFailureAt: NOON - 5000,
    lastSuccessAt: NOON - 3_600_000,
  };
  const once = await posthorn(["show", "routes", "d.example", "--state", "resting"], { portions: [[route]] });
  assert.equal(
    once.out.split("\n")[1],
    "--Z--  * > mx.d.example[192.0.2.1]:25  0/1/5     3    2         2     1m                         1h  Connection refused\\x1b[2J (5s ago)",
  );
  assert.deepEqual(once.asked[0], [
    "query",
    "show",
    { what: "routes", name: "d.example", state: "resting", limit: undefined },
  ]);
  assert.equal((await posthorn(["show", "hosts"], { portions: [] })).code, 1);
  assert.equal((await posthorn(["show", "hosts", "--state", "gone"])).code, 64);

  const interrupted = new AbortController();
  let looks = 0;
  const slept: number[] = [];
  const watched = await posthorn(["show", "stats", "--watch", "--json"], {
    answers: { stats: [{ name: "queued", total: 1, lastMinute: 0, lastHour: 1 }] },
    world: {
      interrupted: interrupted.signal,
      sleep: (forMs) => {
        slept.push(forMs);
        if (++looks === 3) interrupted.abort();
        return Promise.resolve();
      },
    },
  });
  assert.deepEqual([watched.code, watched.out.split("\n").length, slept], [0, 4, [2000, 2000, 2000]]);

  const away = new AbortController();
  const gone = await posthorn(["show", "stats", "--watch", "5"], {
    answers: { stats: new PosthornError("CONTROL_UNREACHABLE", { message: "no such file", advice: "start it" }) },
    world: {
      interrupted: away.signal,
      sleep: () => {
        away.abort();
        return Promise.resolve();
      },
    },
  });
  assert.match(gone.out, /the server is not there \(no such file\); waiting for it/);
  assert.equal(gone.code, 0);
});

test("suspend says what, for how long and why; the name of a route may hold blanks; what cannot be is refused", async () => {
  const answers = { suspend: { envelopes: 3 }, unsuspend: [] };
  const timed = await posthorn(["suspend", "sender", "@a.example", "--for", "2h", "--because", "an incident"], {
    answers,
  });
  assert.equal(timed.code, 0);
  assert.match(timed.out, /^suspended sender @a\.example until .*; 3 envelopes held by it now$/m);
  const [asked] = timed.asked;
  assert.deepEqual(asked?.slice(1, 2), ["suspend"]);
  assert.deepEqual(asked?.[2], {
    level: "sender",
    key: "@a.example",
    because: "an incident",
    by: "anna",
    untilAt: NOON + 7_200_000,
  });
  const route = await posthorn(["suspend", "route", "*", ">", "mx.example[192.0.2.1]:25"], { answers });
  assert.equal((route.asked[0]?.[2] as { key?: string } | undefined)?.key, "* > mx.example[192.0.2.1]:25");
  const everything = await posthorn(["suspend", "all"], { answers });
  assert.match(everything.out, /^suspended everything until it is lifted; /);
  for (const wrong of [
    ["nothing"],
    ["domain"],
    ["all", "x"],
    ["domain", "a", "b"],
    ["message", "nonsense"],
    ["route", "mx.example"],
  ])
    assert.equal((await posthorn(["suspend", ...wrong], { answers })).code, 64, wrong.join(" "));
  const missing = await posthorn(["unsuspend", "tenant", "acme"], { answers });
  assert.equal(missing.code, 1);
  assert.match(missing.err, /tenant acme is not suspended/);
});

test("holds shows who suspended what, since when, until when and why, and escapes what others wrote", async () => {
  const row = { level: "domain", key: "a.example", because: "so\u001b[2Jso", by: "ann", setAt: NOON - 60_000, held: 2 };
  const shown = await posthorn(["holds"], { answers: { suspensions: [row, { ...row, untilAt: NOON + 3_600_000 }] } });
  assert.equal(shown.code, 0);
  assert.match(shown.out, /^domain +a\.example +2 .* never +ann/m);
  assert.match(shown.out, / 1 ?h.* ann /);
  assert.doesNotMatch(shown.out, /\u001b/);
  const json = await posthorn(["holds", "--json"], { answers: { suspensions: [row] } });
  assert.deepEqual(JSON.parse(json.out), row);
  const none = await posthorn(["holds"], { answers: { suspensions: [] } });
  assert.deepEqual([none.code, none.out], [1, "nothing is suspended\n"]);
});

test("domains may be named as people read them and addresses as log lines have them: the queue has one writing of each", async () => {
  const answers = { "queue.retry": { envelopes: 0, suspended: 2 }, "queue.hold": { envelopes: 1 } };
  const retried = await posthorn(["schedule", "B\u00fccher.example."], { answers });
  assert.deepEqual(retried.asked[0]?.[2], { selector: { by: "domain", domain: "xn--bcher-kva.example" } });
  assert.match(retried.out, /^2 envelopes suspended, and left so: /);
  assert.equal(retried.code, 1);
  for (const [option, selector] of [
    [["--domain", "B\u00fccher.example"], { by: "domain", domain: "xn--bcher-kva.example" }],
    [["--sender", "<Joe@b\u00fccher.example>"], { by: "sender", sender: "Joe@xn--bcher-kva.example" }],
    [["--sender", "<>"], { by: "sender", sender: "" }],
  ] as const) {
    const held = await posthorn(["queue", "hold", ...option], { answers });
    assert.deepEqual((held.asked[0]?.[2] as { selector?: unknown } | undefined)?.selector, selector);
  }
  const listed = await posthorn(["queue", "list", "--recipient", "<x@B\u00fccher.example>"], { portions: [] });
  assert.equal((listed.asked[0]?.[2] as { recipient?: string } | undefined)?.recipient, "x@xn--bcher-kva.example");
});

test("queue show says where the attempts are that it leaves out of a message to very many", async () => {
  const origin = { listener: "smtp", protocol: "ESMTP", session: "S" };
  const message = { id: MESSAGE, sender: "a@b.example", receivedAt: NOON, sizeBytes: 1, content: "7bit", origin };
  const envelope = { id: `${MESSAGE}.1`, recipient: "x@c.example", action: "relay", notify: [] };
  const progress = { state: "queued", attempts: 9, expiresAt: NOON };
  const answers = {
    "queue.show": { message, envelopes: [{ envelope, progress, attempts: [], earlierAttempts: 9 }] },
    "queue.why": [],
  };
  const { out } = await posthorn(["queue", "show", MESSAGE], { answers });
  assert.ok(out.includes(`attempt    9 before: posthorn queue show ${MESSAGE}.1\n`), out);
});

test("a duration is whole milliseconds, and one that no calendar holds is refused", async () => {
  const traced = await posthorn(["trace", "on", "dns", "--for", "1.1h", "--detach"], {
    answers: { "trace.on": { topic: "dns", untilAt: NOON } },
  });
  assert.deepEqual(traced.asked, [["change", "trace.on", { topic: "dns", filter: undefined, forMs: 3_960_000 }]]);
  for (const argv of [
    ["suspend", "all", "--for", "100000000d"],
    ["schedule", "x.test", "--in", "99999999999999999999999w"],
  ]) {
    const { code, err, asked } = await posthorn(argv);
    assert.deepEqual([code, asked], [64, []], argv.join(" "));
    assert.match(err, /36500d at most/);
  }
});

test("schedule does not take a domain together with another way to say which", async () => {
  for (const other of [["--all"], ["--sender", "a@b.test"], ["--route", "mx.test"]]) {
    const { code, asked } = await posthorn(["schedule", "x.test", ...other]);
    assert.deepEqual([code, asked], [64, []], other.join(" "));
  }
});

test("replay takes a day that is to come as its end; a time of day is one that was", async () => {
  const empty = snapshot({ tickets: new Map() });
  const replayed = (...argv: readonly string[]) =>
    posthorn(["replay", ...argv], {
      world: {
        openJournal: () => ({
          story: () => [],
          tls: () => assert.fail("not asked"),
          sql: () => assert.fail("not asked"),
          inputs: () => [{ at: NOON - 60_000, isStart: true, json: empty }],
          [Symbol.dispose]: () => {},
        }),
      },
    });
  for (const until of ["2026-11-22", "2026-11-21 23:00", "11:59:30"])
    assert.match((await replayed("--until", until)).err, /says nothing of that/, until);
  for (const until of ["13:00", "2026-11-21 11:58"])
    assert.match((await replayed("--until", until)).err, /nothing was recorded/, until);
});

test("show logins tells who is slowed down and blocked, and logins clear forgets one or all", async () => {
  const row = {
    what: "address",
    key: "192.0.2.7",
    state: "blocked",
    failures: 20,
    sinceAt: NOON - 60_000,
    lastAt: NOON - 1000,
    untilAt: NOON + 840_000,
    delayMs: 8000,
  };
  const slow = { ...row, what: "account", key: "ann", state: "slowed", failures: 3, delayMs: 2000 };
  const shown = await posthorn(["show", "logins"], { answers: { "logins.show": [row, slow] } });
  assert.equal(shown.code, 0);
  assert.match(shown.out, /^STATE +WHAT +WHO +FAILURES +SINCE/);
  assert.match(shown.out, /blocked +address +192\.0\.2\.7 +20 .* 14m *\n/);
  assert.match(shown.out, /slowed +account +ann +3 .* 14m +2s\n/);
  const json = await posthorn(["show", "logins", "--json"], { answers: { "logins.show": [row] } });
  assert.deepEqual(JSON.parse(json.out), row);
  assert.equal((await posthorn(["show", "logins"], { answers: { "logins.show": [] } })).code, 1);

  const cleared = await posthorn(["logins", "clear", "ann"], { answers: { "logins.clear": { cleared: 1 } } });
  assert.equal(cleared.out, "1 record forgotten\n");
  assert.deepEqual(cleared.asked.at(-1)?.slice(1), ["logins.clear", { which: "ann" }]);
  const all = await posthorn(["logins", "clear", "--all"], { answers: { "logins.clear": { cleared: 0 } } });
  assert.deepEqual(all.asked.at(-1)?.slice(1), ["logins.clear", {}]);
  assert.equal(all.code, 1);
  for (const argv of [
    ["logins", "clear"],
    ["logins", "clear", "--all", "ann"],
  ])
    assert.equal((await posthorn(argv)).code, 64);
});

test("options in front of the command are told what to type", async () => {
  const misplaced = await posthorn(["-f", "my s.yaml", "show", "routes"]);
  assert.equal(misplaced.code, 64);
  assert.equal(misplaced.err, 'posthorn: options stand behind the command: posthorn show routes -f "my s.yaml"\n');
  const group = await posthorn(["-f", "s.yaml", "show"]);
  assert.equal(group.err, "posthorn: options stand behind the command: posthorn show -f s.yaml\n");
  assert.match((await posthorn(["--jso", "nothing"])).err, /options stand behind the command; posthorn help lists/);
});

test("an account that nothing was counted of is answered with those that are meant, perhaps", async () => {
  const rows = [{ account: "ada@example.org" }, { account: "bert@example.org" }];
  const { code, out } = await posthorn(["senders", "clear", "Ada"], {
    answers: { "senders.clear": { cleared: 0 }, "senders.show": rows },
  });
  assert.equal(code, 1);
  assert.equal(out, "nothing was counted of an account Ada; did you mean ada@example.org?\n");
});

test("a retry of what is suspended names that, and not quarantine", async () => {
  const { code, out } = await posthorn(["queue", "retry", "--all"], {
    answers: { "queue.retry": { envelopes: 0, suspended: 2 } },
  });
  assert.equal(code, 1);
  assert.match(
    out,
    /^2 envelopes suspended, and left so: `posthorn holds` says by what, `posthorn unsuspend` lifts it\n$/,
  );
});
