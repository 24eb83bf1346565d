import { formatDuration } from "../../../foundation/units.ts";
import type { Failure } from "../../envelope/failure.ts";
import type { CommandEnd } from "./command.ts";

interface Meaning {
  readonly lasting: Failure["lasting"];
  /** RFC 3463. */
  readonly status: string;
  readonly text: string;
}

const permanent = (status: string, text: string): Meaning => ({ lasting: "permanent", status: `5.${status}`, text });
const temporary = (status: string, text: string): Meaning => ({ lasting: "temporary", status: `4.${status}`, text });

/**
 * What exit statuses mean: those of sysexits.h as Postfix reads them, but that an input/output error (74) is temporary,
 * for a disk says nothing about the recipient; and the shell's own two, which somebody can mend while the mail waits.
 */
const EXIT_STATUSES: ReadonlyMap<number, Meaning> = new Map([
  [64, permanent("3.0", "command line usage error")],
  [65, permanent("6.0", "data format error")],
  [66, permanent("3.0", "cannot open input")],
  [67, permanent("1.1", "user unknown")],
  [68, permanent("1.2", "host name unknown")],
  [69, permanent("3.0", "service unavailable")],
  [70, permanent("3.0", "internal software error")],
  [71, temporary("3.0", "system resource problem")],
  [72, permanent("3.0", "critical OS file missing")],
  [73, permanent("2.0", "can't create user output file")],
  [74, temporary("3.0", "input/output error")],
  [75, temporary("3.0", "temporary failure")],
  [76, permanent("5.0", "remote error in protocol")],
  [77, permanent("7.0", "permission denied")],
  [78, permanent("3.5", "local configuration error")],
  [126, temporary("3.5", "command cannot be executed")],
  [127, temporary("3.5", "command not found")],
]);

/**
 * What the end of a command means for the envelope; undefined: delivered. A status code that the output begins with
 * (`5.2.2 mailbox is full`) takes the place of ours; whether it is permanent the exit status alone decides.
 */
export function commandFailure(end: CommandEnd): Failure | undefined {
  switch (end.kind) {
    case "exit": {
      if (end.status === 0) return undefined;
      const known = EXIT_STATUSES.get(end.status);
      return failure(known ?? permanent("3.0", `command died with status ${end.status}`), end.output);
    }
    case "signal":
      return failure(temporary("3.0", `command died with signal ${end.signal}`), end.output);
    case "deadline":
      return failure(
        temporary("3.0", `command took longer than ${formatDuration(Math.max(1000, end.afterMs))} and was ended`),
        end.output,
      );
    case "stopped":
      return failure(temporary("3.0", "the server stopped before the command had ended, and ended it"), end.output);
    case "trouble":
      return failure(temporary("3.0", end.text), "", NOTHING_TOLD);
  }
}

/** Why we could not run it is about this server. */
const NOTHING_TOLD = "the command could not be run";

/** Output without a status in front is whatever a program says when it breaks, and for the operator. */
function failure({ lasting, status, text }: Meaning, output: string, meaning = text): Failure {
  const said = output.trim();
  const own = /^[245](\.\d{1,3}\.\d{1,3})(?:\s+|$)/.exec(said);
  const kept = own === null ? said : said.slice(own[0].length);
  return {
    lasting,
    status: own?.[1] === undefined ? status : `${status.charAt(0)}${own[1]}`,
    cause: { kind: "command", text: withOutput(text, kept), told: own === null ? meaning : withOutput(meaning, kept) },
  };
}

function withOutput(text: string, output: string): string {
  return output === "" ? text : `${text}. Command output: ${output}`;
}
