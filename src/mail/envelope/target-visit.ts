import type { AliasTarget } from "../../protocol/address/alias-targets.ts";
import { formatLocal, splitAddress, unquote } from "../../protocol/address/mailbox.ts";
import { foldKey } from "../../service/table/pattern.ts";
import type { ForwardToExpand, Origin } from "./expansion.ts";
import { namesOf } from "./extension.ts";

/** The visit that a target of an entry is; undefined for those that are no addresses. */
export function visitOf(target: AliasTarget, entry: Entry, forwarded: ForwardToExpand | undefined): Visit | undefined {
  if (target.kind === "address") return visitTo(target.address, target.isFinal, entry, forwarded);
  if (target.kind !== "domain") return undefined;
  const sameName = `${splitAddress(entry.address).local}@${target.domain}`;
  return visitTo(sameName, false, { ...entry, unmatched: "" }, forwarded);
}

/** An address on the way of an expansion. */
export interface Visit {
  readonly address: string;
  readonly via: readonly string[];
  /** Neither alias nor `.forward` is asked. */
  readonly isFinal: boolean;
  readonly depth: number;
  readonly from?: Origin | undefined;
  readonly owner?: string | undefined;
  /** What chose it, where that was no rule. */
  readonly rule?: string | undefined;
  /** No alias is asked, for it led here itself; a `.forward` is. */
  readonly isOwn?: boolean | undefined;
  /** Without an extension it would be the user's whose `.forward` led here. */
  readonly mayBeOwn?: boolean | undefined;
}

/** Where an entry stands whose targets are visited. */
export interface Entry {
  readonly address: string;
  readonly action: string;
  readonly localAction: string;
  readonly rule: string;
  readonly via: readonly string[];
  readonly depth: number;
  readonly from: Origin;
  readonly owner?: string | undefined;
  /** Of names without one. */
  readonly domain: string;
  readonly unmatched: string;
  /** On whose behalf commands run. */
  readonly user: string;
  readonly where: string;
  /** Lists in files that are open on the way here. */
  readonly includes: readonly string[];
}

function visitTo(written: string, isFinal: boolean, entry: Entry, forwarded: ForwardToExpand | undefined): Visit {
  const { local, domain } = splitAddress(written);
  const plain = unquote(local);
  const named = entry.unmatched === "" ? local : formatLocal(`${plain}${entry.unmatched}`);
  const address = domain === "" ? `${named}@${entry.domain}` : `${named}@${domain}`;
  const isSelf = foldKey(address) === foldKey(entry.address);
  // Whose `.forward` it is, by the address that led to it or by name: a copy for the mailbox.
  const [name, bare] = forwarded === undefined ? [] : namesBeside(address, forwarded);
  const isWho =
    forwarded !== undefined && (foldKey(address) === foldKey(forwarded.recipient) || name === forwarded.name);
  return {
    address,
    via: isSelf ? entry.via.slice(0, -1) : entry.via,
    isFinal: isFinal || isWho,
    depth: entry.depth + 1,
    from: entry.from,
    owner: entry.owner,
    isOwn: isSelf,
    ...(!isFinal && !isWho && bare !== undefined && bare === forwarded?.name ? { mayBeOwn: true } : {}),
  };
}

/** What an address in the domain of the forwarded recipient may be called, as `namesOf` has it. */
function namesBeside(address: string, { recipient, delimiters }: ForwardToExpand): readonly string[] {
  const { local, domain } = splitAddress(foldKey(address));
  return domain === splitAddress(foldKey(recipient)).domain ? namesOf(unquote(local), delimiters) : [];
}
