import { dnsFindingText } from "../../protocol/dns/resolver.ts";
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import type { AutoconfigAnswer, AutoconfigQuestion, DomainAdvice, DomainQuestion } from "../../admin/cli/world.ts";
import { systemClock } from "../../foundation/clock.io.ts";
import { messageOf, PosthornError } from "../../foundation/error.ts";
import { appleProfile } from "../../service/autoconfig/apple.ts";
import { domainOf, loginNameOf } from "../../service/autoconfig/answer.ts";
import { outlookConfig } from "../../service/autoconfig/outlook.ts";
import { thunderbirdConfig } from "../../service/autoconfig/thunderbird.ts";
import type { DnsResolver } from "../../service/dns/dns.ts";
import { createResolver } from "../../service/dns/resolver.io.ts";
import { standingOf, type Standing } from "../../service/autoconfig/compare-records.ts";
import {
  expectedRecords,
  zoneLine,
  type ExpectedRecord,
  type RecordFacts,
} from "../../service/autoconfig/expected-records.ts";
import { publicKeyText } from "../../service/signing/make-key.io.ts";
import { foldDomain } from "../../service/table/pattern.ts";
import { signingKeysOf } from "../settings/dkim-keys.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import type { Settings } from "../settings/settings.ts";
import { mailServicesOf, webHostOf } from "../settings/web-sources.ts";

/** What `posthorn dns` and `posthorn autoconfig` tell: from the settings, and from the DNS as this machine sees it. */
export async function adviseDomains(
  loaded: LoadedSettings,
  question: DomainQuestion,
): Promise<readonly DomainAdvice[]> {
  const { settings } = loaded;
  const domains = question.domains.length > 0 ? question.domains.map(foldDomain) : localDomains(settings);
  const everywhere = settings.domainRecords.dkim.map(({ selector, keyFile }) => ({
    selector,
    ...publicKeyOf(keyFile),
  }));
  // Those of filters that sign are of one domain each.
  const { keys: signing } = await signingKeysOf(loaded);
  await using resolver = createResolver({ clock: systemClock, settings: settings.dns });
  const advice: DomainAdvice[] = [];
  for (const domain of domains) {
    const facts: RecordFacts = {
      domain,
      hostname: settings.hostname,
      settings: settings.domainRecords,
      services: mailServicesOf(settings, domain),
      dkimKeys: [
        ...everywhere,
        ...signing.flatMap((key) =>
          key.domain === domain ? [{ selector: key.selector, ...publicKeyOf(key.file) }] : [],
        ),
      ],
      keyHashes: question.keyHashes,
      webHost: webHostOf(settings),
    };
    const records = await Promise.all(
      expectedRecords(facts).map(async (record) => ({
        ...record,
        line: zoneLine(record),
        ...(question.isChecking ? { standing: await published(resolver, record) } : {}),
      })),
    );
    advice.push({ domain, records, host: question.isChecking ? await hostFindings(resolver, settings.hostname) : [] });
  }
  return advice;
}

/** The documents of autoconfiguration for one address. */
export function autoconfigFor({ settings }: LoadedSettings, question: AutoconfigQuestion): AutoconfigAnswer {
  const domain = domainOf(question.address);
  if (domain === undefined)
    throw new PosthornError("USAGE", {
      message: `${JSON.stringify(question.address)} is no address`,
      advice: "give a whole one: user@domain",
    });
  const services = mailServicesOf(settings, domain);
  if ([services.imap, services.pop3, services.submission].every((each) => each.length === 0))
    return {
      problem:
        "a mail program would be told of no server: add a listener for submission that is reached from elsewhere, or set autoconfig.imap, pop3 or submission",
    };
  const login = loginNameOf(services, question.address);
  switch (question.of) {
    case "thunderbird":
      return { text: thunderbirdConfig(services) };
    case "outlook":
      return { text: outlookConfig(services, login) };
    case "apple": {
      const text = appleProfile(services, question.address, login);
      return text === undefined
        ? {
            problem: "Apple's accounts need a server to read mail from and one to send by: set autoconfig.imap or pop3",
          }
        : { text };
    }
  }
}

function localDomains(settings: Settings): readonly string[] {
  const { domains } = settings.local;
  if (domains === undefined) return [settings.hostname];
  if (domains.kind === "table")
    throw new PosthornError("USAGE", {
      message: `local.domains is the table ${domains.name}, which is not gone through here`,
      advice: "name the domains: posthorn dns example.org",
    });
  const names = domains.items.filter((name) => !/[*!/:]/.test(name) && name !== "localhost");
  return names.map((name) => foldDomain(name.replace(/^@/, "")));
}

function publicKeyOf(file: string): { kind: "rsa" | "ed25519"; key: string } {
  try {
    return publicKeyText(readFileSync(file, "utf8"));
  } catch (thrown) {
    throw new PosthornError("SETTINGS_INVALID", {
      message: `${file}: ${messageOf(thrown)}`,
      advice: "the keys under domain-records.dkim and of filters that sign are PEM files that you may read",
      cause: thrown,
    });
  }
}

async function published(resolver: DnsResolver, record: ExpectedRecord): Promise<Standing> {
  const { name, type } = record;
  if (type !== "CNAME") return standingOf(record, await resolver.texts(name, type));
  const [ipv4, ipv6] = await Promise.all([resolver.ipv4(name), resolver.ipv6(name)]);
  if (ipv4.kind === "found" || ipv6.kind === "found") return { is: "right" };
  const failed = [ipv4, ipv6].find((answer) => answer.kind === "failed");
  return failed === undefined ? { is: "missing" } : { is: "unknown", text: dnsFindingText(failed.finding) };
}

/** The host's own name, forwards and back: many receivers refuse mail from addresses whose name is not theirs. */
async function hostFindings(resolver: DnsResolver, hostname: string): Promise<readonly string[]> {
  const findings: string[] = [];
  const [ipv4, ipv6] = await Promise.all([resolver.ipv4(hostname), resolver.ipv6(hostname)]);
  for (const answer of [ipv4, ipv6])
    if (answer.kind === "failed")
      findings.push(`${hostname}: could not be found out: ${dnsFindingText(answer.finding)}`);
  const addresses = [ipv4, ipv6].flatMap((answer) => (answer.kind === "found" ? answer.records : []));
  if (addresses.length === 0 && findings.length === 0)
    findings.push(`${hostname} has no address: nobody can send to it`);
  const own = new Set(Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? []));
  if (addresses.length > 0 && !addresses.some((address) => own.has(address)))
    findings.push(`none of the addresses of ${hostname} is one of this machine's: that is so behind NAT only`);
  for (const address of addresses) {
    const back = await resolver.ptr(address);
    if (back.kind === "failed")
      findings.push(`${address}: its name could not be found out: ${dnsFindingText(back.finding)}`);
    else if (back.kind === "none") findings.push(`${address} has no name (PTR): many hosts refuse mail from it`);
    else if (!back.records.some((name) => foldDomain(name) === hostname))
      findings.push(`${address} is named ${back.records.join(", ")}, not ${hostname}: the PTR record should say that`);
  }
  return findings;
}
