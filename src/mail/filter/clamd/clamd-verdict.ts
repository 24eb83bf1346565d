import type { ClamdReply } from "../../../protocol/clamd/clamd.ts";
import type { MailFate, MailVerdict } from "../filter.ts";
import { deferred, ownField, refused, replyWords } from "../scanner/verdicts.ts";
import type { ClamdSettings } from "./settings.ts";

const FIELD = "X-Virus-Status";

/** What clamd's answer means for a mail. A failure is none. */
export function clamdVerdict(
  answer: Exclude<ClamdReply, { kind: "failed" | "pong" }>,
  settings: Pick<ClamdSettings, "onVirus" | "onTooBig" | "mark">,
): MailVerdict {
  const marked = (value: string): Pick<MailVerdict, "edits"> =>
    settings.mark ? { edits: ownField(FIELD, value) } : {};
  switch (answer.kind) {
    case "clean":
      return { fate: { kind: "keep" }, ...marked("Clean") };
    case "found": {
      const name = replyWords(answer.signature, "a signature without a name");
      return {
        fate: fateOf(settings.onVirus, `Virus found: ${name}`),
        because: `virus ${name}`,
        ...marked(`Infected (${name})`),
      };
    }
    case "too-big": {
      const because = "larger than clamd looks at";
      const { onTooBig } = settings;
      const fate: MailFate =
        onTooBig === "accept" ? { kind: "keep" } : fateOf(onTooBig, "The mail is too large to be scanned");
      return { fate, because, ...marked("Unknown (too large to be scanned)") };
    }
  }
}

function fateOf(what: "refuse" | "quarantine" | "discard" | "defer", text: string): MailFate {
  if (what === "refuse") return refused(text);
  return what === "defer" ? deferred(text) : { kind: what };
}
