import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../../foundation/clock.io.ts";
import { messageOf, PosthornError } from "../../../foundation/error.ts";
import { testFacts, testFilterWorld, testMail } from "../../../testing/filter-mail.ts";
import type { Filter, FilterDialogue, FilterFacts, FilterMail, MailVerdict, StageVerdict } from "../filter.ts";
import { wholeOf } from "../kept-content.ts";
import { opensmtpdFilter } from "./opensmtpd-filter.io.ts";
import { processFilterSettings } from "./settings.ts";

const directory = mkdtempSync(join(tmpdir(), "posthorn-filter-"));
after(() => rmSync(directory, { recursive: true, force: true }));

/**
 * A filter of a few lines. `on` is JavaScript that is run for each line from the server, with `f` its fields, `line`, `say`
 * and `mails` (lines of content by session).
 */
let programs = 0;
function program(registers: readonly string[], on: string, first = ""): string[] {
  const path = join(directory, `filter-${++programs}.mjs`);
  writeFileSync(
    path,
    `import { createInterface } from "node:readline";
import { appendFileSync } from "node:fs";
const say = (text) => process.stdout.write(text + "\\n");
const mails = new Map();
${first}
createInterface({ input: process.stdin }).on("line", (line) => {
  appendFileSync(${JSON.stringify(`${path}.log`)}, line + "\\n");
  const f = line.split("|");
  if (line === "config|ready") { for (const one of ${JSON.stringify(registers)}) say("register|" + one); say("register|ready"); return; }
  if (f[0] === "config") return;
  const answer = (text) => say("filter-result|" + f[5] + "|" + f[6] + "|" + text);
  const data = (text) => say("filter-dataline|" + f[5] + "|" + f[6] + "|" + text);
  ${on}
});
`,
  );
  return [process.execPath, path];
}

function heardBy(command: readonly string[]): readonly string[] {
  return readFileSync(`${command[1]}.log`, "utf8").trimEnd().split("\n");
}

function start(
  t: TestContext,
  command: readonly string[],
  more: object = {},
  clock = systemClock,
): Filter & { readonly told: string[] } {
  const world = testFilterWorld({ clock });
  const filter = opensmtpdFilter("prog", processFilterSettings.parse({ command: [...command], ...more }), world);
  const open: FilterDialogue[] = [];
  t.after(async () => {
    for (const dialogue of open) dialogue.end();
    await filter.close();
  });
  const kept: Pick<Filter, "open"> & { readonly told: string[] } = {
    told: world.told,
    open(of) {
      const dialogue = filter.open(of);
      open.push(dialogue);
      return dialogue;
    },
  };
  return Object.assign(Object.create(filter) as Filter, kept);
}

const facts = testFacts();
const newcomer: FilterFacts = { ...facts, greeting: "none", helo: undefined, mail: undefined };
const long = (): AbortSignal => AbortSignal.timeout(20_000);

async function contentOf(mail: FilterMail, verdict: MailVerdict): Promise<string> {
  let header = mail.header.toString("latin1");
  let body = (await wholeOf(mail.body.read())).toString("latin1");
  for (const edit of verdict.edits ?? []) {
    if (edit.edit === "replace-header") header = Buffer.from(edit.header).toString("latin1");
    else if (edit.edit === "replace-body") body = (await wholeOf(edit.body.read())).toString("latin1");
    else if (edit.edit === "add-field") header = `${edit.name}: ${edit.value}\r\n${header}`;
    else assert.fail(edit.edit);
  }
  return `${header}\r\n${body}`;
}

const ECHO = `if (f[4] === "data-line") data(f.slice(7).join("|"));`;
const TEXT = "Subject: hello\nFrom: alice@example.net\n\n.leading dot\nb|r\n..two\n\nlast\n";

test("a program is asked at the phases that it registered, and its answers decide", async (t) => {
  const command = program(
    ["filter|smtp-in|connect", "filter|smtp-in|ehlo", "filter|smtp-in|mail-from", "filter|smtp-in|rcpt-to"],
    `if (f[0] !== "filter") return;
     if (f[4] === "connect") answer("proceed");
     if (f[4] === "ehlo") answer("junk");
     if (f[4] === "mail-from") answer("rewrite|<other@example.net>");
     if (f[4] === "rcpt-to") answer(f[7].startsWith("bob") ? "reject|550 5.1.1 not bob" : "disconnect|421 gone");`,
  );
  const filter = start(t, command);
  const dialogue = filter.open(newcomer);
  assert.deepEqual(await dialogue.ask({ stage: "connect", facts: newcomer }, long()), { kind: "proceed" });
  const helo = await dialogue.ask({ stage: "helo", verb: "EHLO", name: "x.example", facts: newcomer }, long());
  assert.deepEqual([helo.kind, helo.tags], ["proceed", ["junk"]]);
  assert.deepEqual(await dialogue.ask({ stage: "mail", facts }, long()), { kind: "rewrite", to: "other@example.net" });
  const rcpt = (address: string): Promise<StageVerdict> =>
    dialogue.ask({ stage: "rcpt", facts, recipient: { address, parameters: [] } }, long());
  assert.deepEqual(await rcpt("bob@example.org"), {
    kind: "refuse",
    reply: { code: 550, status: "5.1.1", lines: ["not bob"] },
  });
  assert.deepEqual(await rcpt("eve@example.org"), {
    kind: "disconnect",
    reply: { code: 421, status: "4.7.1", lines: ["gone"] },
  });
  assert.deepEqual(await dialogue.ask({ stage: "data", facts }, long()), { kind: "proceed" });
  const asked = heardBy(command).filter((line) => line.startsWith("filter|"));
  assert.match(
    asked[0] ?? "",
    /^filter\|0\.7\|\d+\.\d{6}\|smtp-in\|connect\|[0-9a-f]{16}\|[0-9a-f]{16}\|client\.example\.net\|192\.0\.2\.99$/,
  );
  assert.deepEqual(
    asked.map((line) => line.split("|")[4]),
    ["connect", "ehlo", "mail-from", "rcpt-to", "rcpt-to"],
  );
  // Whom it called junk on the way has all of its mail marked.
  const verdict = await dialogue.judge(testMail(TEXT), long());
  assert.deepEqual(
    [verdict.tags, verdict.edits],
    [["junk"], [{ edit: "add-field", name: "X-Spam", value: "yes", at: 0 }]],
  );
  assert.deepEqual([...filter.stages].toSorted(), ["connect", "helo", "mail", "message", "rcpt"]);
});

test("a program is told the story of a session, complete and in order", async (t) => {
  const command = program(["report|smtp-in|*", "filter|smtp-in|commit"], `if (f[0] === "filter") answer("proceed");`);
  const filter = start(t, command);
  const dialogue = filter.open(newcomer);
  await dialogue.ask({ stage: "connect", facts: newcomer }, long());
  const tls = { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", bits: 256 };
  const known: FilterFacts = { ...facts, tls, account: "alice" };
  await dialogue.ask({ stage: "mail", facts: known }, long());
  dialogue.note?.({ notice: "mail", outcome: "ok", facts: known });
  dialogue.note?.({
    notice: "rcpt",
    outcome: "permfail",
    recipient: "nobody@example.org",
    facts: { ...known, mail: { ...facts.mail, recipients: [] } },
  });
  dialogue.note?.({ notice: "rcpt", outcome: "ok", recipient: "bob@example.org", facts: known });
  const verdict = await dialogue.judge(testMail(TEXT, { facts: { tls, account: "alice" } }), long());
  assert.deepEqual(verdict, { fate: { kind: "keep" }, edits: [] });
  dialogue.note?.({ notice: "commit", message: "x", sizeBytes: 123 });
  dialogue.end();
  await filter.close();
  const heard = heardBy(command).filter((line) => line.startsWith("report|"));
  const [session, ...others] = new Set(heard.map((line) => line.split("|")[5]));
  assert.match(session ?? "", /^[0-9a-f]{16}$/);
  assert.equal(others.length, 0);
  const transaction = heard.find((line) => line.includes("|tx-begin|"))?.split("|")[6] ?? "";
  assert.deepEqual(
    heard.map((line) => {
      const [, , , , event, , ...rest] = line.split("|");
      return [event, ...rest.map((field) => field.replaceAll(transaction, "T"))].join(" ");
    }),
    [
      "link-connect client.example.net pass 192.0.2.99:40000 192.0.2.1:25",
      "link-greeting mx.example.org",
      "link-tls TLSv1.3:TLS_AES_256_GCM_SHA384:256",
      "link-identify EHLO client.example.net",
      "link-auth pass alice",
      "tx-begin T",
      "tx-mail T ok alice@example.net",
      "tx-rcpt T permfail nobody@example.org",
      "tx-envelope T T00000001",
      "tx-rcpt T ok bob@example.org",
      "tx-data T ok",
      "filter-response commit proceed",
      "tx-commit T 123",
      "tx-reset T",
      "link-disconnect",
    ],
  );
});

test("content that comes back as it was is not touched", async (t) => {
  const filter = start(t, program(["filter|smtp-in|data-line"], ECHO));
  const dialogue = filter.open(facts);
  const verdict = await dialogue.judge(testMail(TEXT), long());
  assert.deepEqual(verdict, { fate: { kind: "keep" }, edits: [] });
});

test("a field that is put in front changes the header and leaves the body alone", async (t) => {
  const on = `if (!mails.has(f[5])) { mails.set(f[5], 1); data("X-Signed: by me"); } ${ECHO}`;
  const filter = start(t, program(["filter|smtp-in|data-line"], on));
  const dialogue = filter.open(facts);
  const mail = testMail(TEXT);
  const verdict = await dialogue.judge(mail, long());
  assert.deepEqual(
    verdict.edits?.map(({ edit }) => edit),
    ["replace-header"],
  );
  assert.equal(await contentOf(mail, verdict), `X-Signed: by me\r\n${TEXT.replaceAll("\n", "\r\n")}`);
});

test("a body that is changed comes back as the program wrote it, dots and bytes", async (t) => {
  const on = `if (f[4] !== "data-line") return;
    const text = f.slice(7).join("|");
    if (text === ".") { data("..."); data("gr\\u00fc\\u00dfe"); data("."); } else if (text !== "last") data(text);`;
  const filter = start(t, program(["filter|smtp-in|data-line"], on));
  const dialogue = filter.open(facts);
  const mail = testMail(TEXT);
  const verdict = await dialogue.judge(mail, long());
  const content = await contentOf(mail, verdict);
  assert.equal(
    Buffer.from(content, "latin1").toString("utf8"),
    "Subject: hello\r\nFrom: alice@example.net\r\n\r\n.leading dot\r\nb|r\r\n..two\r\n\r\n..\r\ngrüße\r\n",
  );
});

test("a mail of megabytes goes through a program and back", async (t) => {
  const filter = start(
    t,
    program(["filter|smtp-in|data-line"], ECHO.replace("data(", "data(f[7] === 'needle' ? 'found' : ")),
  );
  const dialogue = filter.open(facts);
  const body = `${"x".repeat(70)}\n`.repeat(10_000);
  const mail = testMail(`Subject: big\n\n${body}needle\n`);
  const verdict = await dialogue.judge(mail, long());
  assert.equal(await contentOf(mail, verdict), `Subject: big\r\n\r\n${body}found\n`.replace(/\r?\n/g, "\r\n"));
});

for (const [what, text, told] of [
  ["nothing but empty lines", `Subject: x\n\n${"\n".repeat(110_000)}`, /^keep$/],
  [
    "long lines in its header",
    `Subject: x\n${`X-A: ${"y".repeat(9000)}\n`.repeat(1000)}\ntext\n`,
    /more than 1048576 bytes/,
  ],
] as const)
  test(`a mail of ${what}, in one piece, ends the program for nobody`, async (t) => {
    const filter = start(t, program(["filter|smtp-in|data-line", "report|smtp-in|link-connect"], ECHO));
    const dialogue = filter.open(facts);
    await dialogue.judge(testMail(TEXT), long());
    const judged = dialogue.judge(testMail(text), long()).then(({ fate }) => fate.kind, messageOf);
    const pause = (): Promise<undefined> => new Promise((resolve) => setTimeout(resolve, 5, undefined));
    let verdict: string | undefined;
    // Each session that comes is told to the program, which is ended when too much waits for it.
    while (verdict === undefined) {
      filter.open(facts).end();
      verdict = await Promise.race([judged, pause()]);
    }
    assert.match(verdict, told);
  });

test("a mail may be refused when all of it was seen, for good or for now, and the session goes on", async (t) => {
  const on = `${ECHO} if (f[4] === "commit") answer(commits++ === 0 ? "reject|550 5.7.1 spam" : "reject|421 busy");`;
  const filter = start(t, program(["filter|smtp-in|data-line", "filter|smtp-in|commit"], on, "let commits = 0;"));
  const dialogue = filter.open(facts);
  const first = await dialogue.judge(testMail(TEXT), long());
  assert.deepEqual(first.fate, { kind: "refuse", reply: { code: 550, status: "5.7.1", lines: ["spam"] } });
  dialogue.note?.({ notice: "rollback" });
  const second = await dialogue.judge(testMail(TEXT), long());
  assert.deepEqual(second.fate, { kind: "refuse", reply: { code: 421, status: "4.7.1", lines: ["busy"] } });
});

test("a program of an old version, which names the token first, is understood", async (t) => {
  const on = `if (f[0] === "filter") say("filter-result|" + f[6] + "|" + f[5] + "|reject|550 old");`;
  const filter = start(t, program(["filter|smtp-in|connect"], on), { protocol: "0.4" });
  const dialogue = filter.open(newcomer);
  assert.equal((await dialogue.ask({ stage: "connect", facts: newcomer }, long())).kind, "refuse");
});

test("what a program writes for people is told", async (t) => {
  const on = `if (f[4] === "connect") { process.stderr.write("a word\\n"); answer("report|seen"); }`;
  const filter = start(t, program(["filter|smtp-in|connect"], on));
  const dialogue = filter.open(newcomer);
  assert.deepEqual(await dialogue.ask({ stage: "connect", facts: newcomer }, long()), { kind: "proceed" });
  // Standard error has its own way to us.
  for (let tries = 0; !filter.told.some((line) => line.includes('says "a word"')); tries++) {
    assert.ok(tries < 6000, filter.told.join("\n"));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.ok(
    filter.told.some((line) => line.includes('reports "seen"')),
    filter.told.join("\n"),
  );
});

function isFailure(thrown: unknown): boolean {
  return thrown instanceof PosthornError && thrown.code === "FILTER_FAILED";
}

test("a program that dies in mid-message fails that mail, rests, and serves the next session", async (t) => {
  const on = `if (f[4] === "data-line" && f[7] === "die") process.exit(3); ${ECHO}`;
  let now = 0;
  const filter = start(t, program(["filter|smtp-in|data-line"], on), {}, { ...systemClock, monotonicMs: () => now });
  const dialogue = filter.open(facts);
  await assert.rejects(dialogue.judge(testMail("Subject: x\n\nfine\ndie\n"), long()), (thrown) => {
    assert.ok(isFailure(thrown));
    assert.match(String(thrown), /ended with code 3/);
    return true;
  });
  // While it rests, nobody waits for it.
  await assert.rejects(dialogue.judge(testMail(TEXT), long()), /it is started again in/);
  now += 1000;
  assert.deepEqual(await dialogue.judge(testMail(TEXT), long()), { fate: { kind: "keep" }, edits: [] });
});

test("a program that hangs for one session is given up for that one only", async (t) => {
  const on = `if (f[4] === "ehlo" && f[7] !== "hang.example") answer("proceed");`;
  const filter = start(t, program(["filter|smtp-in|ehlo", "report|smtp-in|link-disconnect"], on));
  const hanging = filter.open(newcomer);
  const other = filter.open(newcomer);
  const ask = (dialogue: typeof other, name: string, signal: AbortSignal): Promise<StageVerdict> =>
    dialogue.ask({ stage: "helo", verb: "EHLO", name, facts: newcomer }, signal);
  await ask(other, "a.example", long());
  const patience = new AbortController();
  const hung = ask(hanging, "hang.example", patience.signal);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(await ask(other, "b.example", long()), { kind: "proceed" });
  patience.abort(new Error("no patience"));
  await assert.rejects(hung, /no patience/);
  assert.deepEqual(await ask(other, "c.example", long()), { kind: "proceed" });
  // It comes back to the same program as somebody new.
  assert.deepEqual(await ask(hanging, "d.example", long()), { kind: "proceed" });
  assert.deepEqual(filter.told, []);
});

test("a program that says nothing to anybody is ended when patience is over", async (t) => {
  const filter = start(t, program(["filter|smtp-in|connect"], ""));
  const dialogue = filter.open(newcomer);
  await dialogue.ask({ stage: "data", facts }, long());
  await new Promise((resolve) => setTimeout(resolve, 20));
  await assert.rejects(dialogue.ask({ stage: "connect", facts: newcomer }, AbortSignal.timeout(200)));
  assert.match(filter.told.join("\n"), /does not answer; it may be started again/);
  assert.equal(filter.health().state, "down");
});

test("a program that talks nonsense is ended, and what was asked of it fails", async (t) => {
  for (const nonsense of [
    `say("hello")`,
    `say("filter-result|" + f[5] + "|0000000000000bad|proceed")`,
    `data("x")`,
    `say("register|filter|smtp-in|ehlo")`,
    `say("x".repeat(2 * 1024 * 1024))`,
    `answer("reject")`,
  ]) {
    const filter = start(t, program(["filter|smtp-in|connect"], `if (f[4] === "connect") ${nonsense};`));
    const dialogue = filter.open(newcomer);
    await assert.rejects(dialogue.ask({ stage: "connect", facts: newcomer }, long()), isFailure, nonsense);
    dialogue.end();
  }
});

test("a rewriting that cannot be fails the command, and the program lives on", async (t) => {
  const on = `if (f[4] === "mail-from") answer("rewrite|<a b@@>"); if (f[4] === "ehlo") answer("rewrite|other.example");`;
  const filter = start(t, program(["filter|smtp-in|mail-from", "filter|smtp-in|ehlo"], on));
  const dialogue = filter.open(newcomer);
  await assert.rejects(dialogue.ask({ stage: "mail", facts }, long()), isFailure);
  assert.deepEqual(await dialogue.ask({ stage: "helo", verb: "EHLO", name: "x", facts: newcomer }, long()), {
    kind: "rewrite",
    to: "other.example",
  });
});

test("a program that is never ready, or is not there, fails what waits for it", async (t) => {
  const never = join(directory, "never.mjs");
  writeFileSync(never, "setInterval(() => {}, 1000);");
  for (const [command, words] of [
    [[process.execPath, never], /was not ready within/],
    [["/nonexistent/filter"], /cannot be started/],
  ] as const) {
    const filter = start(t, command, { startTimeout: "300ms" });
    const dialogue = filter.open(newcomer);
    await assert.rejects(dialogue.ask({ stage: "connect", facts: newcomer }, long()), words);
    dialogue.end();
  }
});

test("a mail with a line without end is not told, and the program lives on", async (t) => {
  const filter = start(t, program(["filter|smtp-in|data-line"], ECHO));
  const dialogue = filter.open(facts);
  await assert.rejects(dialogue.judge(testMail(`Subject: x\n\n${"y".repeat(900_000)}\n`), long()), /longer than/);
  assert.deepEqual(await dialogue.judge(testMail(TEXT), long()), { fate: { kind: "keep" }, edits: [] });
});

test("binary mail that a program changed is not kept", async (t) => {
  const on = `if (f[4] === "data-line") data(f[7] === "body" ? "other" : f[7]);`;
  const filter = start(t, program(["filter|smtp-in|data-line"], on));
  const dialogue = filter.open(facts);
  await assert.rejects(
    dialogue.judge(testMail("Subject: x\n\nbody\n", { mail: { body: "BINARYMIME" } }), long()),
    /the mail is binary/,
  );
  assert.deepEqual(
    (await dialogue.judge(testMail("Subject: x\n\nsame\n", { mail: { body: "BINARYMIME" } }), long())).edits,
    [],
  );
});

test("a filter of settings that are gone serves the sessions that it had, and then ends", async (t) => {
  const command = program(["filter|smtp-in|data-line", "report|smtp-in|link-disconnect"], ECHO);
  const filter = start(t, command);
  const one = filter.open(facts);
  const late = filter.open(facts);
  await one.judge(testMail(TEXT), long());
  const closed = filter.close();
  assert.deepEqual(await one.judge(testMail(TEXT), long()), { fate: { kind: "keep" }, edits: [] });
  one.end();
  assert.deepEqual(await late.judge(testMail(TEXT), long()), { fate: { kind: "keep" }, edits: [] });
  late.end();
  await closed;
  assert.match(heardBy(command).at(-1) ?? "", /\|link-disconnect\|/);
  const after = filter.open(facts);
  await assert.rejects(after.judge(testMail(TEXT), long()), /was closed/);
  after.end();
});

const EXAMPLE = fileURLToPath(new URL("../../../../docs/examples/opensmtpd-filter.py", import.meta.url));

test("the manual's example refuses by subject and marks all other mail", async (t) => {
  const filter = start(t, [EXAMPLE, "cheap watches"]);
  const dialogue = filter.open(newcomer);
  const mail = testMail(TEXT);
  const verdict = await dialogue.judge(mail, long());
  assert.equal(await contentOf(mail, verdict), `X-Came-From: client.example.net\r\n${TEXT.replaceAll("\n", "\r\n")}`);
  dialogue.note?.({ notice: "commit", message: "x", sizeBytes: 1 });
  const refused = await dialogue.judge(testMail("Subject: Cheap watches!\n\n.\n"), long());
  assert.deepEqual(refused.fate, {
    kind: "refuse",
    reply: { code: 550, status: "5.7.1", lines: ["nobody wants cheap watches"] },
  });
  dialogue.note?.({ notice: "rollback" });
  const onlyHeader = await dialogue.judge(testMail("Subject: nothing else\n"), long());
  assert.equal(onlyHeader.fate.kind, "keep");
});
