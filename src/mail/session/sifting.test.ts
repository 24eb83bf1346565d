import assert from "node:assert/strict";
import { test } from "node:test";
import { testFacts } from "../../testing/filter-mail.ts";
import { keptInMemory } from "../filter/kept-content.ts";
import type { SiftedMail } from "../filter/outcome.ts";
import type { AskedChain } from "../filter/restricted-chain.ts";
import type { BodyWriter } from "../queue/queue.ts";
import { Sifting } from "./sifting.ts";

const TRACE = "Received: here\r\n";
const CONTENT = Buffer.from(`${TRACE}Subject: x\r\n\r\nhello\r\n`);

/** Content in memory, that tells of its end. */
function writerOf(tell: (what: "aborted") => void): BodyWriter {
  const pieces: Buffer[] = [];
  const whole = (): Buffer => Buffer.concat(pieces);
  return {
    get sizeBytes() {
      return whole().length;
    },
    write: (bytes) => void pieces.push(Buffer.from(bytes)),
    settle: async () => ({ sizeBytes: whole().length, whole: whole(), read: () => keptInMemory(whole()).read() }),
    finish: async () => ({ kind: "inline", bytes: whole() }),
    abort: async () => tell("aborted"),
  };
}

test("content that was written anew when nobody waits any more is forgotten", async () => {
  const ended: string[] = [];
  const changed: SiftedMail = {
    fate: { kind: "keep" },
    header: Buffer.from("Subject: y\r\n"),
    body: keptInMemory(Buffer.from("hello\r\n")),
    isChanged: true,
    added: [],
    removed: [],
    tags: [],
    told: [],
  };
  const chain: Pick<AskedChain, "judge"> = { judge: async () => changed };
  // The old content goes when the new one is whole; that is when the client leaves.
  const old = writerOf(() => {
    ended.push("old");
    sifting.cancel();
  });
  await old.write(CONTENT);
  const sifting: Sifting = new Sifting({
    // Nothing else of it is asked here.
    chain: chain as AskedChain,
    writer: old,
    trace: TRACE,
    begin: (version) => writerOf(() => ended.push(`version ${version}`)),
    messageSize: 1 << 20,
    headerSize: 1 << 16,
  });
  const who = { listener: "smtp", isEncrypted: false, sender: "a@b.example" };
  await assert.rejects(sifting.run(testFacts(), who, []), { code: "FILTER_FAILED" });
  assert.deepEqual(ended, ["old", "version 2"]);
});
