import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { messageIdOf } from "../../foundation/ids.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { bodyFilesIn, openIntake } from "./intake.io.ts";

function withDirectory(work: (directory: string) => Promise<void> | void): () => Promise<void> {
  return async () => {
    const directory = mkdtempSync(`${tmpdir()}/posthorn-intake-`);
    try {
      await work(directory);
    } finally {
      rmSync(directory, { recursive: true });
    }
  };
}

const roomy = { inlineBodyUpTo: 1000, minFreeBytes: 0, minFreeInodes: 0 };

test(
  "content of any length, cut anywhere, comes out as it went in",
  withDirectory(async (directory) => {
    const intake = openIntake({ directory, settings: roomy, clock: virtualClock(0) });
    const lengths = [0, 1, 999, 1000, 1001, 65_535, 65_536, 131_071, 131_072, 131_073, 1_000_000];
    for (const [index, length] of lengths.entries())
      for (const cut of [1000, 65_536, 300_000]) {
        const content = Buffer.from(Array.from({ length }, (_, at) => (at * 31 + (at >> 8)) & 255));
        const writer = intake.begin(messageIdOf(index * 10_000_000 + cut));
        for (let at = 0; at < length; at += cut) await writer.write(content.subarray(at, at + cut));
        assert.equal(writer.sizeBytes, length);
        const body = await writer.finish();
        assert.equal(body.kind, length <= 1000 ? "inline" : "file");
        if (body.kind === "inline") assert.ok(content.equals(body.bytes));
        else {
          assert.equal(body.sizeBytes, length);
          const portions: Buffer[] = [];
          for await (const portion of await bodyFilesIn(directory).open(body.name)) portions.push(portion as Buffer);
          assert.ok(content.equals(Buffer.concat(portions)), `${length} bytes, cut every ${cut}`);
        }
      }
  }),
);

test(
  "less free space or fewer free inodes than wanted is a shortage, said once when it begins and once when it ends",
  withDirectory((directory) => {
    const clock = virtualClock(0);
    const names: string[] = [];
    const settings = { ...roomy };
    const intake = openIntake({ directory, settings, clock, emit: (event) => void names.push(event.name) });
    assert.equal(intake.shortage(), undefined);
    settings.minFreeBytes = Number.MAX_SAFE_INTEGER;
    assert.equal(intake.shortage(), undefined, "the file system is asked once a second");
    return clock.advance(1000).then(async () => {
      assert.match(intake.shortage() ?? "", /^\d+ bytes free, 9007199254740991 wanted$/);
      settings.minFreeBytes = 0;
      await clock.advance(1000);
      assert.equal(intake.shortage(), undefined);
      assert.deepEqual(names, ["queue.shortage-began", "queue.shortage-ended"]);
      if (statfsSync(directory).files === 0) return;
      settings.minFreeInodes = Number.MAX_SAFE_INTEGER;
      await clock.advance(1000);
      assert.match(intake.shortage() ?? "", /inodes free/);
    });
  }),
);

test("a file system that cannot be asked has no room", () => {
  const intake = openIntake({ directory: "/nowhere/at/all", settings: roomy, clock: virtualClock(0) });
  assert.match(intake.shortage() ?? "", /cannot be asked/);
});

test(
  "a piece is not taken while another is on its way to the file",
  withDirectory(async (directory) => {
    const intake = openIntake({ directory, settings: roomy, clock: virtualClock(0) });
    const writer = intake.begin(messageIdOf(1));
    const first = writer.write(Buffer.alloc(200_000, "a"));
    assert.throws(() => writer.write(Buffer.from("b")), /where it belongs/);
    await first;
    await writer.abort();
  }),
);
