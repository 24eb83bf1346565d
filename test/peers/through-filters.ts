import { filtersSettings } from "../../src/mail/filter/settings.ts";
import { Filters, Trouble } from "../../src/mail/filter/filters.ts";
import { makeFilter } from "../../src/mail/filter/make-filter.io.ts";
import { wholeOf } from "../../src/mail/filter/kept-content.ts";
import type { FilterFacts, FilterQuestion, FilterRecipient, MailFacts } from "../../src/mail/filter/filter.ts";
import { replyText, type Reply } from "../../src/protocol/smtp/reply.ts";
import { testFacts, testFilterWorld, testMail } from "../../src/testing/filter-mail.ts";

export interface Passage {
  /** `keep`, `discard`, `quarantine`, or `refuse`. */
  readonly fate: string;
  /** At which stage, where it was refused. */
  readonly stage?: string;
  readonly reply?: string;
  /** As it is after all filters. */
  readonly text: string;
  readonly sender?: string | undefined;
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** `name verdict`, and what it said of that. */
  readonly told: readonly string[];
}

export interface SessionThroughFilters extends AsyncDisposable {
  /** Sends one more mail in this session. */
  mail(text: string, given?: { readonly from?: string; readonly to?: readonly string[] }): Promise<Passage>;
}

/** Filters by their settings, in their order, and a session that they see from its beginning. */
export async function throughFilters(
  written: Parameters<typeof filtersSettings.parse>[0],
  facts: Partial<FilterFacts> = {},
): Promise<SessionThroughFilters> {
  const world = testFilterWorld();
  const made = Object.entries(filtersSettings.parse(written)).map(async ([name, settings]) => ({
    filter: await makeFilter(name, settings, world),
    settings,
    trouble: new Trouble(name, world.clock, world.emit),
  }));
  const all = await Promise.all(made);
  const filters = new Filters(
    all,
    { common: all.map(({ filter }) => filter.name), listeners: new Map() },
    { clock: world.clock, tables: new Map() },
  );
  const { mail: _, ...session } = testFacts(facts);
  const chain = filters.open("smtp", () => session);
  if (chain === undefined) throw new Error("no filters");
  const who = { listener: "smtp", isEncrypted: false, sender: "" };
  let hasBegun = false;

  return {
    async mail(text, { from = "alice@example.net", to = ["bob@example.org"] } = {}) {
      const told: string[] = [];
      const passage = (fate: string, stage: string, reply: Reply): Passage => {
        const said = replyText(reply);
        return { fate, stage, reply: said, text: "", added: [], removed: [], told };
      };
      const recipients: FilterRecipient[] = [];
      const mail = (): MailFacts => testFacts({}, { sender: from, recipients: [...recipients] }).mail;
      const greeting = { stage: "helo", verb: "EHLO", name: session.helo ?? "client.example.net" } as const;
      const questions: readonly (() => FilterQuestion)[] = [
        ...(hasBegun
          ? []
          : [() => ({ stage: "connect", facts: session }) as const, () => ({ ...greeting, facts: session }) as const]),
        () => ({ stage: "mail", facts: { ...session, mail: mail() } }),
        ...to.map((address) => () => {
          const question = {
            stage: "rcpt",
            facts: { ...session, mail: mail() },
            recipient: { address, parameters: [] },
          } as const;
          recipients.push(question.recipient);
          return question;
        }),
        () => ({ stage: "data", facts: { ...session, mail: mail() } }),
      ];
      hasBegun = true;
      chain.begin();
      for (const question of questions) {
        const asked = question();
        const outcome = await chain.ask(asked, who);
        told.push(...outcome.told.map(inWords));
        if (outcome.kind !== "proceed") return passage(outcome.kind, asked.stage, outcome.reply);
      }
      const sifted = await chain.judge(testMail(text, { facts: session, mail: mail() }), who);
      told.push(...sifted.told.map(inWords));
      chain.note({ notice: "commit", message: "3f8Q0000000000001", sizeBytes: 1 });
      if ("reply" in sifted.fate) return passage(sifted.fate.kind, "message", sifted.fate.reply);
      const body = await wholeOf(sifted.body.read());
      return {
        fate: sifted.fate.kind,
        text: Buffer.concat([sifted.header, Buffer.from("\r\n"), body]).toString("latin1"),
        sender: sifted.sender,
        added: sifted.added,
        removed: sifted.removed,
        told,
      };
    },
    async [Symbol.asyncDispose]() {
      chain.end();
      await filters.close();
    },
  };
}

function inWords({
  filter,
  verdict,
  because,
}: {
  filter: string;
  verdict: string;
  because?: string | undefined;
}): string {
  return `${filter} ${verdict}${because === undefined ? "" : ` (${because})`}`;
}
