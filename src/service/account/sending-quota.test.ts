import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../../simulator/clock.ts";
import { inlineTable } from "../table/tables.ts";
import { SendingLimits } from "./sending-limits.ts";
import { sendingQuota, type SendingQuota } from "./sending-quota.ts";

const HOUR = 3_600_000;

function quotaOf(entries: Record<string, string>): SendingQuota {
  const table = inlineTable("limits", { kind: "map", entries });
  return sendingQuota({ table: "limits" }, new SendingLimits(virtualClock(HOUR * 500)), table);
}

async function isAllowed(quota: SendingQuota, account: string): Promise<boolean | "failed"> {
  return (await quota.spend(account, "messages")).ok;
}

test("another writing of an account has the account's own limits, and is counted with it", async () => {
  const quota = quotaOf({ "alice@example.org": "messages=2/h", "@example.org": "messages=1000/h" });
  assert.equal(await isAllowed(quota, "alice@example.org"), true);
  assert.equal(await isAllowed(quota, "\u00e1lice@example.org"), true);
  for (const name of ["\u00e1lice@example.org", "ali\u00adce@example.org", "alice@example.org"])
    assert.equal(await isAllowed(quota, name), false, name);
  assert.equal(await isAllowed(quota, "bob@example.org"), true);
});

test("an entry of the account as it is written counts first, and all that a pattern takes in count last", async () => {
  const own = quotaOf({ muller: "messages=1/h", "m\u00fcller": "none" });
  for (let n = 0; n < 3; n++) assert.equal(await isAllowed(own, "m\u00fcller"), true);
  assert.equal(await isAllowed(own, "muller"), true);
  assert.equal(await isAllowed(own, "muller"), false);
  const all = quotaOf({ "@b\u00fccher.example": "messages=1/h", "*": "none" });
  assert.equal(await isAllowed(all, "ann@b\u00fccher.example"), true);
  assert.equal(await isAllowed(all, "ann@b\u00fccher.example"), false);
});
