import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { placeFinder, sourceFinder } from "./places.ts";
import { samplesFrom } from "./samples.ts";
import { profileTables } from "./table.ts";

const PRINTED = `MainThread   100/100
	ffffffff81 tcp_sendmsg_locked ([kernel.kallsyms])
	ffffffff82 ksys_write ([kernel.kallsyms])
	ffffffff83 __x64_sys_write ([kernel.kallsyms])
	      7f01 JS:*'flush file:///srv/dist/chunks/session.js:3:8 (/tmp/perf-100.map)

MainThread   100/100
	      7f02 Builtins_StringIndexOf (/usr/bin/node)
	      7f03 JS:*'lineOf file:///srv/dist/chunks/session.js:3:8 (/tmp/perf-100.map)
	      7f04 JS:+ node:internal/timers:623:14 (/tmp/perf-100.map)

V8Worker   100/104
	      7f05 v8::internal::ScavengerCollector::JobTask::Run(v8::JobDelegate*) (/usr/bin/node)

posthorn: ingre   101/101
	      7f06 JS:*'onStreamRead node:internal/stream_base_commons:166:22 (/tmp/perf-101.map)

queue writer   102/109
	ffffffff84 [unknown] ([kernel.kallsyms])
	ffffffff85 __do_sys_fsync ([kernel.kallsyms])
`;

test("what perf prints becomes samples, with threads whose names have spaces", () => {
  const samples = samplesFrom(PRINTED);
  assert.deepEqual(
    samples.map(({ pid, thread, frames }) => [pid, thread, frames.length]),
    [
      [100, "MainThread", 4],
      [100, "MainThread", 3],
      [100, "V8Worker", 1],
      [101, "posthorn: ingre", 1],
      [102, "queue writer", 2],
    ],
  );
  assert.deepEqual(samples[0]?.frames.at(-1)?.script, { file: "/srv/dist/chunks/session.js", line: 3 });
  assert.deepEqual(samples[1]?.frames.at(-1)?.script, { file: "node:internal/timers", line: 623 });
  assert.deepEqual(samplesFrom(""), []);
});

test("a sample belongs to the kernel's call, to V8's work, to our innermost module, or to Node", () => {
  const placeOf = placeFinder((file, line) =>
    file.startsWith("/srv/") && line === 3 ? "src/mail/session/a.ts" : undefined,
  );
  assert.deepEqual(samplesFrom(PRINTED).map(placeOf), [
    "kernel: write",
    "mail/session",
    "V8: garbage collection",
    "Node: sockets, timers, threads",
    "kernel: fsync",
  ]);
});

test("a function's source is named by the line in front of its module", () => {
  const root = mkdtempSync(join(tmpdir(), "posthorn-places-"));
  try {
    mkdirSync(join(root, "dist"));
    writeFileSync(
      join(root, "dist", "a.js"),
      'import "b";\n// src/mail/queue/rows.ts\nfunction a() {}\n// src/mail/log/b.ts\nfunction b() {}\n',
    );
    const sourceOf = sourceFinder(root);
    assert.equal(sourceOf(join(root, "dist", "a.js"), 3), "src/mail/queue/rows.ts");
    assert.equal(sourceOf(join(root, "dist", "a.js"), 5), "src/mail/log/b.ts");
    assert.equal(sourceOf(join(root, "dist", "a.js"), 1), undefined);
    assert.equal(sourceOf("node:internal/timers", 3), undefined);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

test("the rows of each table add up to what a message takes", () => {
  const text = profileTables({
    samples: samplesFrom(PRINTED),
    placeOf: placeFinder(() => undefined),
    roleOf: (pid) => (pid === 100 ? "scheduler" : "ingress"),
    cpuUs: 500,
  });
  assert.match(text, /\| scheduler: main thread \| 200 \| 100 \|/);
  assert.match(text, /\| \*\*together\*\* \| 500 \| 300 \| 200 \|/);
  assert.match(text, /\| kernel: fsync \| 100 \| {2}\| 100 \|/);
  assert.throws(() => profileTables({ samples: [], placeOf: () => "", roleOf: () => "", cpuUs: 1 }), /saw nothing/);
});
