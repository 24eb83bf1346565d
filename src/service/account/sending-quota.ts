import { accountKey } from "./account-key.ts";
import { firstExact } from "../table/first-exact.ts";
import type { Table, TableAnswer } from "../table/table.ts";
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
    const answer = await entryOf(account, table);
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

/** Counted as one with its plain writing, an account has the limits of that, unless it has an entry as it is written. */
async function entryOf(account: string, table: Table): Promise<TableAnswer> {
  const ask = { service: "string" } as const;
  const plain = accountKey(account);
  if (plain !== account) {
    const own = await firstExact(table, [account, plain], ask);
    if (own.kind !== "none") return own;
  }
  return table.lookup(account, ask);
}
