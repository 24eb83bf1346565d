import type { Emit } from "../../../foundation/events.ts";
import type { Tables } from "../../../service/table/tables.ts";
import { NULL_SENDER } from "../../../service/table/pattern.ts";
import type { Holds } from "../../envelope/local-names.ts";
import { filterSaid } from "../events.ts";
import { filterFailed } from "../failed.ts";
import type {
  Filter,
  FilterDialogue,
  FilterFacts,
  FilterNotice,
  FilterQuestion,
  FilterStage,
  MailVerdict,
  StageVerdict,
} from "../filter.ts";
import { JunkMark } from "../opensmtpd/junk-mark.ts";
import { mailFate, stageVerdict } from "../opensmtpd/stage-verdict.ts";
import { conditionsHold } from "./condition.ts";
import type { BuiltinFilterSettings, BuiltinMatch, BuiltinPhase } from "./settings.ts";

/** A filter of a few words, as OpenSMTPD's `filter NAME phase PHASE match CONDITIONS ACTION`: no program is asked. */
export function builtinFilter(
  name: string,
  settings: BuiltinFilterSettings,
  world: { readonly tables: Tables; readonly emit: Emit },
): Filter {
  const phases = new Set(settings.phase);
  const { action, match } = settings;
  const stages = new Set<FilterStage>(settings.phase.map((phase) => STAGES[phase]));
  if (action.kind === "junk") stages.add("message");
  let asked = 0;
  const applies: Applies = async (phase, facts, recipient) => {
    if (!phases.has(phase)) return false;
    asked++;
    const holds = await matchHolds(match, { facts, recipient }, world.tables);
    if (typeof holds !== "boolean") throw filterFailed(holds.failed, "see the table");
    if (holds && action.kind === "report") world.emit(filterSaid, { filter: name, text: action.parameter });
    return holds;
  };
  return {
    name,
    stages,
    wantsNotes: action.kind === "junk",
    open: () => new BuiltinDialogue(action, applies),
    health: () => ({ state: "up", text: `at ${settings.phase.join(", ")}: ${action.kind}`, asked, failures: 0 }),
    close: () => Promise.resolve(),
  };
}

const STAGES: Readonly<Record<BuiltinPhase, FilterStage>> = {
  connect: "connect",
  helo: "helo",
  ehlo: "helo",
  "mail-from": "mail",
  "rcpt-to": "rcpt",
  data: "data",
  commit: "message",
};

type Applies = (phase: BuiltinPhase, facts: FilterFacts, recipient?: string) => Promise<boolean>;

class BuiltinDialogue implements FilterDialogue {
  readonly #action: BuiltinFilterSettings["action"];
  readonly #applies: Applies;
  readonly #junk = new JunkMark();

  constructor(action: BuiltinFilterSettings["action"], applies: Applies) {
    this.#action = action;
    this.#applies = applies;
  }

  async ask(question: FilterQuestion): Promise<StageVerdict> {
    const { stage, facts } = question;
    const phase = phaseOf(question);
    const seen = question.stage === "helo" ? { ...facts, helo: question.name } : facts;
    const recipient = question.stage === "rcpt" ? question.recipient.address : undefined;
    if (phase === undefined || !(await this.#applies(phase, seen, recipient))) return { kind: "proceed" };
    if (this.#action.kind === "bypass") return { kind: "bypass" };
    if (this.#action.kind === "junk") this.#junk.set(stage);
    return stageVerdict(this.#action, stage);
  }

  async judge({ facts }: Parameters<FilterDialogue["judge"]>[0]): Promise<MailVerdict> {
    const isAsked = await this.#applies("commit", facts);
    if (isAsked && this.#action.kind === "junk") this.#junk.set("message");
    const fate = isAsked && this.#action.kind !== "bypass" ? mailFate(this.#action) : { kind: "keep" as const };
    return { fate, ...this.#junk.take() };
  }

  note({ notice }: FilterNotice): void {
    if (notice === "rollback" || notice === "reset") this.#junk.forgetMail();
  }

  end(): void {}
}

function phaseOf(question: FilterQuestion): BuiltinPhase | undefined {
  switch (question.stage) {
    case "connect":
    case "data":
      return question.stage;
    case "helo":
      return question.verb === "HELO" ? "helo" : "ehlo";
    case "mail":
      return "mail-from";
    case "rcpt":
      return "rcpt-to";
    case "auth":
      return undefined;
  }
}

interface Seen {
  readonly facts: FilterFacts;
  readonly recipient: string | undefined;
}

/** Whether all that is asked for is so, and nothing that must not be. */
async function matchHolds({ not, ...wanted }: BuiltinMatch, seen: Seen, tables: Tables): Promise<Holds> {
  for (const name of NAMES) {
    if (wanted[name] === undefined) continue;
    const holds = await partHolds(wanted, name, seen, tables);
    if (holds !== true) return holds;
  }
  for (const name of NAMES) {
    if (not?.[name] === undefined) continue;
    const holds = await partHolds(not, name, seen, tables);
    if (holds !== false) return holds === true ? false : holds;
  }
  return true;
}

/** What costs nothing comes first. */
const NAMES = ["fcrdns", "src", "rdns", "auth", "helo", "mailFrom", "rcptTo"] as const;
type Parts = Omit<BuiltinMatch, "not">;

function partHolds(parts: Parts, name: (typeof NAMES)[number], seen: Seen, tables: Tables): Promise<Holds> {
  if (name === "fcrdns") return Promise.resolve((seen.facts.client.name !== undefined) === parts.fcrdns);
  return conditionsHold(parts[name] ?? [], subjectOf(name, seen), tables);
}

function subjectOf(name: Exclude<(typeof NAMES)[number], "fcrdns">, { facts, recipient }: Seen): string | undefined {
  switch (name) {
    case "rdns":
      return facts.client.name;
    case "src":
      return facts.client.address;
    case "helo":
      return facts.helo;
    case "auth":
      return facts.account;
    case "mailFrom":
      return facts.mail?.sender === "" ? NULL_SENDER : facts.mail?.sender;
    case "rcptTo":
      return recipient;
  }
}
