import { ok, refused, type Result } from "../../foundation/result.ts";
import { milterNumber, milterPacket, milterStrings } from "./packet.ts";

/**
 * The first exchange: we say which version we speak, what a milter may change and which parts of the dialogue it may do
 * without; it answers with what it takes of them.
 */

/** What a milter may do at the end of a mail. */
export const MILTER_ACTIONS = {
  addHeaders: 0x1,
  changeBody: 0x2,
  addRecipients: 0x4,
  removeRecipients: 0x8,
  changeHeaders: 0x10,
  quarantine: 0x20,
  changeSender: 0x40,
  addRecipientsWithParameters: 0x80,
  chooseMacros: 0x100,
} as const;

/** Steps that a milter does not want (`no…`), steps that it will not answer (`noReply…`), and habits. */
export const MILTER_STEPS = {
  noConnect: 0x1,
  noHelo: 0x2,
  noMail: 0x4,
  noRcpt: 0x8,
  noBody: 0x10,
  noHeaders: 0x20,
  noEndOfHeader: 0x40,
  noReplyHeader: 0x80,
  noUnknown: 0x100,
  noData: 0x200,
  /** It may answer a chunk of the body with "no more of them". */
  skip: 0x400,
  /** It wants to hear of recipients that others refused. */
  refusedRecipients: 0x800,
  noReplyConnect: 0x1000,
  noReplyHelo: 0x2000,
  noReplyMail: 0x4000,
  noReplyRcpt: 0x8000,
  noReplyData: 0x1_0000,
  noReplyUnknown: 0x2_0000,
  noReplyEndOfHeader: 0x4_0000,
  noReplyBody: 0x8_0000,
  /** Field values with the space behind the colon, as they stand in the mail. */
  leadingSpace: 0x10_0000,
} as const;

/** The versions that ever were in use. */
export const MILTER_VERSIONS = [2, 3, 4, 6] as const;
export type MilterVersion = (typeof MILTER_VERSIONS)[number];

interface Offer {
  readonly actions: number;
  readonly steps: number;
}

/** What each version has: libmilter of that age closes the connection at more. */
const OFFERS: Readonly<Record<MilterVersion, Offer>> = {
  2: { actions: 0x3f, steps: 0x7f },
  3: { actions: 0x3f, steps: 0x17f },
  4: { actions: 0x3f, steps: 0x37f },
  6: { actions: 0x1ff, steps: 0x1f_ffff },
};

/** If a milter stayed silent where we wait, or spoke where we don't, all answers behind that would be taken for others. */
const CHANGES_THE_DIALOGUE = 0x1f_ffff & ~0x37f;

/** Where macros are sent, by the numbers that a milter chooses its macros with. */
export const MACRO_STAGES = ["connect", "helo", "mail", "rcpt", "data", "endOfMessage", "endOfHeader"] as const;
export type MacroStage = (typeof MACRO_STAGES)[number];

/** What both sides have agreed on, for the life of the connection. */
export interface MilterAgreement {
  readonly version: number;
  readonly actions: number;
  readonly steps: number;
  /** Names as the milter wrote them, for the stages that it chose for. */
  readonly macros: ReadonlyMap<MacroStage, readonly string[]>;
}

export function milterOffer(version: MilterVersion): Buffer {
  const { actions, steps } = OFFERS[version];
  return milterPacket("O", milterNumber(version), milterNumber(actions), milterNumber(steps));
}

/** The milter's answer to our offer; what is refused is a sentence about the milter. */
export function agree(version: MilterVersion, data: Buffer): Result<MilterAgreement, string> {
  if (data.length < 12) return refused("its answer to our offer is too short");
  const theirs = data.readUInt32BE(0);
  if (theirs < 2 || theirs > version) return refused(`it speaks version ${theirs}, and we offered ${version}`);
  const offer = OFFERS[version];
  const actions = data.readUInt32BE(4);
  const steps = data.readUInt32BE(8);
  if ((actions & ~offer.actions) !== 0)
    return refused(
      `it wants to do what version ${version} does not have (0x${(actions & ~offer.actions).toString(16)})`,
    );
  const foreign = steps & ~offer.steps & CHANGES_THE_DIALOGUE;
  if (foreign !== 0) return refused(`it asks for what version ${version} does not have (0x${foreign.toString(16)})`);
  const macros = chosenMacros(data.subarray(12));
  if (macros === undefined) return refused("its list of macros can't be read");
  return ok({ version: theirs, actions, steps: steps & offer.steps, macros });
}

export function doesWithout(agreement: MilterAgreement, step: keyof typeof MILTER_STEPS): boolean {
  // An answer of an old version says nothing of the commands that came later, and libmilter of that age does not know them.
  if (step === "noData" && agreement.version < 4) return true;
  if (step === "noUnknown" && agreement.version < 3) return true;
  return (agreement.steps & MILTER_STEPS[step]) !== 0;
}

/** A stage's number and the names, with spaces or commas between them; again and again. */
function chosenMacros(data: Buffer): ReadonlyMap<MacroStage, readonly string[]> | undefined {
  const chosen = new Map<MacroStage, readonly string[]>();
  let rest = data;
  while (rest.length > 0) {
    const end = rest.length < 5 ? -1 : rest.indexOf(0, 4);
    if (end < 0) return undefined;
    const stage = MACRO_STAGES[rest.readUInt32BE(0)];
    const names = milterStrings(rest.subarray(4, end + 1))?.[0] ?? "";
    if (stage !== undefined)
      chosen.set(
        stage,
        names.split(/[ ,\t]+/).filter((name) => name !== ""),
      );
    rest = rest.subarray(end + 1);
  }
  return chosen;
}
