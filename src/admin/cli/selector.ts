import { numberOfMessageId, partsOfEnvelopeId } from "../../foundation/ids.ts";
import { parseDuration } from "../../foundation/units.ts";
import type { Selector } from "../../mail/scheduler/admin/admin.ts";
import { foldDomain, foldWritten } from "../../service/table/pattern.ts";
import { usage, type CliCommand, type CliOption, type Given } from "./command.ts";

/** How commands that change the queue are told which envelopes they mean. */
export const selectorOptions = {
  sender: { says: "Envelopes of this sender; `<>` for the null sender.", value: "ADDRESS" },
  domain: { says: "Envelopes to this recipient domain.", value: "DOMAIN" },
  route: { says: "Envelopes that go to this next host (as `posthorn routes` shows it).", value: "HOST" },
  all: { says: "Every envelope." },
} as const satisfies Readonly<Record<string, CliOption>>;

/** Exactly one way of selecting; throws `USAGE` otherwise. A command never means everything by accident. */
export function selectorsOf(command: CliCommand, given: Given): readonly Selector[] {
  const selectors: Selector[] = given.operands.map((id) => selectorOfId(command, id));
  const sender = given.text("sender");
  const domain = given.text("domain");
  const route = given.text("route");
  if (sender !== undefined) selectors.push({ by: "sender", sender: senderNamed(sender) });
  if (domain !== undefined) selectors.push({ by: "domain", domain: foldDomain(domain) });
  if (route !== undefined) selectors.push({ by: "route", route });
  if (given.has("all")) selectors.push({ by: "all" });
  if (selectors.length === 0)
    throw usage(command, "say which: MESSAGE, ENVELOPE, --sender, --domain, --route or --all");
  if (selectors.length > 1 && given.operands.length < selectors.length)
    throw usage(command, "say which in one way only: ids, --sender, --domain, --route or --all");
  return selectors;
}

function selectorOfId(command: CliCommand, id: string): Selector {
  const upper = id.toUpperCase();
  if (partsOfEnvelopeId(upper) !== undefined) return { by: "envelope", id: upper };
  if (numberOfMessageId(upper) !== undefined) return { by: "message", id: upper };
  throw usage(
    command,
    `${JSON.stringify(id)} is neither a message id (eleven characters) nor an envelope id (MESSAGE.n)`,
  );
}

/** An address as people type it; `""` is the null sender. */
export function senderNamed(text: string): string {
  return text === "<>" ? "" : foldWritten(text);
}

/** A message's or an envelope's id as people type it. */
export function idOf(command: CliCommand, id: string): string {
  const selector = selectorOfId(command, id);
  return selector.by === "envelope" || selector.by === "message" ? selector.id : id;
}

/** A hundred years: what is added to now stays an instant that can be shown. */
const LONGEST_MS = 36_500 * 86_400_000;

export function durationOf(command: CliCommand, given: Given, option: string): number | undefined {
  const text = given.text(option);
  if (text === undefined) return undefined;
  const parsed = parseDuration(text);
  if (!parsed.ok) throw usage(command, `--${option}: expected ${parsed.problem.expected}, got ${JSON.stringify(text)}`);
  if (parsed.value > LONGEST_MS)
    throw usage(command, `--${option}: expected 36500d at most, got ${JSON.stringify(text)}`);
  // `1.1h` is no whole number of milliseconds, for a computer.
  return Math.round(parsed.value);
}

export function countOf(command: CliCommand, given: Given, option: string): number | undefined {
  const text = given.text(option);
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,8}$/.test(text)) throw usage(command, `--${option}: expected a number, got ${JSON.stringify(text)}`);
  return Number(text);
}

export function wordOf<Word extends string>(
  command: CliCommand,
  given: Given,
  option: string,
  words: readonly Word[],
): Word | undefined {
  const text = given.text(option);
  if (text === undefined) return undefined;
  const word = words.find((known) => known === text);
  if (word === undefined)
    throw usage(command, `--${option}: expected ${words.join(", ")}, got ${JSON.stringify(text)}`);
  return word;
}
