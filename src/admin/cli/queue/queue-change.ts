import { escapeControls } from "../../../foundation/escape.ts";
import type { Changed } from "../../../mail/scheduler/admin/admin.ts";
import type { ControlClient } from "../../control/control.ts";
import { withServer, type CliCommand, type CliOption, type Given } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { durationOf, selectorOptions, selectorsOf } from "../selector.ts";
import { counted } from "../text.ts";
import type { World } from "../world.ts";
import type { Selector } from "../../../mail/scheduler/admin/admin.ts";

type Change = (server: ControlClient, selector: Selector, given: Given, world: World) => Promise<Changed>;

/** The five commands that change envelopes differ in a word and a call. */
function changeCommand(
  verb: string,
  done: string,
  says: string,
  options: Readonly<Record<string, CliOption>>,
  change: Change,
): CliCommand {
  const command: CliCommand = {
    name: `queue ${verb}`,
    operands: "[MESSAGE|ENVELOPE]...",
    leastOperands: 0,
    mostOperands: 1000,
    says,
    explains: `${verb in UNLESS && verb !== "retry" ? "What is being tried just then is changed when that ends, unless it has left the queue by then; it says for how many. " : ""}Exits with 1 when nothing matches${verb === "bounce" ? " or something could not be returned" : ""}.`,
    options: { ...selectorOptions, ...options },
    async run(given, world) {
      const selectors = selectorsOf(command, given);
      const changed = await withServer(given, world, "change", async (server) => {
        const all: Changed[] = [];
        for (const selector of selectors) all.push(await change(server, selector, given, world));
        return sumOf(all);
      });
      world.stdout.write(textOf(changed, verb, done));
      return (changed.undone ?? 0) === 0 && changed.envelopes + (changed.asked ?? 0) > 0
        ? exitCodes.ok
        : exitCodes.nothing;
    },
  };
  return command;
}

/** What an attempt that runs may do instead. */
const UNLESS: Readonly<Record<string, string>> = {
  hold: "held unless that delivers or returns it",
  remove: "removed unless that delivers it",
  bounce: "returned unless that delivers it",
  release: "not held after that",
  retry: "due when that has ended, unless it has left the queue by then",
};

function sumOf(all: readonly Changed[]): Changed {
  const sum = (name: Exclude<keyof Changed, "because">): number => all.reduce((so, one) => so + (one[name] ?? 0), 0);
  const because = all.find((one) => one.because !== undefined)?.because;
  return {
    envelopes: sum("envelopes"),
    asked: sum("asked"),
    toPostmaster: sum("toPostmaster"),
    untold: sum("untold"),
    undone: sum("undone"),
    suspended: sum("suspended"),
    because,
  };
}

function textOf(changed: Changed, verb: string, done: string): string {
  const { asked = 0, toPostmaster = 0, untold = 0, undone = 0, suspended = 0, because = "" } = changed;
  const envelopes = changed.envelopes - toPostmaster - untold;
  const lines: string[] = [];
  if (envelopes > 0 || asked + toPostmaster + untold + undone + suspended === 0) {
    const aside =
      envelopes === 0 && verb !== "remove" && verb !== "bounce"
        ? "; for mail in quarantine there is `posthorn quarantine`"
        : "";
    lines.push(`${counted(envelopes, "envelope")} ${done}${aside}`);
  }
  if (toPostmaster > 0)
    lines.push(`${counted(toPostmaster, "envelope")} reported to postmaster: no sender can be told`);
  if (untold > 0) lines.push(`${counted(untold, "envelope")} removed, and nobody told: their senders wanted no bounce`);
  if (asked > 0)
    lines.push(
      `${counted(asked, "envelope")} being ${verb === "retry" ? "written" : "tried"} now: ${UNLESS[verb] ?? done}; forgotten if the server ends first`,
    );
  if (undone > 0) lines.push(`${counted(undone, "envelope")} not ${done}: ${escapeControls(because)}`);
  if (suspended > 0) lines.push(suspendedText(suspended));
  return `${lines.join("\n")}\n`;
}

export function suspendedText(envelopes: number): string {
  return `${counted(envelopes, "envelope")} suspended, and left so: \`posthorn holds\` says by what, \`posthorn unsuspend\` lifts it`;
}

const because = { says: "The reason, for the log and for who looks later.", value: "TEXT" };
const reasonOf = (given: Given, world: World): string => given.text("because") ?? `by ${world.caller.name}`;

export const queueHold = changeCommand(
  "hold",
  "held",
  "Holds envelopes: not tried, warned about or expired until they are released.",
  { because, for: { says: "Released by itself after this time (4h, 2d).", value: "DURATION" } },
  (server, selector, given, world) => {
    const forMs = durationOf(queueHold, given, "for");
    const untilAt = forMs === undefined ? undefined : world.now() + forMs;
    return server.call("queue.hold", { selector, because: reasonOf(given, world), untilAt });
  },
);

export const queueRelease = changeCommand("release", "released", "Releases held envelopes.", {}, (server, selector) =>
  server.call("queue.release", { selector }),
);

export const queueRetry = changeCommand(
  "retry",
  "due now",
  "Makes envelopes due now, and ends the rests of the routes they take. `posthorn schedule` knows other instants.",
  {},
  (server, selector) => server.call("queue.retry", { selector }),
);

export const queueRemove = changeCommand(
  "remove",
  "removed",
  "Takes envelopes out of the queue. Their senders are not told.",
  { because },
  (server, selector, given, world) => server.call("queue.remove", { selector, because: reasonOf(given, world) }),
);

export const queueBounce = changeCommand(
  "bounce",
  "returned to their senders",
  "Returns envelopes to their senders, with a bounce.",
  { because },
  (server, selector, given, world) => server.call("queue.bounce", { selector, because: reasonOf(given, world) }),
);
