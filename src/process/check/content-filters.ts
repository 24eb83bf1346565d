import type { ContentFilterSetting } from "../../mail/envelope/content-filter.ts";
import { unchained } from "../../mail/filter/named-chains.ts";
import { parseRelay } from "../../mail/route/relay.ts";
import type { SettingPath } from "../../service/config/config.ts";
import type { WrittenSettings } from "../settings/settings.ts";

interface Problem {
  readonly path: SettingPath;
  readonly text: string;
  readonly severity?: "error" | "warning" | undefined;
}

/** What is wrong with the programs that mail goes through: URLs, names, and ways on which it would come round for ever. */
export function contentFilterProblems(settings: WrittenSettings): readonly Problem[] {
  const { contentFilter: common, listeners, rules = [] } = settings;
  const problems: Problem[] = [];
  const check = (filter: ContentFilterSetting | undefined, path: SettingPath): void => {
    if (filter === undefined || filter === "none") return;
    for (const url of filter.to) {
      const relay = parseRelay(url);
      if (!relay.ok) problems.push({ path, text: `expected ${relay.problem.expected}, got ${JSON.stringify(url)}` });
      else if (relay.value.to.kind === "mx")
        problems.push({ path, text: `${JSON.stringify(url)} names no host: a content filter is one program` });
      else {
        const label = relay.value.credentials ?? filter.credentials;
        if (label !== undefined && !Object.hasOwn(settings.credentials, label))
          problems.push({ path, text: `there is no credentials entry ${label}` });
        const { host, port } = relay.value.to.kind === "host" ? relay.value.to : {};
        const own = listeners.find((one) => host !== undefined && one.port === port && isAt(one.address, host));
        if (own !== undefined)
          problems.push({ path, text: `the listener ${own.name} is there: mail would come straight back` });
      }
    }
  };
  check(common, ["contentFilter"]);
  for (const [at, { contentFilter }] of listeners.entries()) check(contentFilter, ["listeners", at, "contentFilter"]);
  const seen = new Map<string, number>();
  for (const [at, { name, contentFilter }] of rules.entries()) {
    const path = ["rules", at];
    check(contentFilter, [...path, "contentFilter"]);
    if (contentFilter !== undefined && contentFilter !== "none" && name === undefined)
      problems.push({
        path: [...path, "contentFilter"],
        text: "a rule with a content filter needs a `name`: mail that waits for the filter is known by it",
      });
    if (name === undefined) continue;
    const earlier = seen.get(name);
    if (earlier === undefined) seen.set(name, at);
    else problems.push({ path: [...path, "name"], text: `there is a rule called ${name} already: rules[${earlier}]` });
  }
  const isSet = (filter: ContentFilterSetting | undefined): boolean => filter !== undefined && filter !== "none";
  const receiving = listeners.filter(({ protocol }) => protocol !== "http");
  if (isSet(common) && receiving.every(({ contentFilter }) => contentFilter === undefined || isSet(contentFilter)))
    problems.push({
      path: ["contentFilter"],
      text: "all listeners send their mail to a filter: where the filter hands it back, one needs `content-filter: none`",
      severity: "warning",
    });
  problems.push(...proxyProblems(settings));
  return problems;
}

/** A program before the queue is asked once: where it hands mail on, it is not asked again. */
function proxyProblems({ filters, filteredBy, listeners }: WrittenSettings): readonly Problem[] {
  return Object.entries(filters).flatMap(([name, { smtpProxy }]): readonly Problem[] => {
    const { return: back, to } = smtpProxy ?? {};
    if (to === undefined) return [];
    const path = ["filters", name, "smtpProxy"];
    const there = listeners.find(
      ({ address, port }) => to.kind === "tcp" && port === to.port && isAt(address, to.host),
    );
    if (there !== undefined)
      return [{ path, text: `the listener ${there.name} is there: mail would come straight back` }];
    if (back === undefined) return [];
    const listener = listeners.find((one) => one.name === back);
    if (listener === undefined) {
      const all = listeners.map((one) => one.name).join(", ");
      return [{ path: [...path, "return"], text: `there is no listener ${back}; there are: ${all}` }];
    }
    if (!unchained(listener.filteredBy ?? filteredBy, filters).includes(name)) return [];
    const text = `the listener ${back} asks it again: give it a \`filtered-by\` without ${name}`;
    return [{ path: [...path, "return"], text }];
  });
}

/** Without an address it listens on all. */
function isAt(address: string | undefined, host: string): boolean {
  const isLoopback = /^127\.|^::1$|^localhost$/.test(host);
  return address === undefined
    ? isLoopback
    : address === host || (host === "localhost" && /^127\.|^::1$/.test(address));
}
