import { isLoopback } from "../../service/table/networks.ts";
import { localNames } from "../../mail/envelope/local-names.ts";
import type { WebSources } from "../../service/autoconfig/answer.ts";
import { mailServices, type MailServices, type SubmissionListener } from "../../service/autoconfig/services.ts";
import { policyText } from "../../service/autoconfig/expected-records.ts";
import { tableFor, type Tables } from "../../service/table/tables.ts";
import type { Settings } from "./settings.ts";

/** What listeners with `protocol: http` answer from: the settings, and the tables that they name. */
export function webSourcesOf(settings: Settings, tables: Tables): WebSources {
  const { autoconfig, domainRecords, hostname } = settings;
  const served = autoconfig.domains && tableFor(tables, autoconfig.domains, "autoconfig.domains");
  const local = localNames(settings.local, hostname, tables);
  const isLocal = async (domain: string): Promise<boolean | "failed"> => {
    const holds = await local.isLocalDomain(domain);
    return typeof holds === "boolean" ? holds : "failed";
  };
  const isServed = async (domain: string): Promise<boolean | "failed"> => {
    if (autoconfig.domains === undefined) return isLocal(domain);
    const answer = await served?.has(domain, { service: "domain" });
    return answer === undefined || answer.kind === "failed" ? "failed" : answer.kind === "found" && answer.value;
  };
  return {
    async services(domain) {
      const is = await isServed(domain);
      return is === "failed" ? is : is ? mailServicesOf(settings, domain) : "none";
    },
    async policy(domain) {
      const policy = policyText(domainRecords, hostname);
      if (policy === undefined) return "none";
      const is = await isLocal(domain);
      return is === "failed" ? is : is ? { text: policy } : "none";
    },
  };
}

/** What programs of a domain's users are told. */
export function mailServicesOf(settings: Settings, domain: string): MailServices {
  return mailServices(settings.autoconfig, submissionListenersOf(settings), domain);
}

/** Where users can hand in mail from elsewhere. */
function submissionListenersOf({ listeners, hostname }: Settings): readonly SubmissionListener[] {
  return listeners.flatMap(({ protocol, port, address, tls, hostname: own }) => {
    if (protocol !== "submission" || port === undefined || tls === "off") return [];
    if (address !== undefined && isLoopback(address)) return [];
    return [{ host: own ?? hostname, port, tls: tls === "implicit" ? "implicit" : "starttls" } as const];
  });
}

/** The name under which other hosts reach our listeners for HTTP; undefined when there is none. */
export function webHostOf({ listeners, hostname }: Settings): string | undefined {
  const listener = listeners.find(({ protocol }) => protocol === "http");
  return listener === undefined ? undefined : (listener.hostname ?? hostname);
}
