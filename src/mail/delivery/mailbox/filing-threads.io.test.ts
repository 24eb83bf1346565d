import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { pathToFileURL } from "node:url";
import type { AnyEvent, Emit } from "../../../foundation/events.ts";
import { systemClock } from "../../../foundation/clock.io.ts";
import { virtualClock, type VirtualClock } from "../../../simulator/clock.ts";
import { mailFor } from "../../../testing/local-mail.ts";
import type { LocalOutcome } from "../delivery.ts";
import type { FileErrand } from "./errand.ts";
import { FilingThreads, type FilingThreadsParts } from "./filing-threads.io.ts";
import type { Quota } from "./quota.ts";
import { mailboxSettings } from "./settings.ts";

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), "posthorn-filing-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

function threads(
  at: string,
  parts: Partial<FilingThreadsParts> = {},
): { readonly files: FilingThreads; readonly told: string[] } {
  const told: string[] = [];
  const emit: Emit = (event, fields) => {
    const line = (event as AnyEvent).line(fields as never);
    if (line !== undefined) told.push(line);
  };
  const task = {
    settings: mailboxSettings.parse({ stuckAfter: "2s" }),
    queue: join(at, "queue"),
    intents: join(at, "intents"),
    hostname: "mail.example.org",
    extensionDelimiter: "+",
    mayInclude: false,
    startedAt: 0,
  };
  return { files: new FilingThreads({ clock: systemClock, emit, task, ...parts }), told };
}

function errand(path: string, n: number, quota?: Quota): FileErrand {
  return {
    request: mailFor("maildir", n),
    as: undefined,
    forward: [],
    user: "alice",
    place: { kind: "maildir", path, extension: "", quota },
  };
}

function textOf(outcome: LocalOutcome | undefined): string {
  if (outcome?.kind !== "failed") return outcome?.kind ?? "none";
  const { cause } = outcome.failure;
  return "text" in cause ? `${outcome.failure.lasting}: ${cause.text}` : cause.kind;
}

test("many mails at once are each in their Maildir, whole, and a new one is told of once", async (t) => {
  const at = folder(t);
  const { files, told } = threads(at);
  await using _end = files;
  const boxes = ["a", "b", "c"].map((name) => join(at, name));
  const outcomes = await Promise.all(
    Array.from({ length: 90 }, (_, n) => files.run(errand(boxes[n % 3] ?? "", n + 1))),
  );
  assert.deepEqual([...new Set(outcomes.map(textOf))], ["delivered"]);
  for (const [box, path] of boxes.entries()) {
    const names = readdirSync(join(path, "new"));
    assert.equal(names.length, 30);
    for (const name of names) assert.match(readFileSync(join(path, "new", name), "utf8"), /the end of \d+\n$/);
    assert.deepEqual(readdirSync(join(path, "tmp")), []);
    assert.equal(told.filter((line) => line.endsWith(`created mailbox maildir:${path}`)).length, 1, String(box));
  }
});

test("of content that is a piece of something larger only the piece is taken along", async (t) => {
  const at = folder(t);
  const module = join(at, "count.mjs");
  writeFileSync(
    module,
    `import { parentPort } from "node:worker_threads";
     parentPort.on("message", ({ request }) => parentPort.postMessage({ kind: "done", outcome:
       { kind: "delivered", envelope: request.envelope.id, text: String(request.body.bytes.buffer.byteLength) } }));`,
  );
  const { files } = threads(at, { module: pathToFileURL(module) });
  await using _end = files;
  const whole = errand("/any", 1);
  const bytes = Buffer.alloc(1_000_000).subarray(10, 110);
  const outcome = await files.run({ ...whole, request: { ...whole.request, body: { kind: "inline", bytes } } });
  assert.equal(outcome?.kind === "delivered" && outcome.text, "100");
});

test("with a quota never more go in at once than there is room for", async (t) => {
  const at = folder(t);
  const { files } = threads(at);
  await using _end = files;
  const path = join(at, "full");
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, (_, n) => files.run(errand(path, n + 1, { bytes: 0, messages: 7 }))),
  );
  assert.equal(outcomes.filter((outcome) => outcome?.kind === "delivered").length, 7);
  assert.equal(readdirSync(join(path, "new")).length, 7);
});

/** A thread that hangs with mail for mailboxes called so until there is a file in the queue's place, dies with others, and says that all else was delivered. */
const ODD = `
import { existsSync, writeFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
parentPort.postMessage({ kind: "ready" });
parentPort.on("message", (errand) => {
  const name = errand.place.path;
  if (name.endsWith("dies")) process.exit(7);
  if (name.endsWith("throws")) throw new Error("broken");
  const done = () => parentPort.postMessage({ kind: "done", outcome: { kind: "delivered", envelope: errand.request.envelope.id } });
  if (name.includes("hangs")) {
    writeFileSync(workerData.queue + name.slice(1), "");
    const look = setInterval(() => {
      if (!existsSync(workerData.queue)) return;
      clearInterval(look);
      done();
    }, 10);
  }
  else done();
});`;

/** Twice as fast as real time. */
function hurried(t: TestContext): VirtualClock {
  const clock = virtualClock(0);
  const going = setInterval(() => void clock.advance(100), 50);
  t.after(() => clearInterval(going));
  return clock;
}

test("a mailbox that hangs has its mail put off, and holds up nobody else's", async (t) => {
  const at = folder(t);
  const module = join(at, "odd.mjs");
  writeFileSync(module, ODD);
  const clock = hurried(t);
  const { files, told } = threads(at, { clock, module: pathToFileURL(module) });
  await using _end = files;
  const hanging = Array.from({ length: 6 }, (_, n) => files.run(errand(`/hangs${n}`, n)));
  const behind = files.run(errand("/hangs0", 10));
  // Four work at once; two others take their places when they count as hanging.
  for (const box of [0, 1, 2, 3, 4, 5])
    while (!existsSync(join(at, `queuehangs${box}`))) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(textOf(await behind), "temporary: an earlier delivery into this mailbox hangs");
  assert.equal(
    textOf(await files.run(errand("/hangs0", 11))),
    "temporary: an earlier delivery into this mailbox hangs",
  );
  assert.equal(textOf(await files.run(errand("/other", 12))), "delivered");
  assert.ok(told.includes("warning: delivery into /hangs0 hangs for 2000 ms"), told.join("\n"));
  writeFileSync(join(at, "queue"), "");
  assert.deepEqual([...new Set((await Promise.all(hanging)).map(textOf))], ["delivered"], "it came back");
  const again = files.run(errand("/hangs0", 13));
  assert.equal(textOf(await again), "delivered", "and the mailbox takes mail again");
});

test("until a mailbox is known to hang, a thread is left for the others", async (t) => {
  const at = folder(t);
  const module = join(at, "odd.mjs");
  writeFileSync(module, ODD.replace('name.includes("hangs")', 'errand.user === "slow"'));
  const { files } = threads(at, { clock: hurried(t), module: pathToFileURL(module) });
  await using _end = files;
  assert.equal(textOf(await files.run(errand("/box", 0))), "delivered");
  let slow = 0;
  const hanging = Array.from({ length: 5 }, (_, n) =>
    files.run({ ...errand("/box", n + 1), user: "slow" }).then(() => slow++),
  );
  assert.equal(textOf(await files.run(errand("/other", 12))), "delivered");
  assert.equal(slow, 0);
  writeFileSync(join(at, "queue"), "");
  await Promise.all(hanging);
});

test("the mail of a thread that ends is put off, and the next has another thread", async (t) => {
  const at = folder(t);
  const module = join(at, "odd.mjs");
  writeFileSync(module, ODD);
  const { files, told } = threads(at, { module: pathToFileURL(module) });
  await using _end = files;
  assert.match(textOf(await files.run(errand("/dies", 1))), /^temporary: the thread .* ended: exit status 7$/);
  assert.match(textOf(await files.run(errand("/throws", 2))), /^temporary: the thread .* ended: broken$/);
  assert.equal(textOf(await files.run(errand("/other", 3))), "delivered");
  assert.match(told[0] ?? "", /^warning: \S+: the thread that delivered it ended: exit status 7; it is tried again$/);
  const { files: lost } = threads(at, { module: pathToFileURL(join(at, "none.mjs")) });
  assert.match(textOf(await lost.run(errand("/other", 4))), /^temporary: the thread .* ended: /);
});
