import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../../foundation/clock.io.ts";
import { envelopeIdOf, messageIdOf } from "../../../foundation/ids.ts";
import { bodyFileName } from "../body-names.ts";
import { bodyFilesIn } from "../intake.io.ts";
import { openQueueStore } from "../open-queue-store.io.ts";
import { selfHealingStore } from "../self-healing-store.ts";
import { queueSettings } from "../settings.ts";
import type { Body, Store } from "../store.ts";
import { commitOf, rejectsWith } from "../store.suite.ts";

/** What is true of a queue program beyond the suite of all stores: how it fails, and the files beside it. */
const EXAMPLE = fileURLToPath(new URL("../../../../docs/examples/queue-program.py", import.meta.url));

interface World {
  readonly directory: string;
  readonly database: string;
  readonly told: (readonly [name: string, fields: unknown])[];
  /** With the example program, or another command. */
  open(command?: readonly string[], more?: Readonly<Record<string, unknown>>): Promise<Store>;
  openEmbedded(): Promise<Store>;
  bodyFile(n: number, text: string): Promise<Body>;
}

function programTest(sentence: string, work: (world: World) => Promise<void>): void {
  test(sentence, async () => {
    const root = mkdtempSync(`${tmpdir()}/posthorn-queue-program-`);
    const directory = `${root}/queue`;
    const database = `${root}/program.db`;
    const told: (readonly [string, unknown])[] = [];
    const open = (written: unknown): Promise<Store> =>
      openQueueStore({
        directory,
        settings: queueSettings.parse(written),
        clock: systemClock,
        emit: (event, fields) => void told.push([event.name, fields]),
      });
    try {
      await work({
        directory,
        database,
        told,
        open: (command = ["/usr/bin/python3", EXAMPLE, database], more = {}) =>
          open({ store: { process: { command } }, ...more }),
        openEmbedded: () => open({}),
        async bodyFile(n, text) {
          const file = await bodyFilesIn(directory).create(messageIdOf(n));
          await file.write(Buffer.from(text));
          return { kind: "file", name: file.name, sizeBytes: await file.finish() };
        },
      });
    } finally {
      rmSync(root, { recursive: true });
    }
  });
}

/** A program in Python that says hello and then does as the code says with each `line`. */
function python(code: string): readonly string[] {
  const hello = { hello: "posthorn-queue", version: 1, messages: 0, envelopes: 0 };
  return [
    "/usr/bin/python3",
    "-uc",
    `
import json, os, sys, time
sys.stdin.readline()
print(${JSON.stringify(JSON.stringify(hello))})
for line in sys.stdin:
    question = json.loads(line)
    # The look at the files, after each start.
    if question["do"] == "scan" and "message" not in question:
        print(json.dumps({"id": question["id"], "ok": {"rows": []}}))
        continue
    ${code}
`,
  ];
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 3000; tries++) {
    if (await isSo()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail("it did not come to that within a minute");
}

programTest("what was committed is there after the program and the server were started anew", async (world) => {
  {
    await using store = await world.open();
    await store.apply([commitOf(1), commitOf(2, { envelopes: [{}, {}] })]);
  }
  await using store = await world.open();
  assert.deepEqual([store.counters().messages, store.counters().envelopes], [2, 3]);
  assert.equal((await store.list({})).length, 3);
  const opened = world.told.findLast(([name]) => name === "queue.store-opened");
  assert.equal(JSON.stringify(opened).includes('"messages":2,"envelopes":3'), true);
});

programTest(
  "a program that is killed fails all that waits, and is back with all that it had promised",
  async (world) => {
    let pid = 0;
    const command = ["/bin/sh", "-c", `echo $$ >&2; exec /usr/bin/python3 ${EXAMPLE} ${world.database}`];
    await using store = await selfHealingStore(() => world.open(command), {
      directory: world.directory,
      clock: systemClock,
    });
    const pidOf = (): number =>
      Number(
        world.told
          .flatMap(([name, fields]) => (name === "queue.program-says" ? [(fields as { line: string }).line] : []))
          .at(-1),
      );
    await until(() => pidOf() > 0);
    pid = pidOf();
    await store.apply([commitOf(1)]);
    const last = store.apply([commitOf(2)]).catch((error: unknown) => error);
    process.kill(pid, "SIGKILL");
    const outcome = await last;
    await until(async () =>
      store.apply([commitOf(3)]).then(
        () => true,
        () => false,
      ),
    );
    const messages = (await store.list({})).map((row) => row.message);
    assert.ok(messages.includes(messageIdOf(1)) && messages.includes(messageIdOf(3)));
    // Promised or not known: never promised and missing.
    if (outcome === undefined) assert.ok(messages.includes(messageIdOf(2)));
    else assert.equal((outcome as { code: string }).code, "SPOOL_FAILED");
    assert.match(JSON.stringify(world.told.find(([name]) => name === "queue.store-failed")), /was ended by SIGKILL/);
  },
);

programTest(
  "a program that leaves a question unanswered is killed at the deadline, with all that waits",
  async (world) => {
    await using store = await world.open(python('if question["do"] == "apply": time.sleep(1000)'), {
      commitDeadline: "1s",
    });
    const waiting = [store.apply([commitOf(1)]), store.message(messageIdOf(1))];
    for (const each of waiting) await rejectsWith("SPOOL_FAILED", each);
    await rejectsWith("SPOOL_FAILED", store.apply([commitOf(2)]));
    assert.match(
      JSON.stringify(world.told.find(([name]) => name === "queue.store-failed")),
      /did not answer within 1s/,
    );
  },
);

programTest(
  "a program that talks nonsense, gives back other things, or says that it failed, fails the store",
  async (world) => {
    for (const [code, says] of [
      ['print("hello world")', /talks nonsense/],
      ['print(json.dumps({"id": question["id"], "ok": {"messages": "many"}}))', /talks nonsense: expected a batch/],
      ['print(json.dumps({"id": 4711, "ok": None}))', /answered question 4711, which nobody asked/],
      ['print(json.dumps({"id": question["id"], "failed": "EIO"}))', /failed: EIO/],
      ["sys.exit(7)", /ended with code 7/],
    ] as const) {
      await using store = await world.open(python(code));
      await assert.rejects(store.apply([commitOf(1)]), { code: "SPOOL_FAILED", message: says });
      await rejectsWith("SPOOL_FAILED", store.message(messageIdOf(1)));
    }
  },
);

programTest("a program without room refuses what it is told, and goes on", async (world) => {
  await using store = await world.open(
    python(
      'print(json.dumps({"id": question["id"], "full": "no room"} if question["do"] == "apply" else {"id": question["id"], "ok": None}))',
    ),
  );
  await assert.rejects(store.apply([commitOf(1)]), { code: "SPOOL_FULL", message: /no room/ });
  assert.equal(await store.message(messageIdOf(1)), undefined);
});

programTest(
  "a program that cannot open its store, is none, or never says hello fails the start with its words",
  async (world) => {
    await assert.rejects(world.open(["/nonexistent/program"]), { code: "SPOOL_FAILED", message: /ENOENT/ });
    await assert.rejects(world.open(["/bin/echo", "usage: ..."]), { code: "SPOOL_FAILED", message: /usage: / });
    await assert.rejects(world.open(["/usr/bin/python3", EXAMPLE, "/nonexistent/db"]), {
      code: "SPOOL_FAILED",
      message: /unable to open database file/,
    });
    await assert.rejects(world.open(["/bin/sleep", "100"], { commitDeadline: "1s" }), { message: /did not say hello/ });
    // Nothing of these keeps the directory.
    await (await world.open())[Symbol.asyncDispose]();
  },
);

programTest("the spool has one server at a time", async (world) => {
  await using _store = await world.open();
  await rejectsWith("SPOOL_IN_USE", world.open());
  await rejectsWith("SPOOL_IN_USE", world.openEmbedded());
});

programTest("a directory with another store's mail is not opened, an empty one is", async (world) => {
  {
    await using store = await world.openEmbedded();
    await store.apply([commitOf(1)]);
  }
  await assert.rejects(world.open(), { code: "SPOOL_REFUSED", message: /still has 1 messages/ });
  {
    await using store = await world.openEmbedded();
    await store.apply([{ do: "remove", envelope: envelopeIdOf(messageIdOf(1), 1) }]);
  }
  {
    await using store = await world.open();
    await store.apply([commitOf(2)]);
  }
  await assert.rejects(world.openEmbedded(), { code: "SPOOL_REFUSED", message: /is kept by the program/ });
  {
    await using store = await world.open();
    await store.apply([{ do: "remove", envelope: envelopeIdOf(messageIdOf(2), 1) }]);
  }
  await (await world.openEmbedded())[Symbol.asyncDispose]();
});

programTest(
  "a large body is a file that the commit names; it goes after the last envelope, not before",
  async (world) => {
    await using store = await world.open();
    const path = `${world.directory}/bodies/${bodyFileName(messageIdOf(1))}`;
    await store.apply([{ ...commitOf(1, { envelopes: [{}, {}] }), body: await world.bodyFile(1, "text") }]);
    await store.apply([{ do: "remove", envelope: envelopeIdOf(messageIdOf(1), 1) }]);
    assert.equal(readFileSync(path, "utf8"), "text");
    await store.apply([{ do: "remove", envelope: envelopeIdOf(messageIdOf(1), 2) }]);
    await until(() => !existsSync(path));
  },
);

programTest(
  "a commit whose body file is not there, or is shorter, is refused; those behind it are done",
  async (world) => {
    await using store = await world.open();
    const body: Body = { kind: "file", name: bodyFileName(messageIdOf(1)), sizeBytes: 5 };
    const outcomes = await Promise.allSettled([
      store.apply([{ ...commitOf(1), body }]),
      store.apply([{ ...commitOf(2), body: { ...body, name: "../owner" } }]),
      store.apply([commitOf(3)]),
    ]);
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.status === "rejected" ? (outcome.reason as { code: string }).code : "done")),
      ["SPOOL_REFUSED", "SPOOL_REFUSED", "done"],
    );
    assert.deepEqual(
      (await store.list({})).map((row) => row.message),
      [messageIdOf(3)],
    );
  },
);

programTest("old body files that no message names are swept at the start, and missing ones are told", async (world) => {
  const pathOf = (n: number): string => `${world.directory}/bodies/${bodyFileName(messageIdOf(n))}`;
  {
    await using store = await world.open();
    await store.apply([{ ...commitOf(1), body: await world.bodyFile(1, "named") }]);
    await store.apply([{ ...commitOf(2), body: await world.bodyFile(2, "lost") }]);
    await world.bodyFile(3, "orphan");
    await world.bodyFile(4, "young");
  }
  const longAgo = new Date(Date.now() - 2 * 3_600_000);
  for (const n of [1, 3]) utimesSync(pathOf(n), longAgo, longAgo);
  writeFileSync(`${world.directory}/bodies/00/README`, "not ours");
  rmSync(pathOf(2));
  await using _store = await world.open();
  await until(() => world.told.some(([name]) => name === "queue.body-missing"));
  assert.deepEqual(
    world.told
      .filter(([name]) => name === "queue.body-missing" || name === "queue.orphans-swept")
      .map(([, fields]) => fields),
    [
      { directory: world.directory, files: 1, size: 6, problem: undefined },
      { directory: world.directory, message: messageIdOf(2), file: bodyFileName(messageIdOf(2)) },
    ],
  );
  assert.deepEqual(
    [1, 3, 4].map((n) => existsSync(pathOf(n))),
    [true, false, true],
  );
});

programTest(
  "a thousand commits that come at once are all done; a copy of them is the program's own matter",
  async (world) => {
    await using store = await world.open();
    await Promise.all(Array.from({ length: 1000 }, (_, n) => store.apply([commitOf(n + 1)])));
    assert.equal(store.counters().messages, 1000);
    await assert.rejects(store.backup(`${world.directory}-backup`), { code: "USAGE", message: /kept by a program/ });
  },
);
