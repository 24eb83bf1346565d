import { z } from "zod";
import { rate, tableName } from "../config/kinds.ts";

/** How much each account may send. */
export const sendingLimitSettings = z
  .strictObject({
    messages: rate().optional().describe("Most messages of an account in a time: `300/h`. Left out: any number."),
    recipients: rate().optional().describe("Most recipients of an account in a time: `1000/d`. Left out: any number."),
    table: tableName()
      .optional()
      .describe(
        "Accounts with limits of their own, in place of these: `messages=1000/h recipients=5000/d`, or `none`; what an entry does not name has no limit.",
      ),
  })
  .describe("How much each account may send, over all its sessions.");
export type SendingLimitSettings = z.output<typeof sendingLimitSettings>;
