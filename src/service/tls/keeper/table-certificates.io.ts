import type { Result } from "../../../foundation/result.ts";
import { ok, refused } from "../../../foundation/result.ts";
import type { Table, TableEntry } from "../../table/table.ts";
import { bundleOf } from "./bundle.ts";
import type { CertificatePair } from "./certificate.ts";
import type { CertificateAnswer } from "./keeper.ts";
import { loadFiles } from "./source.io.ts";
import { parseTableValue } from "./table-value.ts";

/** A certificate table: host name (or `*.example.org`) → certificate, key and chain, as files or as PEM text. */
export interface TableCertificates {
  /** For this name, in lower case; the name itself goes before a wildcard, which is for exactly one label. */
  find(name: string): Promise<CertificateAnswer>;
  readonly canGoThrough: boolean;
  /** Goes through the whole table, as far as its backend can. `onProblem` hears of entries that give no certificate. */
  each(onPair: (pair: CertificatePair, entry: TableEntry) => void, onProblem: (text: string) => void): Promise<void>;
}

/** `directory` is where files that a value names are looked for, and the only place. */
export function tableCertificates(name: string, table: Table | undefined, directory?: string): TableCertificates {
  const pairsOf = async (entry: TableEntry): Promise<Result<readonly CertificatePair[], string>> => {
    const value = parseTableValue(entry.value ?? "", directory);
    if (!value.ok) return refused(value.problem);
    const { pairs, problems } =
      value.value.kind === "files" ? await loadFiles(value.value.files) : bundleOf(value.value.text, entry.where);
    if (pairs.length === 0) return refused(problems[0] ?? "gives no certificate");
    return ok(pairs.map((pair) => ({ ...pair, names: [entry.key] })));
  };
  return {
    canGoThrough: table?.entries !== undefined,
    async find(host) {
      if (table === undefined) return { kind: "failed", text: `there is no table ${name}` };
      const dot = host.indexOf(".");
      for (const key of dot > 0 ? [host, `*${host.slice(dot)}`] : [host]) {
        const answer = await table.exact(key);
        if (answer.kind === "failed") return { kind: "failed", text: `table ${name}: ${answer.text}` };
        if (answer.kind === "none") continue;
        const pairs = await pairsOf({ key, value: answer.value, where: answer.where });
        if (!pairs.ok) return { kind: "failed", text: `${answer.where}: ${key}: ${pairs.problem}` };
        return { kind: "found", pairs: pairs.value, version: pairs.value.map((pair) => pair.version).join(" ") };
      }
      return { kind: "none" };
    },
    async each(onPair, onProblem) {
      const answer = await table?.entries?.();
      if (answer?.kind === "failed") onProblem(`table ${name}: ${answer.text}`);
      if (answer?.kind !== "found") return;
      for (const entry of answer.value) {
        const pairs = await pairsOf(entry);
        if (pairs.ok) for (const pair of pairs.value) onPair(pair, entry);
        else onProblem(`${entry.where}: ${entry.key}: ${pairs.problem}`);
      }
    },
  };
}
