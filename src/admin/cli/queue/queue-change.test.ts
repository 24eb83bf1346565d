import assert from "node:assert/strict";
import { test } from "node:test";
import { MESSAGE, NOON, posthorn } from "../../../testing/command-world.ts";

test("changes go to the control socket, with who asked as the reason when none is given", async () => {
  const answers = { "queue.hold": { envelopes: 2 }, "queue.retry": { envelopes: 0 } };
  const hold = await posthorn(["queue", "hold", "--domain", "D.example", "--for", "2h"], { answers });
  assert.equal(hold.out, "2 envelopes held\n");
  assert.deepEqual(hold.asked, [
    [
      "change",
      "queue.hold",
      { selector: { by: "domain", domain: "d.example" }, because: "by anna", untilAt: NOON + 7_200_000 },
    ],
  ]);
  const retry = await posthorn(["queue", "retry", `${MESSAGE}.2`], { answers });
  assert.equal(retry.code, 1);
  assert.deepEqual(retry.asked[0]?.[2], { selector: { by: "envelope", id: `${MESSAGE}.2` } });
});

test("a change says what is done, what is asked for while it is being tried, and what could not be done and why", async () => {
  const held = await posthorn(["queue", "remove", "--all"], {
    answers: { "queue.remove": { envelopes: 2, asked: 1 } },
  });
  assert.equal(
    held.out,
    "2 envelopes removed\n1 envelope being tried now: removed unless that delivers it; forgotten if the server ends first\n",
  );
  assert.equal(held.code, 0);
  const asked = await posthorn(["queue", "hold", "--all"], { answers: { "queue.hold": { envelopes: 0, asked: 2 } } });
  assert.equal(
    asked.out,
    "2 envelopes being tried now: held unless that delivers or returns it; forgotten if the server ends first\n",
  );
  assert.equal(asked.code, 0);
  const undone = { envelopes: 0, undone: 1, because: "its bounce could not be made: \x1b[2J" };
  const bounced = await posthorn(["queue", "bounce", MESSAGE, `${MESSAGE}.1`], { answers: { "queue.bounce": undone } });
  assert.equal(bounced.out, "2 envelopes not returned to their senders: its bounce could not be made: \\x1b[2J\n");
  assert.equal(bounced.code, 1);
  const told = { envelopes: 6, toPostmaster: 2, untold: 3 };
  const returned = await posthorn(["queue", "bounce", "--all"], { answers: { "queue.bounce": told } });
  assert.deepEqual(returned.out.split("\n"), [
    "1 envelope returned to their senders",
    "2 envelopes reported to postmaster: no sender can be told",
    "3 envelopes removed, and nobody told: their senders wanted no bounce",
    "",
  ]);
  assert.equal(returned.code, 0);
});

test("a retry of what is suspended names that, and not quarantine", async () => {
  const { code, out } = await posthorn(["queue", "retry", "--all"], {
    answers: { "queue.retry": { envelopes: 0, suspended: 2 } },
  });
  assert.equal(code, 1);
  assert.match(
    out,
    /^2 envelopes suspended, and left so: `posthorn holds` says by what, `posthorn unsuspend` lifts it\n$/,
  );
});
