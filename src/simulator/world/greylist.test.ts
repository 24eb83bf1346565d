import assert from "node:assert/strict";
import { test } from "node:test";
import { replyText } from "../../protocol/smtp/reply.ts";
import { Greylist } from "./greylist.ts";
import { hostModel } from "./settings.ts";

const MINUTE = 60_000;

function greylist(written: object): Greylist {
  const { greylisting } = hostModel.parse({ greylisting: written });
  assert.ok(greylisting !== undefined);
  return new Greylist(greylisting);
}

const asks = (of: Greylist, to: string, minute: number): string => {
  const refusal = of.refuses("192.0.2.1", "a@sender.example", to, minute * MINUTE);
  return refusal === undefined ? "taken" : replyText(refusal);
};

test("keyed by client: after the wait everybody is taken, and an attempt within it may begin it anew", () => {
  const plain = greylist({ by: "client", wait: "5m" });
  assert.match(asks(plain, "one@x", 0), /^450 Greylisted/);
  assert.match(asks(plain, "two@x", 3), /^450/);
  assert.equal(asks(plain, "three@x", 5), "taken");

  const restarting = greylist({ by: "client", wait: "5m", restarts: true });
  assert.match(asks(restarting, "one@x", 0), /^450/);
  assert.match(asks(restarting, "two@x", 3), /^450/);
  assert.match(asks(restarting, "two@x", 5), /^450/);
  assert.equal(asks(restarting, "three@x", 10), "taken");
  assert.equal(asks(restarting, "four@x", 11), "taken");
});

test("as spamd: a tuple that comes again in its window admits the client, another one does not", () => {
  const spamd = greylist({ by: "spamd", wait: "25m", window: "4h" });
  assert.match(asks(spamd, "one@x", 0), /^450/);
  assert.match(asks(spamd, "two@x", 25), /^450/);
  assert.equal(asks(spamd, "one@x", 26), "taken");
  assert.equal(asks(spamd, "three@x", 27), "taken");

  const late = greylist({ by: "spamd", wait: "25m", window: "4h" });
  assert.match(asks(late, "one@x", 0), /^450/);
  assert.match(asks(late, "one@x", 241), /^450/, "the window is over");
  assert.equal(asks(late, "one@x", 267), "taken");
});

test("by triplet: each recipient has a wait and a memory of its own", () => {
  const strict = greylist({ by: "triplet", wait: "5m", memory: "1h" });
  assert.match(asks(strict, "one@x", 0), /^450/);
  assert.equal(asks(strict, "one@x", 5), "taken");
  assert.match(asks(strict, "two@x", 5), /^450/);
  assert.equal(asks(strict, "one@x", 64), "taken", "what passes is remembered from then on");
  assert.match(asks(strict, "one@x", 125), /^450/, "an hour after it was last seen");
});

test("a greylister that tells how long is left tells it in its own words", () => {
  const telling = greylist({
    by: "triplet",
    wait: "5m",
    tells: true,
    reply: { code: 451, status: "4.7.1", text: "Come back in {}" },
  });
  assert.equal(asks(telling, "one@x", 0), "451 4.7.1 Come back in 300 seconds");
  assert.equal(asks(telling, "one@x", 4), "451 4.7.1 Come back in 60 seconds");
});
