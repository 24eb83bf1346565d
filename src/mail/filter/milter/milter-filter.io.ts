import type { Filter, FilterStage } from "../filter.ts";
import type { FilterWorld } from "../filter-world.ts";
import { openMilterLink } from "./link.io.ts";
import { macroSource } from "./macros.ts";
import { MilterDialogue, type MilterDialogueWorld } from "./milter-dialogue.ts";
import type { MilterSettings } from "./settings.ts";

/** All that the protocol knows; which of them cost something, the milter says when it is connected to. */
const STAGES: ReadonlySet<FilterStage> = new Set(["connect", "helo", "mail", "rcpt", "data", "message"]);

/** A milter as a filter: each session has a connection of its own, as libmilter wants it. */
export function milterFilter(name: string, settings: MilterSettings, world: FilterWorld): Filter {
  const { address, commandTimeout, contentTimeout, quarantine } = settings;
  let version: number | undefined;
  const dialogueWorld: MilterDialogueWorld = {
    where: `${name} at ${address.text}`,
    async open(signal) {
      const link = await openMilterLink(name, settings, world, signal);
      version = link.agreement.version;
      return link;
    },
    macros: macroSource(settings, world.version),
    limits: { commandMs: commandTimeout, contentMs: contentTimeout },
    quarantine,
  };
  return {
    name,
    stages: STAGES,
    wantsNotes: true,
    open: (facts) => new MilterDialogue(facts, dialogueWorld),
    health: () => ({
      state: version === undefined ? "untried" : "up",
      text: version === undefined ? address.text : `${address.text}, protocol ${version}`,
      asked: 0,
      failures: 0,
    }),
    close: async () => {},
  };
}
