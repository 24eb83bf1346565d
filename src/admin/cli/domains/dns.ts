import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import type { ListedCertificate } from "../../../service/tls/keeper/keeper.ts";
import { usage, withServer, type CliCommand, type Given } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import type { DomainAdvice, World } from "../world.ts";

export const dns: CliCommand = {
  name: "dns",
  operands: "[DOMAIN]...",
  leastOperands: 0,
  mostOperands: 100,
  says: "Prints the DNS records that your domains should have (MX, SPF, DKIM, DMARC, MTA-STS, TLSA, TLSRPT, SRV) and checks what is published.",
  explains:
    "Without DOMAIN: the local domains. Each record is ok, MISSING, WRONG (worse than nothing), other (something else that may be as good) or unknown (the DNS gave no answer). What the records say is set under `domain-records` and `autoconfig`. TLSA records come from the certificates that the running server shows. Exits with 1 when a record that is needed is missing or one is wrong, with 75 when something could not be found out.",
  options: {
    zone: { says: "Only the records, as lines for a zone file; nothing is looked up." },
    json: { says: "One JSON object for each domain." },
  },
  async run(given, world) {
    if (given.has("zone") && given.has("json")) throw usage(dns, "expected either --zone or --json");
    const isChecking = !given.has("zone");
    const { hashes, note } = await shownKeys(given, world);
    const question = { domains: given.operands, isChecking, keyHashes: hashes };
    const advice = await world.adviseDomains(given.settingsFile, question);
    if (note !== undefined) world.stderr.write(`${escapeControls(note)}\n`);
    for (const one of advice) {
      if (given.has("json")) world.stdout.write(`${harmlessJson(one)}\n`);
      else if (given.has("zone")) world.stdout.write(one.records.map(({ line }) => `${line}\n`).join(""));
      else world.stdout.write(textOf(one));
    }
    return isChecking ? exitOf(advice) : exitCodes.ok;
  },
};

/** The keys that the server shows under its own name; without a server there are no TLSA records. */
async function shownKeys(
  given: Given,
  world: World,
): Promise<{ readonly hashes: readonly string[]; readonly note?: string }> {
  const { hostname } = await world.locate(given.settingsFile);
  const serves = ({ names, listeners }: ListedCertificate): boolean =>
    listeners.length > 0 && names.some((name) => name === hostname || name === `*.${parentOf(hostname)}`);
  try {
    const { shown } = await withServer(given, world, "query", (server) => server.call("tls.certificates"));
    return { hashes: [...new Set(shown.filter(serves).map(({ keyFingerprint }) => keyFingerprint))] };
  } catch {
    return { hashes: [], note: "the server does not answer: without it there are no TLSA records" };
  }
}

function parentOf(name: string): string {
  return name.slice(name.indexOf(".") + 1);
}

type Advised = DomainAdvice["records"][number];

function textOf({ domain, records, host }: DomainAdvice): string {
  const lines = [domain];
  for (const record of records) lines.push(`  ${wordOf(record).padEnd(8)}${record.line}`, ...explained(record));
  if (!records.some(({ purpose }) => purpose === "dkim"))
    lines.push(
      "  note    no DKIM key is known here: whatever signs the mail says which record it needs (domain-records.dkim)",
    );
  for (const finding of host) lines.push(`  host    ${finding}`);
  return `${lines.map(escapeControls).join("\n")}\n`;
}

function wordOf({ standing, need }: Advised): string {
  switch (standing?.is) {
    case undefined:
      return "";
    case "right":
      return "ok";
    case "missing":
      return need === "needed" ? "MISSING" : "missing";
    case "other":
      return standing.isHarmful ? "WRONG" : "other";
    case "unknown":
      return "unknown";
  }
}

function explained({ standing }: Advised): readonly string[] {
  if (standing?.is === "unknown") return [`          ${standing.text}`];
  if (standing?.is !== "other") return [];
  return [`          ${standing.text}; published:`, ...standing.found.map((one) => `            ${one}`)];
}

function exitOf(advice: readonly DomainAdvice[]): number {
  const all = advice.flatMap(({ records }) => records);
  const isBad = ({ standing, need }: Advised): boolean =>
    (standing?.is === "missing" && need === "needed") || (standing?.is === "other" && standing.isHarmful);
  if (all.some(isBad)) return exitCodes.nothing;
  return all.some(({ standing }) => standing?.is === "unknown") ? exitCodes.temporary : exitCodes.ok;
}
