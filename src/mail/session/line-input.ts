import { parseCommand } from "../../protocol/smtp/command.ts";
import type { LineEvent } from "../../protocol/smtp/line-receiver.ts";
import type { Input, Session, Terms } from "./state.ts";

/** What a line is to the machine; `verb` is the command that waits for its final reply. */
export interface Heard {
  readonly input: Input;
  readonly verb?: string | undefined;
}

/** Undefined: nothing to be answered. `bytesBehind`: what the client has sent behind the line already. */
export function lineInput(event: LineEvent, terms: Terms, { phase }: Session, bytesBehind: number): Heard | undefined {
  if (event.kind === "too-long") return { input: { kind: "line-too-long" } };
  if (event.kind === "bare" && terms.bareLineEnds === "reject") return { input: { kind: "bare-line-end" } };
  // A bare CR that is normalised may have had its LF swallowed already; an empty line is then no command.
  if (event.kind === "bare" && event.bytes.length === 0) return undefined;
  const isInExchange = phase.at === "authenticating";
  // The receiver's limit leaves room for AUTH; other commands have the setting's.
  const isLong = event.bytes.length > terms.settings.commandLine - 2;
  if (isLong && !isInExchange && !/^auth[ \t]/i.test(event.bytes.toString("latin1", 0, 5)))
    return { input: { kind: "line-too-long" } };
  if (isInExchange) return { input: { kind: "response", line: event.bytes.toString("latin1"), bytesBehind } };
  const parsed = parseCommand(event.bytes);
  if (!parsed.ok) return { input: { kind: "malformed", problem: parsed.problem }, verb: parsed.problem.verb };
  return { input: { kind: "command", command: parsed.value, bytesBehind }, verb: parsed.value.verb };
}
