import { join } from "node:path";
import type { Clock } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import { actAs, mayChangeIdentity } from "../../foundation/ffi/identity.io.ts";
import { canSyncHere } from "../../foundation/ffi/sync-file.io.ts";
import type { RunAs } from "../../foundation/ffi/identity.ts";
import type { RunningCommands } from "../../mail/delivery/command/running-commands.ts";
import type { LocalDelivery } from "../../mail/delivery/delivery.ts";
import type { FileAgent, FileErrand } from "../../mail/delivery/mailbox/errand.ts";
import { createLocalDelivery } from "../../mail/delivery/mailbox/local-delivery.io.ts";
import { mailFs } from "../../mail/delivery/mailbox/mail-fs.io.ts";
import { FilingThreads } from "../../mail/delivery/mailbox/filing-threads.io.ts";
import { ownFiles } from "../../mail/delivery/mailbox/own-files.ts";
import type { FilingParts } from "../../mail/delivery/mailbox/filing.ts";
import { localNames, type Holds } from "../../mail/envelope/local-names.ts";
import { isSystemUsers } from "../../mail/envelope/system-users.ts";
import { systemUsers } from "../../service/account/system-users.io.ts";
import { tableUsers, type UserDirectory } from "../../service/account/users.ts";
import type { Tables } from "../../service/table/tables.ts";
import { deliversAsOthers, tablesOfDeliveries, userOfDeliveries } from "../settings/delivers-as-others.ts";
import { bodyOpener } from "./open-body.ts";
import { FilingAgents } from "./filing-agents.ts";
import type { Folders } from "../folders.ts";
import { tablesOf } from "./tables-of-settings.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import type { LookupPort } from "./lookup.ts";
import { recipientKeys } from "./recipient-keys.ts";
import { groupId, type Identity } from "../privileges.ts";
import type { Settings } from "../settings/settings.ts";

/** Final delivery. Closing it waits for what runs. */
export interface DeliveryRole extends AsyncDisposable {
  readonly port: LocalDelivery;
}

/**
 * `rest`: the server's own user, where this process was started by root to deliver with users' rights. It is that user
 * from here on, and root only in the moments in which it starts what runs as somebody else.
 */
export function startDelivery(parts: {
  loaded: LoadedSettings;
  folders: Folders;
  clock: Clock;
  emit: Emit;
  lookup: LookupPort;
  /** All commands of this process, also those of earlier settings. */
  running: RunningCommands;
  rest?: Identity | undefined;
}): DeliveryRole {
  const { loaded, folders, clock, emit } = parts;
  const { settings } = loaded;
  const { extensionDelimiter, includesFrom } = settings.local;
  const mayInclude = includesFrom.includes("forward");
  const open = bodyOpener(folders);
  const common: Omit<FilingParts, "intentsOf"> = {
    clock,
    emit,
    fs: mailFs,
    settings: settings.mailbox,
    openBody: async (body) => open(body),
    hostname: settings.hostname,
    extensionDelimiter,
    mayInclude,
  };
  const rest: RunAs =
    parts.rest === undefined
      ? { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, groups: [] }
      : { uid: parts.rest.uid, gid: parts.rest.gid, groups: [] };
  const isSwitching = mayChangeIdentity() && deliversAsOthers(settings);
  const { group } = settings.mailbox;
  const others = isSwitching
    ? new FilingAgents({
        clock,
        emit,
        settings: settings.mailbox,
        group: group === undefined ? undefined : groupId(group),
        start: {
          rest,
          queue: folders.queue,
          users: folders.users,
          hostname: settings.hostname,
          extensionDelimiter,
          mayInclude,
        },
      })
    : undefined;
  if (parts.rest !== undefined && mayChangeIdentity()) actAs(rest);
  const intents = join(folders.state, "delivery");
  const { mailbox, hostname } = settings;
  const own = ownFiles({
    ...common,
    intentsOf: () => intents,
    ...(canSyncHere() && {
      maildirs: new FilingThreads({
        clock,
        emit,
        task: {
          settings: mailbox,
          queue: folders.queue,
          intents,
          hostname,
          extensionDelimiter,
          mayInclude,
          startedAt: clock.now(),
        },
      }),
    }),
  });
  const system = systemUsers(clock);
  const tables = tablesOfRole(parts);
  const delivery = createLocalDelivery({
    ...common,
    actions: (name) => settings.actions[name],
    command: settings.command,
    running: parts.running,
    users: usersOf(loaded, system, tables),
    keysOf: recipientKeys(settings.local),
    isVirtual: virtualMailboxes(settings, tables),
    system,
    defaultUser: settings.local.defaultUser,
    user: userOfDeliveries(settings),
    forward: forwardTemplates(settings.local.forward),
    stateDirectory: folders.state,
    others: others === undefined ? undefined : { files: both(own, others), own: rest },
    own,
  });
  return { port: delivery, [Symbol.asyncDispose]: () => delivery[Symbol.asyncDispose]() };
}

/** Each by whoever has the rights. */
function both(own: FileAgent, others: FileAgent): FileAgent {
  return {
    run: (errand: FileErrand) => (errand.as === undefined ? own : others).run(errand),
    leave() {
      own.leave();
      others.leave();
    },
    async [Symbol.asyncDispose]() {
      await own[Symbol.asyncDispose]();
      await others[Symbol.asyncDispose]();
    },
  };
}

/** Others are not this role's to read. */
function tablesOfRole({ loaded, clock, emit, lookup }: Parameters<typeof startDelivery>[0]): Tables {
  const { settings } = loaded;
  const named = tablesOfDeliveries(settings.local);
  const tables = Object.fromEntries(Object.entries(settings.tables).filter(([name]) => named.has(name)));
  return tablesOf({ ...loaded, settings: { ...settings, tables } }, clock, emit, lookup);
}

function usersOf({ settings }: LoadedSettings, system: UserDirectory, tables: Tables): UserDirectory | undefined {
  const { users } = settings.local;
  if (isSystemUsers(users)) return system;
  const table = users?.kind === "table" ? tables.get(users.name) : undefined;
  return table === undefined ? undefined : tableUsers(table);
}

/** Whether those who have mailboxes in a domain are nobody of this host. */
export function virtualMailboxes(
  { local, hostname }: Pick<Settings, "local" | "hostname">,
  tables: Tables,
): (domain: string) => Promise<Holds> {
  const names = localNames(local, hostname, tables);
  return async (domain) => {
    const entry = await names.virtualOf(domain);
    return entry === "none" ? false : "failed" in entry ? entry : entry.hasMailboxes;
  };
}

export function forwardTemplates(wanted: boolean | readonly string[]): readonly string[] {
  if (wanted === false) return [];
  return wanted === true ? ["{home}/.forward+{extension}", "{home}/.forward"] : wanted;
}
