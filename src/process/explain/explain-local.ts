import type { ExplainedDelivery } from "../../admin/cli/settings/explanation.ts";
import type { Clock } from "../../foundation/clock.ts";
import type { RunAs } from "../../foundation/ffi/identity.ts";
import type { EnvelopeId } from "../../foundation/ids.ts";
import type { CommandErrand } from "../../mail/delivery/command/command.ts";
import type { LocalOutcome } from "../../mail/delivery/delivery.ts";
import type { FileErrand, Place } from "../../mail/delivery/mailbox/errand.ts";
import { localDelivery } from "../../mail/delivery/mailbox/local-delivery.ts";
import { failureText } from "../../mail/envelope/failure-text.ts";
import type { Target } from "../../mail/envelope/policy.ts";
import { isSystemUsers } from "../../mail/envelope/system-users.ts";
import { systemUsers } from "../../service/account/system-users.io.ts";
import { tableUsers } from "../../service/account/users.ts";
import type { Tables } from "../../service/table/tables.ts";
import { userOfDeliveries } from "../settings/delivers-as-others.ts";
import { forwardTemplates, virtualMailboxes } from "../role/delivery-role.ts";
import { recipientKeys } from "../role/recipient-keys.ts";
import { layoutOf } from "../layout.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";

/**
 * Where a final delivery would put a mail, and as whom: the delivery itself, with somebody in place of its agents who notes
 * the errand and does nothing.
 */
export async function explainLocal(
  target: Target,
  parts: { readonly loaded: LoadedSettings; readonly clock: Clock; readonly sender: string; readonly tables: Tables },
): Promise<ExplainedDelivery> {
  const { loaded, clock, sender, tables } = parts;
  const { settings } = loaded;
  const { local } = settings;
  const system = systemUsers(clock);
  const own = rightsOfServer(loaded);
  const ofTable = local.users?.kind === "table" ? tables.get(local.users.name) : undefined;
  let file: FileErrand | undefined;
  let command: CommandErrand | undefined;
  const delivery = localDelivery({
    clock,
    settings: settings.mailbox,
    actions: (name) => settings.actions[name],
    files: {
      run(errand): Promise<LocalOutcome | undefined> {
        file = errand;
        return Promise.resolve(undefined);
      },
      leave() {},
      [Symbol.asyncDispose]: () => Promise.resolve(),
    },
    commands: {
      run(errand) {
        command = errand;
        return Promise.resolve({ kind: "exit", status: 0, output: "" });
      },
    },
    whom: {
      users: isSystemUsers(local.users) ? system : ofTable && tableUsers(ofTable),
      system,
      defaultUser: local.defaultUser,
      own,
      // Whoever asks need not be root; the server that delivers as others is.
      mayChange: true,
      keysOf: recipientKeys(local),
      isVirtual: virtualMailboxes(settings, tables),
    },
    user: userOfDeliveries(settings),
    forward: forwardTemplates(local.forward),
    commandPath: "",
    stateDirectory: settings.state,
    extensionDelimiter: local.extensionDelimiter,
  });
  const message = "EXPLAINED";
  const outcome = await delivery.deliver({
    message: {
      id: message,
      sender,
      receivedAt: clock.now(),
      sizeBytes: 0,
      content: "7bit",
      isInternational: false,
      origin: { listener: "local", protocol: "local", session: "" },
    },
    envelope: {
      id: `${message}.1` satisfies EnvelopeId,
      message,
      recipient: target.recipient,
      notify: [],
      action: target.action,
      ...(target.target === undefined ? {} : { target: target.target }),
      ...(target.via === undefined ? {} : { via: target.via }),
    },
    body: { kind: "inline", bytes: new Uint8Array() },
    attempt: 1,
  });
  const forward = file?.forward ?? [];
  if (command !== undefined) {
    const { as, user } = command;
    // Whose rights it has, which may be lent to somebody else's mail.
    const lender = await system.find(local.defaultUser);
    const isLent = lender.kind === "found" && lender.user.uid === as?.uid;
    const runner = as === own ? undefined : nameOf(as, isLent ? local.defaultUser : user.name);
    return { kind: "local", place: `|${command.command}`, user: runner, forward };
  }
  if (file !== undefined)
    return { kind: "local", place: placeText(file.place), user: nameOf(file.as, file.user), forward };
  if (outcome.kind === "failed") return { kind: "failed", text: failureText(outcome.failure) };
  return { kind: "local", place: outcome.relay, user: undefined, forward };
}

/** The user that the server has when it is started as we are; one that is yet to be made owns nothing. */
function rightsOfServer({ settings, origins }: LoadedSettings): RunAs {
  const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, groups: [] };
  try {
    const { identity } = layoutOf(settings, origins.file);
    return identity === undefined ? own : { uid: identity.uid, gid: identity.gid, groups: [] };
  } catch {
    return own;
  }
}

function nameOf(as: { readonly uid: number } | undefined, name: string): string | undefined {
  return as === undefined ? undefined : `${name} (uid ${as.uid})`;
}

function placeText(place: Place | undefined): string {
  if (place === undefined) return "none: only its aliases and forwards count";
  const folder =
    place.kind === "maildir" && place.extension !== "" ? ` (folder ${place.extension}, where there is one)` : "";
  return `${place.kind}:${place.path}${folder}`;
}
