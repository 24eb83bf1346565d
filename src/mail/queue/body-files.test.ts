import assert from "node:assert/strict";
import { test } from "node:test";
import { messageIdOf } from "../../foundation/ids.ts";
import { seededRandom } from "../../foundation/random.ts";
import { simulatedDisk, type DiskFault, type SimulatedDisk } from "../../simulator/disk.ts";
import { BodyFiles } from "./body-files.ts";
import { bodyFileName, isBodyFileName, messageOfBodyFile } from "./body-names.ts";
import { bodyWriter } from "./body-writer.ts";
import { rejectsWith } from "./store.suite.ts";

const root = "/queue";

function filesOn(disk: SimulatedDisk): BodyFiles {
  return new BodyFiles(`${root}/bodies`, disk.files);
}

function contentOf(n: number): Buffer {
  return Buffer.alloc(200_000 + n, `content of message ${n}\r\n`);
}

/** Receives three messages at once, two of them in one directory, then another; what was finished is promised. */
async function receive(disk: SimulatedDisk): Promise<Map<string, Buffer>> {
  const files = filesOn(disk);
  const promised = new Map<string, Buffer>();
  const reception = async (n: number): Promise<void> => {
    const writer = bodyWriter(messageIdOf(n), 1000, files);
    const content = contentOf(n);
    try {
      for (let at = 0; at < content.length; at += 50_000) await writer.write(content.subarray(at, at + 50_000));
      const body = await writer.finish();
      assert.equal(body.kind, "file");
      if (body.kind === "file") promised.set(body.name, content);
    } catch (thrown) {
      await writer.abort(thrown);
    }
  };
  const all = Promise.all([reception(1), reception(2), reception(5 * 4096)]).then(() => reception(3));
  // A killed process leaves promises that never settle: it is over when nothing moves any more.
  let last = -1;
  let isOver = false;
  void all.finally(() => (isOver = true));
  // oxlint-disable-next-line no-unmodified-loop-condition -- modified when all is settled
  while (!isOver && last !== disk.steps) {
    last = disk.steps;
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
  return promised;
}

async function readAll(files: BodyFiles, name: string): Promise<Buffer> {
  const portions: Buffer[] = [];
  for await (const portion of await files.open(name)) portions.push(portion as Buffer);
  return Buffer.concat(portions);
}

async function expectWhole(disk: SimulatedDisk, promised: ReadonlyMap<string, Buffer>, when: string): Promise<void> {
  const files = filesOn(disk);
  for (const [name, content] of promised)
    assert.ok(content.equals(await readAll(files, name).catch(() => Buffer.alloc(0))), `${name} is whole, ${when}`);
}

test("a finished body survives a power cut, whole", async () => {
  const disk = simulatedDisk(root);
  const promised = await receive(disk);
  assert.equal(promised.size, 4);
  for (const survival of [0, 0.5, 1])
    await expectWhole(disk.afterPowerCut(survival, seededRandom(1)), promised, "after");
});

for (const what of ["kill", "EIO", "ENOSPC"] as const)
  test(`${what} at each step of reception, then a power cut: every finished body is there, whole`, async () => {
    const clean = simulatedDisk(root);
    await receive(clean);
    assert.ok(clean.steps > 20);
    let finished = 0;
    for (let atStep = 1; atStep <= clean.steps; atStep++) {
      const fault: DiskFault = { atStep, what };
      const disk = simulatedDisk(root, fault);
      const promised = await receive(disk);
      finished += promised.size;
      for (const survival of [0, 0.3, 0.7, 1])
        await expectWhole(
          disk.afterPowerCut(survival, seededRandom(atStep)),
          promised,
          `${what} at step ${atStep}, survival ${survival}`,
        );
    }
    assert.ok(finished >= 10, "too little was promised to prove anything");
  });

test("a body whose sync failed is not finished, and its file is taken away", async () => {
  const clean = simulatedDisk(root);
  const writer = bodyWriter(messageIdOf(1), 0, filesOn(clean));
  await writer.write(contentOf(1));
  const syncStep = clean.steps + 1;

  const disk = simulatedDisk(root, { atStep: syncStep, what: "EIO" });
  const failing = bodyWriter(messageIdOf(1), 0, filesOn(disk));
  await failing.write(contentOf(1));
  await rejectsWith("SPOOL_FAILED", failing.finish());
  await failing.abort();
  assert.equal(await filesOn(disk).sizeOf(bodyFileName(messageIdOf(1))), undefined);
});

test("a full disk says SPOOL_FULL, a taken name SPOOL_REFUSED, a missing file SPOOL_FAILED", async () => {
  const full = filesOn(simulatedDisk(root, { atStep: 5, what: "ENOSPC" }));
  await rejectsWith("SPOOL_FULL", full.create(messageIdOf(1)));
  const files = filesOn(simulatedDisk(root));
  await files.create(messageIdOf(1));
  await rejectsWith("SPOOL_REFUSED", files.create(messageIdOf(1)));
  await rejectsWith("SPOOL_FAILED", files.open(bodyFileName(messageIdOf(2))));
});

test("aborting forgets the file, also when its name was taken by another message's: that one stays", async () => {
  const disk = simulatedDisk(root);
  const files = filesOn(disk);
  const first = bodyWriter(messageIdOf(1), 0, files);
  await first.write(contentOf(1));
  const second = bodyWriter(messageIdOf(1), 0, files);
  await assert.rejects(Promise.resolve(second.write(contentOf(1))));
  await second.abort();
  const body = await first.finish();
  assert.equal(body.kind === "file" && (await readAll(files, body.name)).length, contentOf(1).length);
});

test("after finishing, a file goes only when the commit surely was not done", async () => {
  const { PosthornError } = await import("../../foundation/error.ts");
  const error = (code: "SPOOL_FULL" | "SPOOL_REFUSED" | "SPOOL_FAILED" | "ROLE_UNAVAILABLE"): Error =>
    new PosthornError(code, { message: "", advice: "" });
  const files = filesOn(simulatedDisk(root));
  const outcomes = [
    [1, error("SPOOL_FULL"), false],
    [2, error("SPOOL_REFUSED"), false],
    [3, error("SPOOL_FAILED"), true],
    [4, error("ROLE_UNAVAILABLE"), true],
    [5, undefined, true],
  ] as const;
  for (const [n, because, stays] of outcomes) {
    const writer = bodyWriter(messageIdOf(n), 0, files);
    await writer.write(contentOf(n));
    await writer.finish();
    await writer.abort(because);
    assert.equal((await files.sizeOf(bodyFileName(messageIdOf(n)))) !== undefined, stays, `case ${n}`);
  }
});

test("a small body stays in memory and touches no disk; one byte more goes to a file, all of it", async () => {
  const disk = simulatedDisk(root);
  const small = bodyWriter(messageIdOf(1), 10, filesOn(disk));
  void small.write(Buffer.from("12345"));
  void small.write(Buffer.from("67890"));
  const inline = await small.finish();
  assert.equal(inline.kind === "inline" && Buffer.from(inline.bytes).toString(), "1234567890");
  assert.equal(disk.steps, 0);
  const large = bodyWriter(messageIdOf(2), 10, filesOn(disk));
  void large.write(Buffer.from("1234567890"));
  await large.write(Buffer.from("1"));
  const body = await large.finish();
  assert.deepEqual(body, { kind: "file", name: bodyFileName(messageIdOf(2)), sizeBytes: 11 });
  assert.equal((await readAll(filesOn(disk), bodyFileName(messageIdOf(2)))).toString(), "12345678901");
});

test("what the writer was given may change afterwards: it keeps a copy", async () => {
  const writer = bodyWriter(messageIdOf(1), 100, filesOn(simulatedDisk(root)));
  const bytes = Buffer.from("first");
  void writer.write(bytes);
  bytes.fill("x");
  const body = await writer.finish();
  assert.equal(body.kind === "inline" && Buffer.from(body.bytes).toString(), "first");
});

test("content that is settled can be read as often as wanted, in memory and from a file, and be kept afterwards", async () => {
  for (const inlineUpTo of [0, 1 << 20]) {
    const files = filesOn(simulatedDisk(root));
    const writer = bodyWriter(messageIdOf(1), inlineUpTo, files);
    await writer.write(Buffer.from("one "));
    await writer.write(Buffer.from("two"));
    const settled = await writer.settle();
    assert.equal(settled.sizeBytes, 7);
    for (const _ of [1, 2]) {
      const pieces: Buffer[] = [];
      for await (const piece of settled.read()) pieces.push(piece);
      assert.equal(Buffer.concat(pieces).toString(), "one two");
    }
    const body = await writer.finish();
    const kept = body.kind === "file" ? await readAll(files, body.name) : Buffer.from(body.bytes);
    assert.equal(kept.toString(), "one two");
  }
});

test("what is written anew for a message has a name of its own, which the sweep takes for that message's", async () => {
  const disk = simulatedDisk(root);
  const files = filesOn(disk);
  const first = bodyWriter(messageIdOf(1), 0, files);
  await first.write(Buffer.from("as it came"));
  const second = bodyWriter(messageIdOf(1), 0, files, 2);
  await second.write(Buffer.from("as it became"));
  await first.abort();
  const body = await second.finish();
  assert.deepEqual(body, { kind: "file", name: bodyFileName(messageIdOf(1), 2), sizeBytes: 12 });
  const found: string[] = [];
  for await (const file of files.filesUntouchedSince(Infinity)) found.push(`${file.message} ${file.name}`);
  assert.deepEqual(found, [`${messageIdOf(1)} ${bodyFileName(messageIdOf(1), 2)}`]);
});

test("content that is forgotten while it is being made durable is not named, whenever the disk is done", async () => {
  for (const stalls of ["sync", "syncDirectory"] as const) {
    const { files } = simulatedDisk(root);
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const stall = async (): Promise<void> => {
      reached.resolve();
      await gate.promise;
    };
    let isStalling = false;
    const writer = bodyWriter(
      messageIdOf(1),
      0,
      new BodyFiles(`${root}/bodies`, {
        ...files,
        async create(path) {
          const file = await files.create(path);
          return {
            write: (bytes) => file.write(bytes),
            close: () => file.close(),
            sync: async () => {
              if (stalls === "sync") await stall();
              await file.sync();
            },
          };
        },
        async syncDirectory(path) {
          if (stalls === "syncDirectory" && isStalling) await stall();
          await files.syncDirectory(path);
        },
      }),
    );
    await writer.write(contentOf(1));
    isStalling = true;
    const finished = writer.finish();
    await reached.promise;
    const aborted = writer.abort(new Error("it took too long"));
    gate.resolve();
    await assert.rejects(finished, { code: /SPOOL_FAILED/ }, stalls);
    await aborted;
  }
});

test("only names of body files are names: nothing leads out of the directory", () => {
  const name = bodyFileName(messageIdOf(123_456_789));
  assert.ok(isBodyFileName(name));
  for (const other of ["", "../../etc/passwd", `../${name.slice(3)}`, `ZZ/${name.slice(3)}`, `${name}x`, name.slice(3)])
    assert.ok(!isBodyFileName(other), other);
  for (const other of ["-1", "-02", "-0", "-", "-1000", "-2x"]) assert.ok(!isBodyFileName(`${name}${other}`), other);
  assert.equal(messageOfBodyFile(`${name}-999`), name.slice(3));
  const files = filesOn(simulatedDisk(root));
  assert.throws(() => files.pathOf("../../etc/passwd"));
});
