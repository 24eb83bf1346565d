import { RESTRICTION_STAGES, type RestrictionStage } from "./mail-change.ts";
import type { RestrictionSettings } from "./settings.ts";

/** At which stages an entry is asked. */
export function stagesOf(written: RestrictionSettings): readonly RestrictionStage[] {
  const isPermit = written.permit !== undefined || written.verdict === "permit";
  return isPermit && written.when === undefined ? stagesOfKind(written) : [defaultStage(written)];
}

/** At which stages what it asks is known. */
export function stagesOfKind(written: RestrictionSettings): readonly RestrictionStage[] {
  const from = (first: RestrictionStage): readonly RestrictionStage[] =>
    RESTRICTION_STAGES.slice(RESTRICTION_STAGES.indexOf(first));
  if (written.recipient !== undefined || written.greylist !== undefined || written.nullSenderRecipients !== undefined)
    return ["rcpt"];
  if (written.callout !== undefined) return written.callout.of === "recipient" ? ["rcpt"] : ["mail", "rcpt", "data"];
  if (written.rate !== undefined)
    return written.rate.count === "bytes" ? ["end-of-data"] : written.rate.count === "messages" ? ["data"] : ["rcpt"];
  if (written.sender !== undefined) return from("mail");
  if (written.helo !== undefined) return from("helo");
  return from("connect");
}

/** Where it is asked when `when` does not say it. */
export function defaultStage(written: RestrictionSettings): RestrictionStage {
  const stages = stagesOfKind(written);
  return written.when ?? (stages.includes("rcpt") ? "rcpt" : (stages[0] ?? "rcpt"));
}
