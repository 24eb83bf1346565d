import { z } from "zod";
import type { Rate } from "../../foundation/units.ts";
import { count, hostName, ipAddress, rate } from "../../service/config/kinds.ts";

/** One of our addresses that connections come from. */
export interface Source {
  readonly address: string;
  /** Its share of the sessions, beside the others of its pool. */
  readonly weight: number;
  readonly helo?: string | undefined;
  readonly connections?: number | undefined;
  readonly rate?: Rate | undefined;
  readonly connectionRate?: Rate | undefined;
}

/** Which of our addresses: these, those of a pool, or `undefined` where nobody said. */
export type SourceChoice = { readonly pool: string } | readonly Source[];

const source = z.union([
  ipAddress().transform((address): Source => ({ address, weight: 1 })),
  z.strictObject({
    address: ipAddress().describe("The address."),
    weight: count({ min: 1, max: 1000 })
      .default(1)
      .describe("Its share of the sessions: one with 3 has three times as many as one with 1."),
    helo: hostName().optional().describe("The name given in EHLO from this address. Without it: the action's."),
    connections: count({ min: 1, max: 100_000 })
      .optional()
      .describe("Most connections from it. Without it: `route.limits.source`."),
    rate: rate().optional().describe("Most mails from it in a time: `2000/1h`."),
    connectionRate: rate().optional().describe("Most connections opened from it in a time: `5/s`."),
  }),
]) as z.ZodType<Source, string | object>; // both branches give a Source

export const sourceList: z.ZodType<readonly Source[], readonly (string | object)[]> = z.array(source).min(1);

/** `pool:name`, or the addresses themselves. */
export const sourceChoice: z.ZodType<SourceChoice, string | readonly (string | object)[]> = z.union([
  z.string().transform((text, context): SourceChoice => {
    const name = /^pool:(.+)$/.exec(text)?.[1];
    if (name !== undefined) return { pool: name };
    const only = ipAddress().safeParse(text);
    if (only.success) return [{ address: only.data, weight: 1 }];
    context.addIssue({ code: "custom", message: "expected an address, a list of them, or pool: and a pool's name" });
    return z.NEVER;
  }),
  sourceList,
]);
