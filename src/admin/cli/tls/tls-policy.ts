import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import type { PolicyReport } from "../../../mail/delivery/tls-policy/policy-report.ts";
import { tlsIdText, type PlaintextRow, type TlsRecord } from "../../../mail/log/tls-journal.ts";
import type { TlsAnswers } from "../../../mail/log/tls-questions.ts";
import { closingText } from "../../../service/tls/told-text.ts";
import { usage, withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { instantText } from "../text.ts";
import { askTls, factLines } from "./tls-ask.ts";
import { recordJsonOf } from "./tls-show.ts";

export const tlsPolicy: CliCommand = {
  name: "tls policy",
  operands: "DESTINATION [HOST]",
  leastOperands: 1,
  mostOperands: 2,
  says: "Shows which encryption a destination gets, by which rule (file and line) and key, and what happened last.",
  explains:
    "DESTINATION is a domain or a next hop as a relay has it (example.org, [192.0.2.1]:25); HOST is one of its hosts, for policies whose keys name hosts.",
  options: { json: { says: "As one JSON object." } },
  async run(given, world) {
    const [destination = "", host] = given.operands;
    const question = { destination, ...(host === undefined ? {} : hostOf(host)) };
    const report = await withServer(given, world, "query", (server) => server.call("tls.policy", question));
    const names = [destination, ...(host === undefined ? [] : [host])].flatMap((name) => [name, bare(name)]);
    const last = await askTls({ ask: "last", peers: [...new Set(names)] }, given, world);
    if (given.has("json")) {
      const records = last.records.map((record) => recordJsonOf({ ...record, flight: undefined }));
      world.stdout.write(`${harmlessJson({ destination, report, last: records, plaintext: last.plaintext })}\n`);
    } else {
      const instant = (at: number): string => instantText(at, world.offsetMinutes);
      const lines = factLines([
        ["destination", destination],
        ...reportFacts(report),
        ["keys tried", report.keysTried.join(" ")],
        ...lastFacts(last, instant),
      ]);
      world.stdout.write(`${lines.map(escapeControls).join("\n")}\n`);
    }
    return report.kind === "failed" ? exitCodes.nothing : exitCodes.ok;

    function hostOf(text: string): { hostName: string; address?: string; port?: number } {
      const parts = /^([^[\]:\s]*)(?:\[([0-9A-Fa-f:.]+)\])?(?::(\d{1,5}))?$/.exec(text);
      if (parts === null)
        throw usage(tlsPolicy, `expected HOST, HOST:PORT or HOST[ADDRESS]:PORT, got ${JSON.stringify(text)}`);
      return {
        hostName: parts[1] ?? "",
        ...(parts[2] === undefined ? {} : { address: parts[2] }),
        ...(parts[3] === undefined ? {} : { port: Number(parts[3]) }),
      };
    }
  },
};

type Facts = readonly (readonly [string, string | undefined])[];

function reportFacts(report: PolicyReport): Facts {
  switch (report.kind) {
    case "found": {
      const { level, ...details } = report.policy;
      return [
        ["level", `${level}: ${LEVELS[level] ?? level}`],
        ["rule", report.where],
        ["key", report.key],
        ...Object.entries(details).flatMap(([name, value]) =>
          value === undefined ? [] : [[name, Array.isArray(value) ? value.join(" ") : String(value)] as const],
        ),
      ];
    }
    case "none":
      return [
        [
          "level",
          `no policy is about it: the relay's URL decides; by mail exchangers: ${MODES[report.byMx] ?? report.byMx}`,
        ],
      ];
    case "failed":
      return [["level", `cannot be found out, so its mail waits: ${report.text}`]];
  }
}

/** The level in one line, with the rule that says so. */
export function policyText(report: PolicyReport): string {
  const where = report.kind === "found" ? ` (${report.where}, key ${report.key})` : "";
  const [, text = ""] = reportFacts(report)[0] ?? [];
  return `${text}${where}`;
}

const LEVELS: Readonly<Record<string, string>> = {
  none: "plaintext, always",
  may: "encrypted when it can be had, else plaintext",
  encrypt: "encrypted or not at all, with any certificate",
  fingerprint: "encrypted or not at all, with a certificate of these fingerprints",
  verify: "encrypted or not at all, with a certificate that is right for the host",
  secure: "encrypted or not at all, with a certificate that is right for the destination",
};

const MODES: Readonly<Record<string, string>> = {
  never: "plaintext, always",
  may: "encrypted when it can be had, else plaintext",
  starttls: "STARTTLS or not at all",
  implicit: "implicit TLS or not at all",
  "starttls-or-implicit": "STARTTLS, else implicit TLS, or not at all",
};

function lastFacts({ records, plaintext }: TlsAnswers["last"], instant: (at: number) => string): Facts {
  if (records.length === 0 && plaintext.length === 0) return [["last", "nothing, as far as the journal reaches"]];
  return [
    ...records.map((record) => ["last", lastText(record, instant)] as const),
    ...plaintext.map((row) => ["plaintext", plaintextText(row, instant)] as const),
  ];
}

function lastText(record: TlsRecord, instant: (at: number) => string): string {
  const { row } = record;
  const head = `${instant(row.at)} ${row.peer}`;
  const rule = row.rule === undefined ? "" : `; by ${row.rule}`;
  if (record.kind === "failure") return `${head} failed: ${record.row.finding.sentence}${rule} (${tlsIdText(row.id)})`;
  const { facts, closed } = record.row;
  const end = closed === undefined ? "" : `; closed ${closingText(closed.closing, closed.moment, closed.after)}`;
  return `${head} worked: ${facts.version}, ${facts.cipher}, verify=${facts.verdict.result}${rule}${end} (${tlsIdText(row.id)})`;
}

function plaintextText(row: PlaintextRow, instant: (at: number) => string): string {
  const mails = row.mails === 1 ? "1 mail" : `${row.mails} mails`;
  return `${mails} to ${row.peer} since ${instant(row.firstAt)}, last ${instant(row.lastAt)}: ${row.rule}`;
}

/** Without brackets, as names are kept. A port stays: another one is another server. */
function bare(text: string): string {
  return text.replace(/^\[(.*)\]$/, "$1");
}
