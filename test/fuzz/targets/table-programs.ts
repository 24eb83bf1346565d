import assert from "node:assert/strict";
import { cdbPieces, openCdb } from "../../../src/service/table/cdb/cdb.ts";
import { parseNote } from "../../../src/service/table/cdb/note.ts";
import { tableDialogue } from "../../../src/service/table/process/dialogue.ts";
import type { FuzzTarget } from "../fuzz-target.ts";

const small = Buffer.alloc(4096);
for (const { at, bytes } of cdbPieces([{ key: Buffer.from("key"), value: Buffer.from("value") }])) small.set(bytes, at);
const end = small.findLastIndex((byte) => byte !== 0) + 1;

/**
 * What table programs answer, in any order, and damaged cdb files. An answer is given to what was asked, once; a damaged file is refused or
 * read, in no more reads than it has bytes, and never beyond its end.
 */
export const target: FuzzTarget = {
  maxBytes: 4096,
  longBytes: 32_768,
  seeds: [
    "register|alias\nregister|domain\nregister|ready\nlookup-result|00000001|found|a@b\ncheck-result|00000002|not-found\n",
    "register|ready\n",
    "register|auth\nregister|ready\nfetch-result|00000001|error|x\n",
    small.toString("latin1", 0, end),
  ],
  tokens: [
    "register|",
    "ready\n",
    "lookup-result|",
    "check-result|",
    "00000001|",
    "00000002|",
    "found|",
    "not-found",
    "error|",
    "|",
    "\n",
    "alias\n",
    "\0\x08\0\0",
    "\x01\0\0\0",
    "\xff\xff\xff\xff",
  ],
  run(bytes) {
    const dialogue = tableDialogue("devs");
    const waiting = new Set<string>();
    let asked = 0;
    for (const line of bytes.toString("latin1").split("\n", 2000)) {
      const heard = dialogue.onLine(line);
      if (heard.kind === "broken") break;
      if (heard.kind === "answer") assert.ok(waiting.delete(heard.id), "an answer to nothing");
      if (heard.kind === "garbage") assert.ok(heard.text.length <= 1000 && !/[\r\n]/.test(heard.text));
      for (const service of dialogue.services === undefined || asked > 4 ? [] : (["alias", "domain"] as const)) {
        const question = dialogue.ask(service, `k${asked++}`, 1_700_000_000_000);
        if (question.kind === "line") waiting.add(question.id);
      }
      assert.equal(dialogue.waiting, waiting.size);
    }
    parseNote(bytes);
    let reads = 0;
    const opened = openCdb((at, length) => {
      reads++;
      return bytes.subarray(at, at + length);
    }, bytes.length);
    if (!opened.ok) return;
    opened.value.get(Buffer.from("key"));
    opened.value.get(Buffer.from(""));
    for (const record of opened.value.records()) if (record.ok) assert.ok(record.value.value.length <= bytes.length);
    assert.ok(reads <= bytes.length, `${reads} reads of ${bytes.length} bytes`);
  },
};
