import type { RunAs } from "../../../foundation/ffi/identity.ts";
import type { LocalUser } from "../../../service/account/users.ts";
import type { LocalRequest } from "../delivery.ts";

/**
 * Delivery by a command: `|command` of an alias or a `.forward`, and `deliver: command`. The content goes to its standard
 * input, facts about the mail into its environment, and its exit status says what became of the mail (sysexits.h). It runs
 * as the user, in a process group of its own, with a deadline; it is never run as root nor as the server's own user.
 *
 * What a peer chose (addresses, names) is never put into the text that the shell reads: see `environment.ts`.
 */
export interface CommandErrand {
  readonly request: LocalRequest;
  /** As the shell reads it. */
  readonly command: string;
  /** Whom it runs as; undefined: as we are. */
  readonly as: RunAs | undefined;
  readonly user: Pick<LocalUser, "name" | "home" | "shell">;
  readonly environment: Readonly<Record<string, string>>;
}

/** How it ended. `output` is the beginning of what it wrote. Never rejects for what a command did. */
export type CommandEnd =
  | { readonly kind: "exit"; readonly status: number; readonly output: string }
  | { readonly kind: "signal"; readonly signal: string; readonly output: string }
  | { readonly kind: "deadline"; readonly afterMs: number; readonly output: string }
  /** The server stops, and has ended it: whatever it says then, its work may be half done. */
  | { readonly kind: "stopped"; readonly output: string }
  /** It could not be started, or the content could not be read: nothing is said about the command. */
  | { readonly kind: "trouble"; readonly text: string };

export interface CommandRunner {
  run(errand: CommandErrand): Promise<CommandEnd>;
  /** The server stops within this time: what runs then is ended before. */
  finish?(withinMs: number): void;
}
