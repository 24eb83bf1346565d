import { isDeepStrictEqual } from "node:util";
import { resolve } from "node:path";
import type { Change, Comparison, CompareRequest, QueuedMail } from "../../admin/cli/settings/policy-world.ts";
import { systemClock } from "../../foundation/clock.io.ts";
import { PosthornError } from "../../foundation/error.ts";
import { problemLine } from "../../service/config/config.ts";
import { foldersOf } from "../folders.ts";
import { loadSettings, type LoadedSettings } from "../settings/load-settings.ts";
import { recordedRecipients, type RecordedRecipient } from "./recorded-recipients.ts";
import { caseSettings } from "./case.ts";
import { holdTrial } from "./trial.ts";
import { openTrialRoom, type TrialRoom } from "./trial-room.ts";

/**
 * Which of the recipients that the journal knows would be treated otherwise by other settings, and what waits in the queue for
 * an action that means something else now. Each is given again to both settings, up to RCPT, without network: what only the DNS,
 * a database or a filter elsewhere could say, says nothing on either side.
 */
export async function compareSettings(request: CompareRequest & { readonly cwd: string }): Promise<Comparison> {
  const { cwd } = request;
  const [before, after] = await Promise.all([load(resolve(cwd, request.old), cwd), load(request.settingsFile, cwd)]);
  const journal = request.journal ?? foldersOf(after.settings.state).journalFile;
  const { recipients, unclear } = recordedRecipients(resolve(cwd, journal), request.sinceAt, request.most);
  await using old = await openTrialRoom(before, { isLenient: true });
  await using fresh = await openTrialRoom(after, { isLenient: true });
  const changes = new Changes();
  for (const recorded of recipients) {
    const [was, is] = [await treatment(old, recorded), await treatment(fresh, recorded)];
    if (was.key !== is.key)
      changes.add("sessions", was.text, was.text === is.text ? `${is.text}, to others` : is.text, exampleOf(recorded));
  }
  for (const mail of request.queued ?? []) {
    const [was, is] = [actionOf(before, mail), actionOf(after, mail)];
    if (!isDeepStrictEqual(was, is))
      changes.add(
        "queue",
        actionText(mail, was, is),
        actionText(mail, is, was),
        `${mail.envelope} from=<${mail.sender}> to=<${mail.recipient}>`,
      );
  }
  return {
    sessions: recipients.length,
    unclear,
    queued: request.queued?.length ?? 0,
    hasQueue: request.queued !== undefined,
    changes: changes.inOrder(),
  };
}

async function load(file: string | undefined, directory: string): Promise<LoadedSettings> {
  const loaded = await loadSettings({ file, directory, clock: systemClock, isKeptElsewhere: () => true });
  if (loaded.ok) return loaded.value;
  throw new PosthornError("SETTINGS_INVALID", {
    message: loaded.problem.map(problemLine).join("\n"),
    advice: "only settings that a server would take can be compared",
  });
}

interface Treatment {
  /** Whatever matters of it. */
  readonly key: string;
  readonly text: string;
}

async function treatment(room: TrialRoom, recorded: RecordedRecipient): Promise<Treatment> {
  const { address, name, helo, account, isEncrypted, from, to } = recorded;
  // Without the listener's name in new settings there is no telling where the client would come in.
  if (!room.loaded.settings.listeners.some((listener) => listener.name === recorded.listener))
    return { key: "no listener", text: `there is no listener ${recorded.listener}` };
  const {
    expect: _,
    name: __,
    ...trial
  } = caseSettings.parse({
    listener: recorded.listener,
    client: address ?? "local",
    ...(name === undefined ? {} : { clientName: name }),
    ...(helo === undefined ? {} : { helo }),
    ...(account === undefined || account === "" ? {} : { auth: account }),
    tls: isEncrypted,
    from,
    to,
    at: new Date(recorded.at).toISOString(),
    expect: "accept",
  });
  const found = await holdTrial(room, trial, "rcpt");
  const { verdict, stage, text, restriction, rule } = found;
  if (verdict !== "accept") {
    const who = restriction ?? rule;
    const by = who === undefined ? "" : ` (${who})`;
    return { key: JSON.stringify([verdict, stage, text, restriction]), text: `${verdict} at ${stage}: ${text}${by}` };
  }
  const judged = room.record.judged.findLast(({ judgement }) => judgement.kind === "accept")?.judgement;
  const targets = judged?.kind === "accept" ? judged.targets : [];
  const actions = [...new Set(targets.map(({ action }) => action))].toSorted();
  const fates = targets.map((target) => [target.recipient, target.action, target.sender, target.target]);
  return { key: JSON.stringify(["accept", fates]), text: `accept by ${rule ?? "no rule"}: ${actions.join(", ")}` };
}

function exampleOf({ at, listener, address, name, account, from, to }: RecordedRecipient): string {
  const login = account === undefined ? "" : ` account=${account}`;
  return `${new Date(at).toISOString()} listener=${listener} client=${name ?? "unknown"}[${address ?? "local"}]${login} from=<${from}> to=<${to}>`;
}

function actionOf({ settings }: LoadedSettings, { action }: QueuedMail): unknown {
  return settings.actions[action];
}

/** The action, and of what it says only what the other one does not. */
function actionText({ action }: QueuedMail, one: unknown, other: unknown): string {
  if (typeof one !== "object" || one === null) return `there is no action ${action}`;
  const others: ReadonlyMap<string, unknown> = new Map(Object.entries(other ?? {}));
  const own = Object.entries(one).filter(
    ([name, value]) => name === "kind" || !isDeepStrictEqual(value, others.get(name)),
  );
  return `action ${action}: ${JSON.stringify(Object.fromEntries(own))}`;
}

const MOST_EXAMPLES = 5;

class Changes {
  readonly #all = new Map<
    string,
    { -readonly [Name in keyof Change]: Change[Name] extends readonly string[] ? string[] : Change[Name] }
  >();

  add(of: Change["of"], before: string, after: string, example: string): void {
    const key = JSON.stringify([of, before, after]);
    const change = this.#all.get(key) ?? { of, before, after, count: 0, examples: [] };
    this.#all.set(key, change);
    change.count++;
    if (change.examples.length < MOST_EXAMPLES) change.examples.push(example);
  }

  inOrder(): readonly Change[] {
    return [...this.#all.values()].toSorted((a, b) => b.count - a.count);
  }
}
