import type { DialogueAtOnce, Filter, FilterDialogue, FilterMail, MailEdit, MailVerdict } from "../filter.ts";
import type { FilterWorld } from "../filter-world.ts";
import { bodyPieces } from "./body-pieces.ts";
import { hookStrayed } from "./events.ts";
import { stagesOf, type Hooks } from "./hooks.ts";
import { loadHooks } from "./load-module.io.ts";
import type { HookMailVerdict } from "./read-answer.ts";
import { askHook, judgeByHook, placed } from "./run-hooks.ts";
import type { ModuleSettings } from "./settings.ts";
import { strayCatcher } from "./stray-failures.io.ts";

/** A filter of the operator's own code: in this process, or in a thread. Throws a `PosthornError` where it cannot be used. */
export async function moduleFilter(name: string, settings: ModuleSettings, world: FilterWorld): Promise<Filter> {
  if (settings.worker) return (await import("./thread-filter.io.ts")).threadFilter(name, settings, world);
  // What runs when the module is loaded may slip as well, then or later.
  const hooks = await strayCatcherOf(name, world)(() => loadHooks(settings, world.clock));
  return hooksFilter(name, hooks, settings.file, world);
}

/** Hooks that are there already, in this process. */
export function hooksFilter(
  name: string,
  hooks: Hooks,
  where: string,
  world: Pick<FilterWorld, "clock" | "emit">,
): Filter {
  const { clock } = world;
  const inUse = { hooks, where };
  const withStrays = strayCatcherOf(name, world);
  return {
    name,
    stages: stagesOf(hooks),
    open(): FilterDialogue {
      const state = {};
      const atOnce: DialogueAtOnce = {
        ask: (question, signal) => withStrays(() => askHook(inUse, question, { state, now: clock.now(), signal })),
        judge: (mail, signal) =>
          withStrays(() => {
            const said = judgeByHook(inUse, mail, { state, now: clock.now(), signal });
            return said instanceof Promise
              ? said.then((told) => withBody(told, mail, bodyPieces))
              : withBody(said, mail, bodyPieces);
          }),
      };
      return {
        atOnce,
        ask: async (question, signal) => await atOnce.ask(question, signal),
        judge: async (mail, signal) => await atOnce.judge(mail, signal),
        end() {},
      };
    },
    health: () => ({ state: "untried", text: where, asked: 0, failures: 0 }),
    close: () => Promise.resolve(),
  };
}

function strayCatcherOf(name: string, { emit }: Pick<FilterWorld, "emit">): ReturnType<typeof strayCatcher> {
  return strayCatcher((thrown) => emit(hookStrayed, { filter: name, reason: placed(thrown) }));
}

type NewBody = Extract<HookMailVerdict["edits"][number], { edit: "new-body" }>["body"];

/** Puts a body that the hooks give into a room of the mail's. */
function withBody(
  said: HookMailVerdict,
  mail: Pick<FilterMail, "room">,
  read: (body: NewBody) => AsyncIterable<Buffer>,
): MailVerdict | Promise<MailVerdict> {
  const { edits } = said;
  return isWithoutBody(edits) ? { ...said, edits } : keptBody(said, mail, read);
}

function isWithoutBody(
  edits: HookMailVerdict["edits"],
): edits is readonly Exclude<HookMailVerdict["edits"][number], { edit: "new-body" }>[] {
  return edits.every(({ edit }) => edit !== "new-body");
}

async function keptBody(
  said: HookMailVerdict,
  mail: Pick<FilterMail, "room">,
  read: (body: NewBody) => AsyncIterable<Buffer>,
): Promise<MailVerdict> {
  const edits: MailEdit[] = [];
  for (const edit of said.edits) {
    if (edit.edit !== "new-body") {
      edits.push(edit);
      continue;
    }
    const room = mail.room();
    try {
      for await (const piece of read(edit.body)) await room.write(piece);
      edits.push({ edit: "replace-body", body: await room.finish() });
    } catch (thrown) {
      room.abort();
      throw thrown;
    }
  }
  return { ...said, edits };
}
