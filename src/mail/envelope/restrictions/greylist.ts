import { reply } from "../../../protocol/smtp/reply.ts";
import { splitAddress } from "../../../protocol/address/mailbox.ts";
import { isLoopback } from "../../../service/table/networks.ts";
import { foldKey, NULL_SENDER } from "../../../service/table/pattern.ts";
import { undecided } from "./checks.ts";
import type { GreylistSettings } from "./greylist-settings.ts";
import { networkKey } from "./network-key.ts";
import { PASS, type Finding, type RestrictionAsk, type RestrictionWorld } from "./restriction.ts";

/**
 * Greylisting: who brings mail of a sender to a recipient for the first time is asked to come again. Mail servers do; much of
 * what sends only junk does not. Never asked of logged-in clients, of those with a certificate of ours, and of this host.
 *
 * What was seen is kept on the disk by the lookup role, for all processes that receive mail (`greylist-store.io.ts`).
 */
export interface GreylistPort {
  /** Never rejects. */
  askGreylist(ask: GreylistAsk): Promise<GreylistAnswer>;
}

export interface GreylistAsk {
  readonly triplet: Triplet;
  readonly terms: GreylistTerms;
}

/** As they are kept: folded, and without what changes from mail to mail. */
export interface Triplet {
  readonly network: string;
  readonly sender: string;
  readonly recipient: string;
}

export type GreylistTerms = Pick<
  GreylistSettings,
  "delay" | "retryWithin" | "rememberFor" | "autoAllowAfter" | "mostEntries"
>;

export type GreylistAnswer =
  | { readonly kind: "pass"; readonly because: "known" | "network" }
  /** It came again for the first time. */
  | { readonly kind: "arrived"; readonly waitedMs: number }
  | { readonly kind: "wait"; readonly leftMs: number; readonly isNew: boolean }
  | { readonly kind: "failed"; readonly text: string };

export async function greylistFinding(
  { greylist }: Pick<RestrictionWorld, "greylist">,
  settings: GreylistSettings,
  { facts, recipient }: RestrictionAsk,
): Promise<Finding> {
  const { clientAddress } = facts;
  const isTrusted = facts.account !== undefined || facts.certificate?.mayRelay === true;
  if (clientAddress === undefined || isLoopback(clientAddress) || isTrusted) return PASS;
  const triplet = tripletOf(settings, clientAddress, facts.sender, recipient);
  const { delay, retryWithin, rememberFor, autoAllowAfter, mostEntries } = settings;
  const answer = await greylist.askGreylist({
    triplet,
    terms: { delay, retryWithin, rememberFor, autoAllowAfter, mostEntries },
  });
  switch (answer.kind) {
    case "pass":
      return PASS;
    case "arrived":
      return { kind: "pass", note: `came again after ${Math.round(answer.waitedMs / 1000)} s` };
    case "failed":
      return undecided(`the greylist: ${answer.text}`);
    case "wait": {
      const seconds = Math.max(1, Math.ceil(answer.leftMs / 1000));
      const text = `<${recipient}>: Recipient address rejected: Greylisted, try again in ${seconds} seconds`;
      return {
        kind: "wait",
        reply: reply(450, "4.7.1", text),
        isFound: true,
        detail: `${answer.isNew ? "new" : "too soon"} ${triplet.network}`,
      };
    }
  }
}

/** The longest address that is kept. */
const MOST_ADDRESS = 320;

export function tripletOf(
  { ipv4Prefix, ipv6Prefix }: Pick<GreylistSettings, "ipv4Prefix" | "ipv6Prefix">,
  address: string,
  sender: string,
  recipient: string,
): Triplet {
  return {
    network: networkKey(address, ipv4Prefix, ipv6Prefix),
    sender: (sender === "" ? NULL_SENDER : steady(foldKey(sender))).slice(0, MOST_ADDRESS),
    recipient: foldKey(recipient).slice(0, MOST_ADDRESS),
  };
}

/** A sender without what differs from mail to mail: numbers of bounce addresses, hashes of SRS and BATV, extensions. */
function steady(sender: string): string {
  const { local, domain } = splitAddress(sender);
  const forwarded = /^srs[01][=+-].*=([^=]+)=([^=]+)$/.exec(local);
  if (forwarded !== null) return `srs=${forwarded[1]}=${forwarded[2]}@${domain}`;
  const signed = /^prvs=[^=]+=(.+)$/.exec(local)?.[1] ?? local;
  return `${signed.replace(/(?<=.)\+.*$/, "").replace(/\d+/g, "#")}@${domain}`;
}

/** What is kept of a triplet. Milliseconds since the epoch. */
export interface GreylistEntry {
  readonly firstAt: number;
  readonly lastAt: number;
  /** It came again in time. */
  readonly hasPassed: boolean;
}

/** What is kept of a network. */
export interface GreylistNetwork {
  /** Triplets of it that came again, at most one an hour. */
  readonly passes: number;
  readonly lastPassAt: number;
  readonly lastAt: number;
  /** By a person: it does not end. */
  readonly isByHand: boolean;
}

export interface GreylistDecision {
  readonly answer: GreylistAnswer;
  /** What is to be kept from now on. */
  readonly entry?: GreylistEntry | undefined;
  readonly network?: GreylistNetwork | undefined;
}

const PASS_COUNTS_EVERY_MS = 3_600_000;

/** What is said to a triplet, by what is known of it and its network. */
export function decideGreylist(
  now: number,
  { delay, retryWithin, rememberFor, autoAllowAfter }: GreylistTerms,
  entry: GreylistEntry | undefined,
  network: GreylistNetwork | undefined,
): GreylistDecision {
  if (network !== undefined) {
    const isEarned = autoAllowAfter > 0 && network.passes >= autoAllowAfter && now - network.lastAt <= rememberFor;
    if (network.isByHand || isEarned)
      return { answer: { kind: "pass", because: "network" }, network: { ...network, lastAt: now } };
  }
  if (entry?.hasPassed === true && now - entry.lastAt <= rememberFor)
    return { answer: { kind: "pass", because: "known" }, entry: { ...entry, lastAt: now } };
  const fresh = { firstAt: now, lastAt: now, hasPassed: false };
  const begins: GreylistDecision = { answer: { kind: "wait", leftMs: delay, isNew: true }, entry: fresh };
  if (entry === undefined || entry.hasPassed) return begins;
  const waitedMs = now - entry.firstAt;
  // A clock that was set back: from now on.
  if (waitedMs < 0 || waitedMs > retryWithin) return begins;
  if (waitedMs < delay)
    return { answer: { kind: "wait", leftMs: delay - waitedMs, isNew: false }, entry: { ...entry, lastAt: now } };
  return {
    answer: { kind: "arrived", waitedMs },
    entry: { ...entry, lastAt: now, hasPassed: true },
    network: passed(network, now, rememberFor),
  };
}

function passed(network: GreylistNetwork | undefined, now: number, rememberFor: number): GreylistNetwork {
  const known = network !== undefined && now - network.lastAt <= rememberFor ? network : undefined;
  if (known === undefined) return { passes: 1, lastPassAt: now, lastAt: now, isByHand: network?.isByHand ?? false };
  const counts = now - known.lastPassAt >= PASS_COUNTS_EVERY_MS || now < known.lastPassAt;
  return { ...known, lastAt: now, ...(counts ? { passes: known.passes + 1, lastPassAt: now } : {}) };
}
