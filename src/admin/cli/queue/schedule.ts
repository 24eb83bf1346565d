import { numberOfMessageId, partsOfEnvelopeId } from "../../../foundation/ids.ts";
import type { Selector } from "../../../mail/scheduler/admin/admin.ts";
import { usage, withServer, type CliCommand, type Given } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { foldDomain } from "../../../service/table/pattern.ts";
import { parseInstant } from "../instant.ts";
import { suspendedText } from "./queue-change.ts";
import { durationOf, selectorOptions, selectorsOf } from "../selector.ts";
import { counted, instantText, roughDuration } from "../text.ts";
import type { World } from "../world.ts";

const { domain: _, ...otherSelectors } = selectorOptions;

export const schedule: CliCommand = {
  name: "schedule",
  operands: "[MESSAGE|ENVELOPE|DOMAIN]...",
  leastOperands: 0,
  mostOperands: 1000,
  says: "Makes envelopes due: now, as `posthorn queue retry` does, or at an instant.",
  explains:
    "Now: the rests of the routes they take end as well. At an instant: durable, nothing is tried before, and what expires earlier is tried once at its end. Held and dead ones stay as they are, and so do what is being tried just now and, unless it is named, what its sender wants sent later than that (FUTURERELEASE). Exits with 1 when nothing matches.",
  options: {
    ...otherSelectors,
    at: { says: "When: 23:30, 2026-11-22 06:00 (local time), or 2026-11-22T06:00Z.", value: "TIME" },
    in: { says: "After this time (30m, 4h).", value: "DURATION" },
  },
  async run(given, world) {
    const at = instantOf(given, world);
    const selectors = selected(given);
    const { envelopes, asked, suspended } = await withServer(given, world, "change", async (server) => {
      const sum = { envelopes: 0, asked: 0, suspended: 0 };
      for (const selector of selectors) {
        const changed =
          at === undefined
            ? await server.call("queue.retry", { selector })
            : await server.call("queue.schedule", { selector, at });
        sum.envelopes += changed.envelopes;
        sum.asked += changed.asked ?? 0;
        sum.suspended += changed.suspended ?? 0;
      }
      return sum;
    });
    const when =
      at === undefined ? "now" : `at ${instantText(at, world.offsetMinutes)} (in ${roughDuration(at - world.now())})`;
    if (envelopes > 0 || asked + suspended === 0) world.stdout.write(`${counted(envelopes, "envelope")} due ${when}\n`);
    if (asked > 0)
      world.stdout.write(
        `${counted(asked, "envelope")} being written now: due ${when} when that has ended, unless it has left the queue by then\n`,
      );
    if (suspended > 0) world.stdout.write(`${suspendedText(suspended)}\n`);
    return envelopes + asked > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

/** What is no id is a recipient domain. */
function selected(given: Given): readonly Selector[] {
  const isId = (word: string): boolean =>
    partsOfEnvelopeId(word.toUpperCase()) !== undefined || numberOfMessageId(word.toUpperCase()) !== undefined;
  const domains = given.operands
    .filter((word) => !isId(word))
    .map((word): Selector => {
      if (/[@\s]/.test(word)) throw usage(schedule, `${JSON.stringify(word)} is neither an id nor a domain`);
      return { by: "domain", domain: foldDomain(word) };
    });
  const ids = given.operands.filter(isId);
  const isMore = Object.keys(otherSelectors).some((option) => given.has(option));
  if (domains.length > 0 && isMore)
    throw usage(schedule, "say which in one way only: ids and domains, --sender, --route or --all");
  if (domains.length > 0 && ids.length === 0) return domains;
  return [...domains, ...selectorsOf(schedule, { ...given, operands: ids })];
}

function instantOf(given: Given, world: World): number | undefined {
  const text = given.text("at");
  const inMs = durationOf(schedule, given, "in");
  if (text !== undefined && inMs !== undefined) throw usage(schedule, "--at and --in do not go together");
  if (inMs !== undefined) return world.now() + inMs;
  if (text === undefined) return undefined;
  const parsed = parseInstant(text, world.now(), world.offsetMinutes);
  if (!parsed.ok) throw usage(schedule, `--at: expected ${parsed.problem.expected}, got ${JSON.stringify(text)}`);
  if (parsed.value <= world.now()) throw usage(schedule, `--at: ${text} is over`);
  return parsed.value;
}
