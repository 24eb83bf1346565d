import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../foundation/clock.io.ts";
import type { AnyEvent, Emit } from "../foundation/events.ts";
import { RunningCommands } from "../mail/delivery/command/running-commands.ts";
import type { LocalOutcome, LocalRequest } from "../mail/delivery/delivery.ts";
import type { EnvelopeTarget } from "../mail/envelope/envelope.ts";
import { startDelivery } from "../process/role/delivery-role.ts";
import { foldersOf, makeFolders } from "../process/folders.ts";
import { loadSettings } from "../process/settings/load-settings.ts";
import type { LookupPort } from "../process/role/lookup.ts";
import { mailFor } from "./local-mail.ts";

/** Users that no system has: what they are called, by uid (and gid). */
export const ALICE = 60_001;
export const BOB = 60_002;

/** Why tests with other users' rights can't run here; false: they can. */
export const skipUnlessRoot = process.getuid?.() === 0 ? false : "takes root: it delivers with other users' rights";

export interface UsersMachine extends AsyncDisposable {
  readonly directory: string;
  /** What the log was told. */
  readonly told: string[];
  homeOf(user: "alice" | "bob"): string;
  deliver(mail: LocalRequest): Promise<LocalOutcome>;
}

/**
 * A delivery role started by root, with alice and bob in a table and homes of theirs below a directory of the test's own.
 * `settings` is YAML besides; `before` is done before it starts.
 */
export async function usersMachine(
  settings = "",
  quota = "",
  before: (machine: Pick<UsersMachine, "directory" | "homeOf">) => Promise<void> = async () => {},
): Promise<UsersMachine> {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-users-"));
  chmodSync(directory, 0o755);
  const homeOf = (user: string): string => join(directory, "home", user);
  mkdirSync(join(directory, "home"), { mode: 0o755 });
  for (const [user, uid] of [
    ["alice", ALICE],
    ["bob", BOB],
  ] as const) {
    mkdirSync(homeOf(user), { mode: 0o700 });
    chownSync(homeOf(user), uid, uid);
  }
  const file = join(directory, "posthorn.yaml");
  const people = [`alice: "${ALICE}:${ALICE}:${homeOf("alice")}${quota}"`, `bob: "${BOB}:${BOB}:${homeOf("bob")}"`];
  writeFileSync(
    file,
    `state: ${join(directory, "state")}
hostname: mail.example.org
tables:
  people:
    map: { ${people.join(", ")}, root: "0:0:/root" }
local:
  users: table:people
${settings.includes("mailbox:") ? "" : "mailbox: { user: recipient }\n"}${settings}`,
  );
  const loaded = await loadSettings({ file, directory, clock: systemClock, isKeptElsewhere: () => true });
  if (!loaded.ok) throw new Error(loaded.problem.map(({ text }) => text).join("; "));
  const folders = foldersOf(loaded.value.settings.state);
  makeFolders(folders, undefined);
  await before({ directory, homeOf });
  const told: string[] = [];
  const emit: Emit = (event, fields) => {
    const line = (event as AnyEvent).line(fields as never);
    if (line !== undefined) told.push(line);
  };
  // Nothing that these settings name is elsewhere.
  const lookup = {} as LookupPort;
  const role = startDelivery({
    loaded: loaded.value,
    folders,
    clock: systemClock,
    emit,
    lookup,
    running: new RunningCommands(systemClock),
  });
  return {
    directory,
    told,
    homeOf,
    deliver: (mail) => role.port.deliver(mail),
    async [Symbol.asyncDispose]() {
      await role[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Mail for what an alias or a `.forward` named. */
export function mailToTarget(target: EnvelopeTarget, n = 1, over: Parameters<typeof mailFor>[2] = {}): LocalRequest {
  const mail = mailFor("deliver", n, over);
  return { ...mail, envelope: { ...mail.envelope, target } };
}
