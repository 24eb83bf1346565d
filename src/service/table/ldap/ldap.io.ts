import type { KeyedBackend } from "../keyed-backend.ts";
import { keyParameters } from "../key-parameters.ts";
import { pooledBackend, type PoolWorld } from "../pool/pooled-backend.ts";
import { rowValue } from "../row-value.ts";
import { TABLE_SERVICES, type TableService } from "../table.ts";
import { expandTemplate, hasParameters, parseTemplate, type Template } from "../template.ts";
import { inWords, ldapDriver, type LdapConnection } from "./connection.io.ts";
import { entryRows, type LdapEntry } from "./entry-rows.ts";
import { escapeDnValue, escapeFilterValue } from "./escape.ts";
import type { LdapSettings } from "./settings.ts";

/** More entries than this for one key are no answer but a mistake in the filter. */
const MOST_ENTRIES = 10_000;

/** A directory, by LDAP. `password` belongs to `bindDn`. */
export async function ldapBackend(
  table: string,
  settings: LdapSettings,
  password: string | undefined,
  world: PoolWorld,
): Promise<KeyedBackend> {
  const searchFor = await ldapSearch(settings);
  const driver = await ldapDriver(settings, bindOf(settings, password), world.trust);
  return pooledBackend(
    {
      table,
      kind: "ldap",
      settings,
      driver,
      services:
        settings.searches.string === undefined
          ? TABLE_SERVICES.filter((service) => settings.searches[service] !== undefined)
          : undefined,
      probed: TABLE_SERVICES.filter((service) => settings.searches[service] !== undefined).map((service) => ({
        service,
        path: ["searches", service],
      })),
      async ask(connection, key, service) {
        const attributes = (settings.searches[service] ?? settings.searches.string)?.attributes ?? [];
        if (attributes.length === 0 && service !== "domain" && service !== "network")
          return { kind: "failed", text: `the search for ${service} names no attributes` };
        const entries = await searchFor(connection, key, service, attributes);
        if (typeof entries === "string") return { kind: "failed", text: entries };
        const rows = entryRows(service, attributes, entries);
        return typeof rows === "string" ? { kind: "failed", text: rows } : rowValue(service, rows);
      },
    },
    world,
  );
}

export function bindOf(
  settings: LdapSettings,
  password: string | undefined,
): { readonly dn: string; readonly password: string } | undefined {
  if (settings.bindDn === undefined) return undefined;
  // RFC 4513 section 5.1.2: a name with an empty password logs nobody in, and says that it worked.
  if (password === undefined || password === "") throw new Error(`the password for ${settings.bindDn} is empty`);
  return { dn: settings.bindDn, password };
}

/** Runs the search of a service; text says what is wrong with it. Rejects when the server or the connection fails. */
export type LdapSearch = (
  connection: LdapConnection,
  key: string,
  service: TableService,
  attributes: readonly string[],
) => Promise<readonly LdapEntry[] | string>;

export async function ldapSearch(settings: LdapSettings): Promise<LdapSearch> {
  const { NoSuchObjectError } = await import("ldapts");
  const timeLimit = Math.max(1, Math.ceil(settings.queryTimeout / 1000));
  return async (connection, key, service, attributes) => {
    const search = settings.searches[service] ?? settings.searches.string;
    if (search === undefined) return `there is no search for ${service}`;
    const base = templateOf(search.base ?? settings.base);
    const values = keyParameters(key, service);
    connection.begin();
    try {
      const found = await connection.client.search(expandTemplate(base, values, escapeDnValue), {
        scope: search.scope ?? settings.scope,
        filter: expandTemplate(templateOf(search.filter), values, escapeFilterValue),
        // RFC 4511 section 4.5.1.8: `1.1` asks for no attributes.
        attributes: attributes.length === 0 ? ["1.1"] : [...attributes],
        timeLimit,
        // With a limit of ours the library would take a part for the whole.
        sizeLimit: 0,
      });
      const { searchEntries } = found;
      return searchEntries.length > MOST_ENTRIES ? `more than ${MOST_ENTRIES} entries for one key` : searchEntries;
    } catch (thrown) {
      // A base that comes from the key need not be there; one that was written should.
      if (thrown instanceof NoSuchObjectError && hasParameters(base)) return [];
      throw inWords(thrown);
    }
  };
}

/** The settings refused what cannot be parsed. */
function templateOf(text: string): Template {
  const parsed = parseTemplate(text);
  return parsed.ok ? parsed.value : { pieces: [text] };
}
