import { z } from "zod";
import { serverFields } from "../pool/settings.ts";
import { parseServerAddress } from "../pool/server-address.ts";
import { TABLE_SERVICES, type TableService } from "../table.ts";
import { keylessProblem } from "../key-parameters.ts";
import { parametersIn, parseTemplate } from "../template.ts";

const scope = z.enum(["base", "one", "sub"]);

/** Text in which a key's parts may stand. */
const template = z.string().superRefine((text, context) => {
  const parsed = parseTemplate(text);
  if (!parsed.ok)
    context.addIssue({
      code: "custom",
      message: `expected ${parsed.problem.expected}, at character ${parsed.problem.at + 1}`,
    });
});

const filter = template.refine(isBalanced, {
  error: "expected a filter such as (&(objectClass=person)(mail=%{key})), with as many ) as (",
});

const searchSettings = z.strictObject({
  filter: filter.describe(
    "What is searched for (RFC 4515), with %{key}, %{user}, %{domain}; their values are escaped.",
  ),
  base: template.optional().describe("Below which entry; else the table's `base`. May hold %{domain} and the like."),
  scope: scope.optional().describe("How deep; else the table's `scope`."),
  attributes: z
    .array(z.string().regex(/^[A-Za-z][A-Za-z0-9;.-]*$/, "expected an attribute's name"))
    .default([])
    .describe(
      "The attributes that are the answer, in their order: all values of all of them for an alias, uid, gid and home for userinfo.",
    ),
});

/** An attribute may be left out where an entry's being there is all, and where the password is only bound with. */
const NEEDS_NO_ATTRIBUTES: ReadonlySet<TableService> = new Set(["domain", "network", "credentials"]);

export const ldapSettings = z
  .strictObject({
    ...serverFields,
    bindDn: z
      .string()
      .min(1)
      .optional()
      .describe(
        "The entry to log in as, with the password. Left out: nobody, as far as the directory lets nobody search.",
      ),
    base: template.describe("The entry below which is searched."),
    scope: scope
      .default("sub")
      .describe("How deep: `base` the entry itself, `one` those directly below, `sub` all below."),
    searches: z
      .partialRecord(z.enum(TABLE_SERVICES), searchSettings)
      .refine((searches) => Object.keys(searches).length > 0, { error: "expected at least one search" })
      .describe(
        "A search for each service (alias, domain, credentials, userinfo ...); `string` answers services without a search of their own.",
      ),
  })
  .superRefine((settings, context) => {
    for (const [service, search] of Object.entries(settings.searches))
      if (search.attributes.length === 0 && !NEEDS_NO_ATTRIBUTES.has(service as TableService))
        context.addIssue({
          code: "custom",
          path: ["searches", service, "attributes"],
          message: "expected the attributes that are the answer",
        });
    for (const [service, search] of Object.entries(settings.searches)) {
      const named = parametersIn(`${search.filter} ${search.base ?? settings.base}`);
      const message = keylessProblem(service as TableService, named);
      if (message !== undefined) context.addIssue({ code: "custom", path: ["searches", service, "filter"], message });
    }
    for (const host of settings.hosts) {
      const address = parseServerAddress(host);
      const scheme = address.ok && address.value.kind === "tcp" ? address.value.scheme : undefined;
      if (scheme !== undefined && scheme !== "ldap" && scheme !== "ldaps")
        context.addIssue({
          code: "custom",
          path: ["hosts"],
          message: `expected ldap:// or ldaps://, not ${scheme}://`,
        });
      if (scheme === "ldaps" && settings.tls === "off")
        context.addIssue({
          code: "custom",
          path: ["tls"],
          message: `${host} is encrypted; expected verify or unverified`,
        });
    }
    if (settings.bindDn !== undefined && settings.password === undefined && settings.passwordFile === undefined)
      context.addIssue({ code: "custom", path: ["bindDn"], message: "expected password-file (or password) beside it" });
  });
export type LdapSettings = z.output<typeof ldapSettings>;

function isBalanced(text: string): boolean {
  if (!text.startsWith("(") || !text.endsWith(")")) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "(") depth++;
    else if (text[at] === ")" && --depth === 0 && at < text.length - 1) return false;
  }
  return depth === 0;
}
