import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { cpuWatch } from "../../testing/cpu-watch.ts";
import { rawFieldsOf } from "../../protocol/message/raw-fields.ts";
import type { MailEdit } from "./filter.ts";
import { applyEdits } from "./header-edits.ts";

const HEADER = "Received: one\r\nSubject: x\r\n y\r\nreceived:two\r\nTo:  z\r\n";

function edited(...edits: readonly MailEdit[]): string {
  return applyEdits(Buffer.from(HEADER), edits).header.toString("latin1");
}

test("fields are added at their place, behind the last without one", () => {
  assert.equal(edited({ edit: "add-field", name: "A", value: "1" }), `${HEADER}A: 1\r\n`);
  assert.equal(edited({ edit: "add-field", name: "A", value: "1", at: 0 }), `A: 1\r\n${HEADER}`);
  assert.match(edited({ edit: "add-field", name: "A", value: "1", at: 1 }), /^Received: one\r\nA: 1\r\nSubject/);
  assert.equal(edited({ edit: "add-field", name: "A", value: "1", at: 99 }), `${HEADER}A: 1\r\n`);
});

test("the nth field of a name is changed or removed, whatever case it is in; others keep their bytes", () => {
  assert.match(edited({ edit: "change-field", name: "RECEIVED", nth: 2, value: "new" }), /RECEIVED: new\r\nTo: {2}z/);
  assert.equal(edited({ edit: "remove-field", name: "received", nth: 1 }), HEADER.slice("Received: one\r\n".length));
  assert.equal(edited({ edit: "remove-field", name: "Received" }), "Subject: x\r\n y\r\nTo:  z\r\n");
  assert.equal(edited({ edit: "remove-field", name: "Received", nth: 3 }), HEADER);
  assert.equal(edited({ edit: "change-field", name: "New", nth: 1, value: "v" }), `${HEADER}New: v\r\n`);
});

test("edits are done in their order", () => {
  assert.equal(
    edited(
      { edit: "replace-header", header: Buffer.from("A: 1\nB: 2") },
      { edit: "add-field", name: "C", value: "3", at: 1 },
      { edit: "remove-field", name: "A" },
    ),
    "C: 3\r\nB: 2\r\n",
  );
});

test("without a change of fields the header is the very same", () => {
  const header = Buffer.from(HEADER);
  const done = applyEdits(header, [
    { edit: "sender", sender: "<a@b.example>" },
    { edit: "add-recipient", recipient: "c@d" },
    { edit: "remove-recipient", recipient: " <e@f> " },
  ]);
  assert.equal(done.header, header);
  assert.deepEqual(
    [done.hasNewHeader, done.sender, done.added, done.removed],
    [false, "a@b.example", ["c@d"], ["e@f"]],
  );
});

test("what makes no sense is a failure of the filter", () => {
  for (const edit of [
    { edit: "add-field", name: "bad name", value: "" },
    { edit: "add-field", name: "a:b", value: "" },
    { edit: "add-field", name: "", value: "" },
    { edit: "sender", sender: "a\r\nRCPT TO:<b>" },
    { edit: "sender", sender: "a b@c.example" },
    { edit: "sender", sender: "nobody" },
    { edit: "add-recipient", recipient: "<a> <b>" },
    { edit: "replace-header", header: Buffer.from("A: 1\r\n\r\nbody") },
    { edit: "replace-header", header: Buffer.from("\r\n A: 1\r\n") },
  ] as const)
    assert.throws(() => edited(edit), { code: "FILTER_FAILED" });
});

test("whatever a value holds, one field comes out, and nothing else changes", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: "binary" }),
        fc.string({ unit: fc.constantFrom("\r", "\n", " ", "\t", "a", ":", "\0") }),
      ),
      (value) => {
        const { header } = applyEdits(Buffer.from(HEADER), [{ edit: "add-field", name: "X", value, at: 1 }]);
        const fields = rawFieldsOf(header);
        assert.equal(fields.length, 5);
        assert.equal(fields[1]?.name, "X");
        const text = header.toString("latin1");
        assert.ok(!/(?<!\r)\n|\r(?!\n)|\0/.test(text), JSON.stringify(text));
        assert.ok(!/\r\n[ \t]*\r\n/.test(text), JSON.stringify(text));
        const raw = fields.filter((_, at) => at !== 1).map((field) => field.raw);
        assert.equal(Buffer.concat(raw).toString("latin1"), HEADER);
      },
    ),
  );
});

/** The processor's milliseconds. */
function costOf(run: () => void): number {
  const usedMs = cpuWatch();
  run();
  return usedMs();
}

test("thousands of changes of a header of tens of thousands of fields are no work worth speaking of", () => {
  const header = Buffer.from("A:\r\n".repeat(60_000) + "Claim: x\r\n".repeat(4000));
  const removals = Array.from({ length: 4000 }, (_, at) => ({
    edit: "remove-field" as const,
    name: "claim",
    nth: 4000 - at,
  }));
  let left: Buffer = Buffer.alloc(0);
  const spent = costOf(() => {
    left = applyEdits(header, removals).header;
  });
  assert.equal(left.length, 60_000 * 4);
  // Field by field it were half a billion of names.
  assert.ok(spent < 4000, `${spent} ms`);
  const front = costOf(() => {
    const adding = removals.map(() => ({ edit: "add-field" as const, name: "B", value: "", at: 0 }));
    assert.match(applyEdits(header, adding).header.toString("latin1", 0, 10), /^(?:B:\r\n){2}/);
  });
  assert.ok(front < 4000, `${front} ms`);
});

test("line ends without number in a value, or in a header, cost as many steps as there are of them", () => {
  const ends = "\n".repeat(1 << 20);
  const spent = costOf(() => {
    const { header } = applyEdits(Buffer.from(HEADER), [
      { edit: "add-field", name: "X", value: `${ends}x${ends}`, at: 0 },
    ]);
    assert.equal(rawFieldsOf(header).length, 5);
    for (const whole of [`${ends}A: 1`, `A: 1${ends}B: 2`])
      assert.throws(() => edited({ edit: "replace-header", header: Buffer.from(whole) }), { code: "FILTER_FAILED" });
    assert.equal(edited({ edit: "replace-header", header: Buffer.from(`A: 1${ends}`) }), "A: 1\r\n");
  });
  assert.ok(spent < 4000, `${spent} ms`);
});

test("what is added is counted while it is added: values of a megabyte are not gathered first", () => {
  const value = "x".repeat(1 << 20);
  let asked = 0;
  const edits = Array.from({ length: 10_000 }, () => ({
    edit: "add-field" as const,
    name: "X",
    get value(): string {
      asked++;
      return value;
    },
  }));
  assert.throws(() => applyEdits(Buffer.from(HEADER), edits), { code: "FILTER_FAILED" });
  assert.ok(asked < 8, `${asked} were read`);
});

test("whatever filters do in whatever order, the header stays one of whole fields, and no address becomes two", () => {
  const acting = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom("\r", "\n", " ", "\t", "\0", ":", "<", ">", "@", '"', ",", "a", "A: 1") }),
  );
  const name = fc.oneof(fc.constantFrom("A", "Subject", "received", "b:c", "d\r\nE", "", "f\0"), acting);
  const nth = fc.integer({ min: -1, max: 4 });
  const at = fc.option(fc.integer({ min: -2, max: 9 }), { nil: undefined });
  const edit = fc.oneof(
    fc.record({ edit: fc.constant("add-field" as const), name, value: acting, at }),
    fc.record({ edit: fc.constant("change-field" as const), name, nth, value: acting }),
    fc.record({ edit: fc.constant("remove-field" as const), name, nth: fc.option(nth, { nil: undefined }) }),
    fc.record({ edit: fc.constant("replace-header" as const), header: acting.map((text) => Buffer.from(text)) }),
    fc.record({ edit: fc.constant("sender" as const), sender: acting }),
    fc.record({ edit: fc.constant("add-recipient" as const), recipient: acting }),
  );
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 6 }), (edits) => {
      let done;
      try {
        done = applyEdits(Buffer.from(HEADER), edits);
      } catch (thrown) {
        assert.equal((thrown as { code?: string }).code, "FILTER_FAILED");
        return;
      }
      const text = done.header.toString("latin1");
      assert.ok(text === "" || text.endsWith("\r\n"));
      assert.doesNotMatch(text, /(?<!\r)\n|\r(?!\n)/);
      assert.doesNotMatch(text, /(?:^|\r\n)\r\n/);
      assert.doesNotMatch([done.sender ?? "", ...done.added].join(""), /[\x00-\x1f\x7f<>]/);
    }),
    { numRuns: 300 },
  );
});
