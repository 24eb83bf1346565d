import { formatLocal, localLengthAt, unquote } from "../../protocol/address/mailbox.ts";
import { addressOfPath, parsePath } from "../../protocol/address/path.ts";
import { VERBS } from "../../protocol/smtp/command.ts";
import { reply as replyOf } from "../../protocol/smtp/reply.ts";
import type { Judgement } from "../envelope/policy.ts";
import { factsForRules } from "./facts-for-rules.ts";
import { notPermitted } from "./mail.ts";
import { answer, misuse } from "./refusing.ts";
import { replies } from "./replies.ts";
import type { Resting, Session, Step, World } from "./state.ts";

/** VRFY, EXPN and HELP (RFC 5321 sections 3.5 and 4.1.1.6 to 4.1.1.8). What they tell is the listener's policy. */
export function query(world: World, session: Session, back: Resting, verb: "VRFY" | "EXPN", argument: string): Step {
  const policy = verb === "VRFY" ? world.terms.vrfy : world.terms.expn;
  if (policy === "refuse") return misuse(world, session, verb, replies.notImplemented);
  const denied = notPermitted(world, session.facts);
  if (denied !== undefined) return misuse(world, session, verb, denied);
  if (policy === "noncommittal") return answer(session, replies.cannotVerify);
  // RFC 6531 section 3.7.4.2: SMTPUTF8 may follow the address.
  const text = argument.replace(/\s+SMTPUTF8$/i, "");
  const address = addressIn(text);
  if (address === undefined) return misuse(world, session, verb, NOT_AN_ADDRESS);
  return [
    { ...session, phase: { at: "asking", verb, address, back } },
    [{ do: "judge", facts: factsForRules(world, session.facts, { sender: "", parameters: {} }), recipient: address }],
  ];
}

/** RFC 5321 section 3.5.1: an address, with or without brackets, or a user's name alone, which is of this host. */
function addressIn(text: string): string | undefined {
  if (text !== "" && localLengthAt(text, 0) === text.length) return formatLocal(unquote(text));
  const path = parsePath(text.startsWith("<") ? text : `<${text}>`, { isInternational: true });
  return path.ok && path.value.kind !== "null" ? addressOfPath(path.value) : undefined;
}

const NOT_AN_ADDRESS = replyOf(501, "5.1.3", "An address or a user's name is needed");

export function queryJudged(session: Session, judgement: Judgement): Step {
  const { phase } = session;
  if (phase.at !== "asking") return [session, []];
  const next: Session = { ...session, phase: phase.back };
  if (judgement.kind === "reject") return answer(next, judgement.reply);
  if (phase.verb === "VRFY") {
    // RFC 5321 section 3.5.3: 250 is for an address that was looked up.
    if (judgement.isUnverified === true) return answer(next, replies.cannotVerify);
    // The answer to a bare name has to be a whole mailbox.
    const mailbox = phase.address.includes("@") ? phase.address : (judgement.targets[0]?.recipient ?? phase.address);
    return answer(next, replyOf(250, "2.1.5", `<${mailbox}>`));
  }
  // Commands, files and what is wrong with an alias are nobody's business.
  const shown = judgement.targets.filter(({ target }) => target === undefined || target.kind === "user");
  const members = shown.map(({ recipient }) => `<${recipient}>`);
  return answer(next, replyOf(250, "2.1.5", ...(members.length === 0 ? [`<${phase.address}>`] : members)));
}

const COMMANDS = VERBS.filter((verb) => !["ETRN", "XCLIENT", "XFORWARD"].includes(verb));
const HELP = replyOf(214, "2.0.0", "Commands:", COMMANDS.join(" "), "See RFC 5321");

export function help(session: Session): Step {
  return answer(session, HELP);
}
