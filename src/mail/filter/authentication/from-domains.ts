import { domainToASCII } from "node:url";
import { parseAddressList } from "../../../protocol/message/address-list.ts";
import { unfold } from "../../../protocol/message/field.ts";
import { rawValue, type RawField } from "../../../protocol/authentication/raw-fields.ts";

/** More authors than that is nobody's mail; who counts them sees that there are too many. */
const MOST_DOMAINS = 20;

/**
 * Domains of the addresses in all From fields, A-labels in lower case, each once. A field that breaks the grammar is read as
 * people's programs read it: what stands in angle brackets is the address, and where there is none, whatever has an @.
 */
export function fromDomains(fields: readonly RawField[]): readonly string[] {
  const found = new Set<string>();
  for (const field of fields) {
    if (field.name !== "from") continue;
    const value = Buffer.from(unfold(rawValue(field)), "latin1").toString("utf8");
    const list = parseAddressList(value);
    const domains = list.ok
      ? list.value.map(({ domain }) => (domain?.kind === "name" ? domain.ascii : undefined))
      : brokenDomains(value);
    for (const domain of domains) {
      const name = domain?.replace(/\.$/, "");
      if (name !== undefined && name !== "" && found.size < MOST_DOMAINS) found.add(name);
    }
  }
  return [...found];
}

function brokenDomains(value: string): readonly string[] {
  const inBrackets = [...value.matchAll(/<[^<>@]*@([^\s<>@]+)>/g)];
  const written = inBrackets.length > 0 ? inBrackets : [...value.matchAll(/@([^\s<>()[\],:;@"\\]+)/g)];
  return written.map(([, domain = ""]) =>
    (/[^\x00-\x7f]/.test(domain) ? domainToASCII(domain) || domain : domain).toLowerCase(),
  );
}
