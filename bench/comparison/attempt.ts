import type { ContenderName } from "./contender.ts";
import type { Figures } from "./figures.ts";
import type { Plan } from "./plan.ts";

/** Whether the work was done: whose work fails is told by name in the part's notes, and the others go on. */
export async function attempt(
  { part, name, what }: { part: string; name: ContenderName; what: string },
  plan: Plan,
  figures: Figures,
  work: () => Promise<void>,
): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    const [why = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    figures.note(part, `${name} failed (${what}): ${why}`);
    plan.progress(`${part} ${name} failed (${what}): ${String(error)}`);
    return false;
  }
}
