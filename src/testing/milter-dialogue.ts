import assert from "node:assert/strict";
import { setTimeout as wait } from "node:timers/promises";
import type { FilterWorld } from "../mail/filter/filter-world.ts";
import type { FilterDialogue, FilterFacts, FilterQuestion, MailFacts, StageVerdict } from "../mail/filter/filter.ts";
import { milterFilter } from "../mail/filter/milter/milter-filter.io.ts";
import { milterSettings } from "../mail/filter/milter/settings.ts";
import { testFacts, testFilterWorld } from "./filter-mail.ts";
import type { MilterAct, ScriptedMilter } from "./scripted-milter.ts";

/** Sessions with a scripted milter, question by question. */
export const NEVER = new AbortController().signal;
export const TEXT = "From: alice@example.net\nSubject: hello\n\tworld\nX-Odd:tight\n\nfirst line\nsecond line\n";

type Given = Exclude<Parameters<typeof milterSettings.parse>[0], string>;

export function dialogueWith(
  milter: ScriptedMilter,
  settings: object = {},
  world: Partial<FilterWorld> = {},
): FilterDialogue {
  const given: Given = { address: milter.address, ...settings };
  return milterFilter("m", milterSettings.parse(given), testFilterWorld(world)).open(testFacts());
}

type WithoutFacts<Question> = Question extends unknown ? Omit<Question, "facts"> : never;

/** Asks with the facts that a session would have at that stage. */
export function ask(
  dialogue: FilterDialogue,
  question: WithoutFacts<FilterQuestion>,
  facts: Partial<FilterFacts> = {},
  mail: Partial<MailFacts> = {},
): Promise<StageVerdict> {
  const whole = testFacts(facts, { recipients: [], ...mail });
  const { mail: _, ...before } = whole;
  const isInMail = question.stage === "mail" || question.stage === "rcpt" || question.stage === "data";
  return dialogue.ask({ ...question, facts: isInMail ? whole : before }, NEVER);
}

export const BOB = { address: "bob@example.org", parameters: [] };

/** A session up to the content. */
export async function upToContent(dialogue: FilterDialogue): Promise<void> {
  await ask(dialogue, { stage: "connect" }, { greeting: "none", helo: undefined });
  await ask(
    dialogue,
    { stage: "helo", verb: "EHLO", name: "client.example.net" },
    { greeting: "none", helo: undefined },
  );
  await ask(dialogue, { stage: "mail" });
  await ask(dialogue, { stage: "rcpt", recipient: BOB });
  await ask(dialogue, { stage: "data" }, {}, { recipients: [BOB] });
}

export function at(
  code: string,
  ...act: Buffer[] | ["close" | "silence"]
): (command: { code: string }) => MilterAct | undefined {
  const whole = act[0] === "close" || act[0] === "silence" ? act[0] : (act as Buffer[]);
  return (command) => (command.code === code ? whole : undefined);
}

export function codesOf(milter: ScriptedMilter): string {
  return milter
    .commands()
    .map((line) => line.charAt(0))
    .join("");
}

export async function untilClosed(milter: ScriptedMilter): Promise<void> {
  for (let look = 0; milter.open() > 0; look++) {
    assert.ok(look < 6000, "the connection is closed");
    await wait(10);
  }
}

export async function dropAll(milter: ScriptedMilter): Promise<void> {
  milter.drop();
  await untilClosed(milter);
  // For our side to see it.
  await wait(50);
}
