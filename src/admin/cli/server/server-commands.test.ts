import assert from "node:assert/strict";
import { test } from "node:test";
import { MESSAGE, posthorn } from "../../../testing/command-world.ts";

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

test("a refused reload prints the problems and says that nothing changed", async () => {
  const report = { kind: "refused", problems: ["posthorn.yaml:1:1: wrong"] };
  const { code, err } = await posthorn(["reload"], { answers: { reload: report } });
  assert.equal(code, 78);
  assert.equal(err, "posthorn.yaml:1:1: wrong\nthe settings stay as they were\n");
});
