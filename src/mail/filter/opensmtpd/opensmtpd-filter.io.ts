import { filterSaid } from "../events.ts";
import type { Filter, FilterHealth, FilterStage } from "../filter.ts";
import type { FilterWorld } from "../filter-world.ts";
import { ProgramDialogue } from "./program-dialogue.io.ts";
import { FilterProgram, type Wishes } from "./program.io.ts";
import type { ProcessFilterSettings } from "./settings.ts";

/**
 * A program that speaks OpenSMTPD's filter protocol, as filter. One program serves all sessions of this process; it is
 * started when the first session asks for it. What it registers decides what it is asked; phases that have no stage here
 * (starttls, rset, quit, noop, help, wiz) are never asked, and `auth` is asked when a login has succeeded, with the
 * mechanism alone.
 */
export function opensmtpdFilter(name: string, settings: ProcessFilterSettings, world: FilterWorld): Filter {
  const { clock, random, trace, hostname } = world;
  const program = new FilterProgram(settings, {
    clock,
    random,
    trace,
    hostname,
    tell: (text) => world.emit(filterSaid, { filter: name, text }),
  });
  return {
    name,
    get stages() {
      return stagesOf(program.wishes);
    },
    get wantsNotes() {
      return program.wishes === undefined || program.wishes.reports.size > 0 || program.wishes.phases.size > 0;
    },
    open: (facts) => new ProgramDialogue(name, settings.protocol, program, { clock, random, facts }),
    health: (): FilterHealth => {
      const { isUp, text } = program.state;
      return { state: isUp ? "up" : program.wishes === undefined ? "untried" : "down", text, asked: 0, failures: 0 };
    },
    close: () => program.close(),
  };
}

/** Until the program has said what it wants, everything might be. */
function stagesOf(wishes: Wishes | undefined): ReadonlySet<FilterStage> {
  if (wishes === undefined) return ALL;
  const stages = new Set<FilterStage>();
  for (const phase of wishes.phases) {
    const stage = STAGES[phase];
    if (stage === undefined) continue;
    stages.add(stage);
    // What it calls junk on the way is marked when the mail is there.
    stages.add("message");
  }
  return stages;
}

const ALL: ReadonlySet<FilterStage> = new Set(["connect", "helo", "auth", "mail", "rcpt", "data", "message"]);

const STAGES: Readonly<Record<string, FilterStage>> = {
  connect: "connect",
  helo: "helo",
  ehlo: "helo",
  auth: "auth",
  "mail-from": "mail",
  "rcpt-to": "rcpt",
  data: "data",
  "data-line": "message",
  commit: "message",
};
