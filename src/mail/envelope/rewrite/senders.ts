import { decodeSrs, encodeSrs, isSrs, type SrsAnswer, type SrsOptions } from "../../../protocol/address/srs.ts";
import { splitAddress, unquote } from "../../../protocol/address/mailbox.ts";
import { foldDomain, foldKey } from "../../../service/table/pattern.ts";
import { tableFor, type Tables } from "../../../service/table/tables.ts";
import { member, type Holds } from "../local-names.ts";
import type { Action } from "../action-settings.ts";
import { overrideSender, type SenderOverride } from "./sender-override.ts";
import type { SrsSettings, VerpSettings } from "./settings.ts";
import { verpSender, type VerpDelimiters } from "./verp.ts";

/**
 * With which sender an envelope leaves. What was said on purpose goes first: the owner of a list, `as` of the rule, `as` of
 * the action. Then VERP writes the recipient into it. What nobody has changed, and is forwarded from elsewhere to
 * elsewhere, is rewritten by SRS. The null sender is none of these: it stays the null sender.
 */
export interface Senders {
  /** `failed` when a table that must be asked cannot be. */
  senderFor(ask: SenderAsk): Promise<SenderAnswer>;
  /** Whose address a recipient stands for that we made for a forwarded sender; `other` for all addresses but those. */
  returned(recipient: string): SrsAnswer;
}

export interface SenderAsk {
  /** The message's. */
  readonly sender: string;
  /** What expansion says: the owner of the list that led here. */
  readonly owner?: string | undefined;
  /** What the sender knows the recipient by. */
  readonly given: string;
  readonly action: Action | undefined;
  /** `as` of the rule that matched. */
  readonly as?: SenderOverride | undefined;
  /** An alias, a `.forward` or a forwarding action led here: the recipient is not the one that was given. */
  readonly isForwarded: boolean;
  /** The client asked for VERP, and may. */
  readonly verp?: VerpDelimiters | undefined;
}

export type SenderAnswer =
  /** Undefined: the message's own. */
  | { readonly kind: "sender"; readonly sender: string | undefined; readonly by?: "owner" | "as" | "verp" | "srs" }
  | { readonly kind: "failed"; readonly text: string };

export interface SendersParts {
  readonly hostname: string;
  readonly srs?: SrsSettings | undefined;
  /** Of `srs`; without any nothing is rewritten, and nothing that comes back is believed. */
  readonly srsSecrets?: readonly string[] | undefined;
  readonly verp?: VerpSettings | undefined;
  readonly tables: Tables;
  readonly isLocalDomain: (domain: string) => Promise<Holds>;
  readonly now: () => number;
}

/** RFC 5321 section 4.5.3.1.1. */
const PROMISED_LOCAL_PART = 64;
/** RFC 5321 section 4.5.3.1.3: 256 octets with the angle brackets. */
const LONGEST = 254;
const DAY_MS = 86_400_000;

export function createSenders(parts: SendersParts): Senders {
  const { hostname, srs, srsSecrets = [], verp, tables } = parts;
  const domain = srs?.domain ?? hostname;
  const listed = verp?.senders === undefined ? undefined : tableFor(tables, verp.senders, "verp.senders");
  const options: SrsOptions | undefined =
    srs === undefined || srsSecrets.length === 0
      ? undefined
      : {
          secrets: srsSecrets,
          separator: srs.separator,
          hash: srs.hash,
          hashLength: srs.hashLength,
          leastHashLength: 4,
          maxAgeDays: Math.floor(srs.maxAge / DAY_MS),
        };

  /** The delimiters, or false where VERP is not wanted. */
  const verpOf = async (ask: SenderAsk): Promise<VerpDelimiters | false | { readonly failed: string }> => {
    const wanted = ask.action?.sender?.verp;
    if (wanted !== undefined) return wanted;
    if (ask.verp !== undefined) return ask.verp;
    if (verp?.senders === undefined) return false;
    const holds = await member(listed, "verp.senders", foldKey(ask.sender));
    if (typeof holds !== "boolean") return holds;
    return holds && verp.delimiters;
  };

  const rewritten = async (ask: SenderAsk): Promise<SenderAnswer> => {
    const asItIs: SenderAnswer = { kind: "sender", sender: undefined };
    const { action, sender } = ask;
    if (options === undefined || srs === undefined || action?.kind !== "relay") return asItIs;
    if (!(action.sender?.srs ?? ask.isForwarded)) return asItIs;
    const from = splitAddress(sender).domain;
    if (from === "" || foldDomain(from) === foldDomain(domain)) return asItIs;
    const isOurs = await parts.isLocalDomain(from);
    if (typeof isOurs !== "boolean") return { kind: "failed", text: isOurs.failed };
    if (isOurs) return asItIs;
    const address = encodeSrs(sender, domain, parts.now(), options);
    if (Buffer.byteLength(address) > LONGEST) return asItIs;
    const isLong = Buffer.byteLength(unquote(splitAddress(address).local)) > PROMISED_LOCAL_PART;
    return isLong && srs.longLocalParts === "keep" ? asItIs : { kind: "sender", sender: address, by: "srs" };
  };

  return {
    async senderFor(ask): Promise<SenderAnswer> {
      const { sender, owner, action } = ask;
      if (sender === "" || owner === "") return { kind: "sender", sender: undefined };
      const override = ask.as ?? action?.sender?.as;
      const said = owner ?? (override === undefined ? undefined : overrideSender(sender, override, hostname));
      const delimiters = await verpOf(ask);
      if (delimiters !== false && "failed" in delimiters) return { kind: "failed", text: delimiters.failed };
      const varied = delimiters === false ? undefined : verpSender(said ?? sender, ask.given, delimiters);
      if (varied !== undefined) return { kind: "sender", sender: varied, by: "verp" };
      if (said !== undefined) return { kind: "sender", sender: said, by: owner === undefined ? "as" : "owner" };
      return rewritten(ask);
    },

    returned(recipient): SrsAnswer {
      if (options === undefined || !isSrs(recipient)) return { kind: "other" };
      if (foldDomain(splitAddress(recipient).domain) !== foldDomain(domain)) return { kind: "other" };
      return decodeSrs(recipient, parts.now(), options);
    },
  };
}

/**
 * Who hears of what became of an envelope. A sender that SRS made stands for the message's own, who is told without the way
 * round; any other sender was put there to be told.
 */
export function noticeAddress(messageSender: string, sender: string): string {
  return sender !== messageSender && isSrs(sender) ? messageSender : sender;
}
