import { accountKey } from "./account-key.ts";
import type { Table } from "../table/table.ts";
import type { SendingLimitSettings } from "./sending-settings.ts";
import { parseSendingLimit, type SendingLimit, type SendingLimits, type Sent, type Spent } from "./sending-limits.ts";

/** What an account may still send: by its entry in the table of limits, else by the limits of all. */
export interface SendingQuota {
  /** Never rejects. Counts one more message or recipient of the account, if it may be. */
  spend(account: string, what: Sent): Promise<Spent>;
}

export function sendingQuota(
  settings: SendingLimitSettings | undefined,
  limits: SendingLimits,
  table: Table | undefined,
): SendingQuota {
  const own = async (account: string): Promise<SendingLimit | { readonly failed: string } | undefined> => {
    if (settings?.table === undefined) return undefined;
    if (table === undefined) return { failed: `there is no table ${settings.table}` };
    let answer = await table.lookup(account, { service: "string" });
    const plain = accountKey(account);
    // Counted as one with the plain writing, it has the limits of that.
    if (answer.kind === "none" && plain !== account) answer = await table.lookup(plain, { service: "string" });
    if (answer.kind === "failed") return { failed: answer.text };
    if (answer.kind === "none") return undefined;
    const parsed = parseSendingLimit(answer.value);
    return parsed.ok ? parsed.value : { failed: `${answer.where}: expected ${parsed.problem.expected}` };
  };
  return {
    async spend(account, what) {
      const entry = await own(account);
      if (entry !== undefined && "failed" in entry) return { ok: "failed", text: entry.failed };
      // An entry stands for all of it: what it does not name has no limit.
      const rate = entry === undefined ? settings?.[what] : entry[what];
      return rate === undefined ? { ok: true } : limits.spend(account, what, rate);
    },
  };
}
