import { z } from "zod";
import { duration, path } from "../config/kinds.ts";
import { cdbSettings } from "./cdb/settings.ts";
import { ldapSettings } from "./ldap/settings.ts";
import { mysqlSettings } from "./mysql/settings.ts";
import { postgresSettings } from "./postgres/settings.ts";
import { processSettings } from "./process/settings.ts";
import { redisSettings } from "./redis/settings.ts";
import { socketmapSettings } from "./socketmap/settings.ts";
import { sqliteSettings } from "./sqlite/settings.ts";

/** How a text file is written. */
export const TABLE_SYNTAXES = ["file", "aliases", "regexp"] as const;
export type TableSyntax = (typeof TABLE_SYNTAXES)[number];

/** Backends that are asked for one key at a time, a line each: its settings stand in the folder of its name. */
const backends = {
  cdb: cdbSettings.optional().describe("An indexed file, as `posthorn makemap` makes it."),
  sqlite: sqliteSettings.optional().describe("An SQLite database."),
  postgres: postgresSettings.optional().describe("A PostgreSQL database."),
  mysql: mysqlSettings.optional().describe("A MySQL or MariaDB database."),
  ldap: ldapSettings.optional().describe("An LDAP directory."),
  redis: redisSettings.optional().describe("A Redis server."),
  socketmap: socketmapSettings
    .optional()
    .describe("A server that speaks the socketmap protocol of Sendmail and Postfix."),
  process: processSettings.optional().describe("A program of your own that answers lookups."),
};
type Written = { [Kind in keyof typeof backends]: NonNullable<z.output<(typeof backends)[Kind]>> };

export interface KeyedOptions {
  readonly wildcards: boolean;
  readonly timeoutMs: number;
}
/** A table that a backend answers; `options` are the backend's own. */
export type BackendSource = {
  [Kind in keyof Written]: { readonly kind: Kind; readonly options: Written[Kind] } & KeyedOptions;
}[keyof Written];
export type BackendKind = keyof Written;
const BACKEND_KINDS = Object.keys(backends) as readonly BackendKind[];

/** Where a table's content comes from. */
export type InlineSource =
  | { readonly kind: "list"; readonly items: readonly string[] }
  | { readonly kind: "map"; readonly entries: Readonly<Record<string, string>> };
export type TextSource = {
  readonly kind: "file";
  readonly file: string;
  /** Without it: `file`. */
  readonly syntax?: TableSyntax | undefined;
};
export type TableSource = InlineSource | TextSource | BackendSource;

const texts = {
  file: path()
    .optional()
    .describe("A text file: a key and its value on each line, or only a key. It is read again when it changes."),
  aliases: path().optional().describe("A text file in the form of /etc/aliases. It is read again when it changes."),
  regexp: path()
    .optional()
    .describe(
      "A text file of `/pattern/flags value` lines, the first that matches decides. It is read again when it changes.",
    ),
};

const SOURCES = ["list", "map", ...TABLE_SYNTAXES, ...BACKEND_KINDS];

const tableSettings = z
  .strictObject({
    list: z.array(z.string()).optional().describe("Keys, written in place."),
    map: z.record(z.string(), z.string()).optional().describe("Keys and values, written in place."),
    ...texts,
    ...backends,
    wildcards: z
      .boolean()
      .optional()
      .describe(
        "Whether a backend is also asked for `user@`, `@domain`, `.domain`, `*` and networks when the key itself is not there. Default: yes.",
      ),
    timeout: duration({ min: "10ms", max: "5m" })
      .optional()
      .describe("How long a lookup in a backend may take, with all it asks for. Default: 5s."),
  })
  .transform((written, context): TableSource => {
    const given = SOURCES.filter((source) => written[source as keyof typeof written] !== undefined);
    if (given.length !== 1) {
      context.addIssue({ code: "custom", message: `expected exactly one of ${SOURCES.join(", ")}` });
      return z.NEVER;
    }
    const isKept = BACKEND_KINDS.every((each) => written[each] === undefined);
    for (const option of ["wildcards", "timeout"] as const)
      if (isKept && written[option] !== undefined) {
        context.addIssue({ code: "custom", message: `is for tables that a backend answers`, path: [option] });
        return z.NEVER;
      }
    if (written.list !== undefined) return { kind: "list", items: written.list };
    if (written.map !== undefined) return { kind: "map", entries: written.map };
    for (const syntax of TABLE_SYNTAXES) {
      const file = written[syntax];
      if (file !== undefined) return { kind: "file", file, ...(syntax === "file" ? {} : { syntax }) };
    }
    const kind = BACKEND_KINDS.find((each) => written[each] !== undefined);
    // The kind's own schema made these options, so the pair is one of the union.
    return {
      kind,
      options: kind === undefined ? undefined : written[kind],
      wildcards: written.wildcards ?? true,
      timeoutMs: written.timeout ?? 5000,
    } as BackendSource;
  });

export const tablesSettings = z
  .record(z.string().regex(/^[A-Za-z][A-Za-z0-9._-]*$/, "expected a name of letters, digits, - and _"), tableSettings)
  .default({})
  .describe("Lists and maps by name, for `table:name` elsewhere.");
export type TablesSettings = z.output<typeof tablesSettings>;
