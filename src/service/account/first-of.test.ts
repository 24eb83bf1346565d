import assert from "node:assert/strict";
import { test } from "node:test";
import type { Authenticator, PasswordVerdict } from "./authenticator.ts";
import { firstOf } from "./first-of.ts";

function saying(verdict: PasswordVerdict): Authenticator {
  return { checkPassword: () => Promise.resolve(verdict) };
}

const right = saying({ kind: "right", account: "joe" });
const wrong = saying({ kind: "wrong" });
const failed = saying({ kind: "failed", text: "away" });

test("the first yes counts, whatever was said before", async () => {
  assert.equal((await firstOf([wrong, failed, right]).checkPassword("joe", "x")).kind, "right");
});

test("without a yes, nobody knows as long as one could not be asked", async () => {
  assert.deepEqual(await firstOf([failed, wrong]).checkPassword("joe", "x"), { kind: "failed", text: "away" });
  assert.equal((await firstOf([wrong, wrong]).checkPassword("joe", "x")).kind, "wrong");
});

test("what one of them can, all can together", async () => {
  const tokens: Authenticator = {
    ...wrong,
    checkToken: () => Promise.resolve({ kind: "right", account: "ann" }),
    mechanisms: ["OAUTHBEARER"],
  };
  const both = firstOf([right, tokens]);
  assert.deepEqual(both.mechanisms, ["PLAIN", "LOGIN", "OAUTHBEARER"]);
  assert.equal((await both.checkToken?.("ann", "t"))?.kind, "right");
  assert.equal("scramKeys" in both, false);
});
