import { splitAddress, unquote } from "../../protocol/address/mailbox.ts";
import { formatListed, parseAddressList } from "../../protocol/message/address-list.ts";
import { foldKey } from "../../service/table/pattern.ts";
import { tableFor, type Tables } from "../../service/table/tables.ts";
import { namesOf } from "./extension.ts";
import type { Holds, LocalNames } from "./local-names.ts";
import type { SenderRightsSettings } from "./settings.ts";

/**
 * Which addresses an account may give as its own (RFC 6409 section 6.1), as a sender in MAIL and as an author in the
 * From field: its own address, and those that a table gives it. As in Postfix's `smtpd_sender_login_maps` the table's keys
 * are addresses (`user@domain`, `@domain`), its values the accounts that may use them, or `*` for every account.
 */
export interface SenderRights {
  readonly checks: "sender" | "author" | "both";
  /** Whether logged-in clients may send with the empty sender, as programs do that answer mail. */
  readonly allowsNullSender: boolean;
  /** What would be refused is told in the log, and goes on. */
  readonly isWarnOnly: boolean;
  mayUse(account: string, address: string): Promise<Holds>;
}

export function senderRights(
  settings: SenderRightsSettings,
  tables: Tables,
  local: Pick<LocalNames, "isPrimaryDomain" | "virtualOf" | "userOf">,
  delimiters: string,
): SenderRights {
  const table =
    settings.table === undefined ? undefined : tableFor(tables, { kind: "table", name: settings.table }, "");
  /** The addresses under which one is found: as it is, and without an extension. */
  const spellings = (address: string): readonly string[] => {
    const { local: localPart, domain } = splitAddress(foldKey(address));
    return namesOf(unquote(localPart), delimiters).map((name) => `${name}@${domain}`);
  };
  /** Whether `spelling` is the address itself, or with its extension nobody's but the one's who has it without. */
  const isSpelling = async (address: string, spelling: string): Promise<Holds> => {
    const [whole] = spellings(address);
    if (whole === undefined || whole === spelling) return true;
    const names = await namesIn(splitAddress(address).domain);
    if (names === undefined || "failed" in names) return names ?? true;
    const user = await names.userOf(address);
    if (user === false) return true;
    // A user's own name may contain a delimiter.
    return "failed" in user ? user : user.name === undefined || nameOf(whole) !== user.name;
  };
  /** Who says what users there are in a domain; undefined when it is none of ours. */
  const namesIn = async (
    domain: string,
  ): Promise<Pick<LocalNames, "userOf"> | { readonly failed: string } | undefined> => {
    const entry = await local.virtualOf(domain);
    if (entry !== "none") return entry;
    const isPrimary = await local.isPrimaryDomain(domain);
    return typeof isPrimary === "boolean" ? (isPrimary ? local : undefined) : isPrimary;
  };
  const isOwn = async (account: string, address: string): Promise<Holds> => {
    const folded = foldKey(account);
    const hasDomain = folded.includes("@");
    const own = spellings(address).find((one) => (hasDomain ? one : nameOf(one)) === folded);
    if (own === undefined) return false;
    // An account without a domain is a user of this host; of the same name in a virtual domain may be somebody else.
    const isHere = hasDomain || (await local.isPrimaryDomain(splitAddress(address).domain));
    return isHere === true ? isSpelling(address, own) : isHere;
  };
  return {
    checks: settings.checks,
    allowsNullSender: settings.nullSender,
    isWarnOnly: settings.warnOnly,
    async mayUse(account, address) {
      const own = settings.own ? await isOwn(account, address) : false;
      if (own !== false) return own;
      if (settings.table === undefined) return false;
      if (table === undefined) return { failed: `there is no table ${settings.table}` };
      for (const spelling of spellings(address)) {
        const answer = await table.lookup(spelling, { service: "address" });
        if (answer.kind === "failed") return { failed: answer.text };
        if (answer.kind === "none") continue;
        const accounts = answer.value.split(/[\s,]+/).map((one) => foldKey(one));
        if (accounts.includes("*") || accounts.includes(foldKey(account))) return isSpelling(address, spelling);
      }
      return false;
    },
  };
}

function nameOf(address: string): string {
  return address.slice(0, address.lastIndexOf("@"));
}

const MOST_FIELD = 4000;

/** The addresses in a From field; undefined when it is none that a client may send (RFC 5322 section 3.6.2). */
export function authorsOf(field: string): readonly string[] | undefined {
  // Of a longer one reception keeps the beginning only: what else it says would be nobody's business.
  if (field.length > MOST_FIELD) return undefined;
  const parsed = parseAddressList(field);
  if (!parsed.ok || parsed.value.length === 0) return undefined;
  return parsed.value.every(({ domain }) => domain !== undefined)
    ? parsed.value.map((author) => formatListed(author))
    : undefined;
}
