import type { Clock } from "../foundation/clock.ts";
import type { AnyEvent, Emit } from "../foundation/events.ts";
import { virtualClock } from "../simulator/clock.ts";
import type { LocalDelivery, LocalRequest } from "../mail/delivery/delivery.ts";
import type { CommandRunner } from "../mail/delivery/command/command.ts";
import type { OpenBody } from "../mail/delivery/mailbox/delivered-content.ts";
import { localDelivery } from "../mail/delivery/mailbox/local-delivery.ts";
import { ownFiles } from "../mail/delivery/mailbox/own-files.ts";
import { mailboxSettings } from "../mail/delivery/mailbox/settings.ts";
import type { Action } from "../mail/envelope/action-settings.ts";
import type { EnvelopeTarget } from "../mail/envelope/envelope.ts";
import type { UserDirectory } from "../service/account/users.ts";
import type { MailDisk } from "./mail-disk.ts";

export const NOON = Date.UTC(2026, 10, 21, 12, 0, 0);

export interface LocalParts {
  readonly clock?: Clock;
  readonly settings?: Parameters<typeof mailboxSettings.parse>[0];
  readonly actions?: Readonly<Record<string, Action>>;
  readonly told?: string[];
  readonly commands?: CommandRunner;
  readonly users?: UserDirectory;
  readonly system?: UserDirectory;
  readonly mayChange?: boolean;
  /** `mailbox.user`. */
  readonly user?: string;
  readonly extensionDelimiter?: string;
}

/** Final delivery on a disk of the tests: actions `maildir` and `mbox` deliver to /mail/<user>/Maildir and /mail/<user>/mbox. */
export function localOn(disk: MailDisk, parts: LocalParts = {}): LocalDelivery & AsyncDisposable {
  const actions: Readonly<Record<string, Action>> = {
    maildir: { kind: "deliver", as: "maildir", path: "/mail/{user}/Maildir" },
    mbox: { kind: "deliver", as: "mbox", path: "/mail/{user}/mbox" },
    discard: { kind: "deliver", as: "discard" },
    ...parts.actions,
  };
  const emit: Emit = (event, fields) => {
    const told = (event as AnyEvent).line(fields as never);
    if (told !== undefined) parts.told?.push(told);
  };
  const clock = parts.clock ?? virtualClock(NOON);
  const settings = mailboxSettings.parse(parts.settings ?? {});
  const openBody: OpenBody = async (body) => {
    if (body.kind === "file") throw new Error("there are no body files here");
    const { bytes } = body;
    // In two pieces, cut in the middle of a line.
    const middle = bytes.length >> 1;
    return (async function* () {
      yield bytes.subarray(0, middle);
      yield bytes.subarray(middle);
    })();
  };
  const common = { clock, settings, extensionDelimiter: parts.extensionDelimiter ?? "+" };
  const nobody: UserDirectory = { find: async () => ({ kind: "none" }) };
  return localDelivery({
    ...common,
    actions: (name) => actions[name],
    files: ownFiles({
      ...common,
      emit,
      fs: disk.fs(),
      openBody,
      intentsOf: (uid) => (uid === undefined ? "/state/delivery" : `/state/users/${uid}`),
      hostname: "mail.example.org",
      mayInclude: true,
    }),
    commands: parts.commands ?? { run: async () => ({ kind: "trouble", text: "there are no commands here" }) },
    whom: {
      users: parts.users,
      system: parts.system ?? nobody,
      defaultUser: "nobody",
      own: { uid: 1000, gid: 1000, groups: [] },
      mayChange: parts.mayChange ?? false,
      keysOf: ({ user }) => [user],
    },
    user: parts.user ?? "server",
    forward: ["{home}/.forward+{extension}", "{home}/.forward"],
    commandPath: "/usr/bin:/bin",
    stateDirectory: "/state",
  });
}

/** The n-th mail for alice, by the action. */
export function mailFor(
  action: string,
  n = 1,
  over: { recipient?: string; target?: EnvelopeTarget; sender?: string; text?: string } = {},
): LocalRequest {
  const id = `06A7Q2MK0W${n}`;
  const bytes = Buffer.from(over.text ?? `Subject: mail ${n}\r\n\r\nFrom here to there\r\nthe end of ${n}\r\n`);
  return {
    message: {
      id,
      sender: over.sender ?? "bob@example.net",
      receivedAt: NOON - 1000,
      sizeBytes: bytes.length,
      content: "7bit",
      isInternational: false,
      origin: { listener: "smtp", protocol: "ESMTP", session: "s1" },
    },
    envelope: {
      id: `${id}.1`,
      message: id,
      recipient: over.recipient ?? "alice@example.org",
      notify: [],
      action,
      target: over.target,
    },
    body: { kind: "inline", bytes },
    attempt: 1,
  };
}
