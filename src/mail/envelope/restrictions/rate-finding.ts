import { formatDuration, formatRate, formatSize } from "../../../foundation/units.ts";
import { reply } from "../../../protocol/smtp/reply.ts";
import { accountKey } from "../../../service/account/account-key.ts";
import { foldDomain, foldKey, NULL_SENDER } from "../../../service/table/pattern.ts";
import { undecided } from "./checks.ts";
import { domainIn } from "./domains.ts";
import { networkKey } from "./network-key.ts";
import type { RateSettings, RateSubject } from "./rate-settings.ts";
import { PASS, type Finding, type RestrictionAsk, type RestrictionWorld } from "./restriction.ts";

/** How long a key may be: each is kept. */
const MOST_KEY = 320;

/** How much somebody sends in a time. What is refused is not counted, so whoever goes on trying is not locked out for longer. */
export async function rateFinding(
  { rates, clock }: Pick<RestrictionWorld, "rates" | "clock">,
  rate: string,
  settings: RateSettings,
  ask: RestrictionAsk,
): Promise<Finding> {
  const key = rateKey(settings, ask);
  // Mail that is told to come again will be counted when it has come again.
  if (key === undefined || ask.isWaiting === true) return PASS;
  const amount = settings.count === "bytes" ? (ask.facts.more?.sizeBytes ?? 0) : 1;
  const of = `${settings.by.join("+")} ${settings.count}`;
  const answer = await rates.countRate({ rate, of, key, amount, limit: settings.limit });
  if (answer.kind === "failed") return undecided(answer.text);
  if (answer.kind === "counted") return PASS;
  const { limit, count } = settings;
  const inMs = Math.max(1000, Math.ceil((answer.againAt - clock.now()) / 1000) * 1000);
  const most = count === "bytes" ? `${formatSize(limit.count)} per ${formatDuration(limit.perMs)}` : formatRate(limit);
  const no = reply(450, "4.7.1", `Too much mail (${count} ${most}); try again in ${formatDuration(inMs)}`);
  return { kind: "refuse", reply: no, detail: `${settings.by.join(" ")} ${key}` };
}

/** Whose it is; undefined where somebody has none of what is counted by. */
export function rateKey(settings: RateSettings, { facts, recipient, stage }: RestrictionAsk): string | undefined {
  const subjects: Record<RateSubject, () => string | undefined> = {
    // One host has as many IPv6 addresses in its network as it likes.
    address: () => (facts.clientAddress === undefined ? undefined : networkKey(facts.clientAddress, 32, 64)),
    network: () =>
      facts.clientAddress === undefined
        ? undefined
        : networkKey(facts.clientAddress, settings.ipv4Prefix, settings.ipv6Prefix),
    account: () => (facts.account === undefined ? undefined : accountKey(facts.account)),
    helo: () => (facts.helo === undefined ? undefined : foldDomain(facts.helo)),
    sender: () => (facts.sender === "" ? NULL_SENDER : foldKey(facts.sender)),
    "sender-domain": () => foldDomain(domainIn(facts.sender)) || undefined,
    recipient: () => (stage === "rcpt" ? foldKey(recipient) : undefined),
    "recipient-domain": () => (stage === "rcpt" ? foldDomain(domainIn(recipient)) || undefined : undefined),
    listener: () => facts.listener,
  };
  const parts: string[] = [];
  for (const one of settings.by) {
    const part = subjects[one]();
    if (part === undefined) return undefined;
    parts.push(part.slice(0, MOST_KEY));
  }
  return parts.join(" ");
}
