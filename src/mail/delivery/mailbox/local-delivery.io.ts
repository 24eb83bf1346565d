import { join } from "node:path";
import { mayChangeIdentity } from "../../../foundation/ffi/identity.io.ts";
import type { RunAs } from "../../../foundation/ffi/identity.ts";
import type { Emit } from "../../../foundation/events.ts";
import type { UserDirectory } from "../../../service/account/users.ts";
import { senderOf, type Envelope, type Message } from "../../envelope/envelope.ts";
import { commandRunner } from "../command/run-command.io.ts";
import type { RunningCommands } from "../command/running-commands.ts";
import type { CommandSettings } from "../command/settings.ts";
import type { LocalDelivery, LocalRequest } from "../delivery.ts";
import { deliveredContent, type OpenBody } from "./delivered-content.ts";
import type { FileAgent } from "./errand.ts";
import { localDelivery, type LocalDeliveryParts } from "./local-delivery.ts";
import { mailFs } from "./mail-fs.io.ts";
import { fromLine } from "./mbox-format.ts";
import { ownFiles } from "./own-files.ts";

export interface MachineParts extends Pick<
  LocalDeliveryParts,
  "clock" | "settings" | "actions" | "forward" | "stateDirectory" | "extensionDelimiter"
> {
  readonly emit: Emit;
  readonly openBody: OpenBody;
  readonly hostname: string;
  readonly mayInclude: boolean;
  readonly command: CommandSettings;
  /** All commands of this process. */
  readonly running: RunningCommands;
  /** `local.users`, where it knows more than names, and what recipients are called there. */
  readonly users?: UserDirectory | undefined;
  readonly keysOf?: LocalDeliveryParts["whom"]["keysOf"] | undefined;
  readonly isVirtual?: LocalDeliveryParts["whom"]["isVirtual"];
  readonly system: UserDirectory;
  readonly defaultUser: string;
  /** As which user deliveries are made that say nothing else. */
  readonly user: string;
  /** Files with our own rights; made here unless given. */
  readonly own?: FileAgent | undefined;
  /** Files with others' rights, where this process was started by root; without it everything is done with our own. */
  readonly others?: { readonly files: FileAgent; readonly own: RunAs } | undefined;
}

/** Final delivery on the machine's own file system, with commands run by its own shell. */
export function createLocalDelivery(parts: MachineParts): LocalDelivery & AsyncDisposable {
  const { clock, settings, stateDirectory, others } = parts;
  const files =
    others?.files ?? parts.own ?? ownFiles({ ...parts, fs: mailFs, intentsOf: () => join(stateDirectory, "delivery") });
  return localDelivery({
    ...parts,
    files,
    commands: commandRunner({
      clock,
      settings: parts.command,
      running: parts.running,
      content: ({ request }) => commandContent(request, clock.now(), parts.openBody),
    }),
    whom: {
      users: parts.users,
      system: parts.system,
      defaultUser: parts.defaultUser,
      own: others?.own ?? { uid: process.geteuid?.() ?? -1, gid: process.getegid?.() ?? -1, groups: [] },
      mayChange: others !== undefined && mayChangeIdentity(),
      keysOf: parts.keysOf ?? (({ user }) => [user]),
      isVirtual: parts.isVirtual,
    },
    commandPath: parts.command.path,
    settings,
  });
}

/** As a mailbox would have it, with the line in front by which mbox readers and procmail know who sent it. */
async function* commandContent(request: LocalRequest, now: number, openBody: OpenBody): AsyncGenerator<Uint8Array> {
  const { message, envelope }: { message: Message; envelope: Envelope } = request;
  yield Buffer.from(fromLine(senderOf(message, envelope), now));
  yield* deliveredContent(request, false, openBody);
}
