import { dnsFindingText, type DnsAnswer } from "../../protocol/dns/resolver.ts";
import type { ExpectedRecord } from "./expected-records.ts";

/**
 * What is published, against what is expected. A record of one's own making that serves the purpose is not wrong: `other`
 * says that there is one and what it says.
 */
export type Standing =
  | { readonly is: "right" }
  | { readonly is: "missing" }
  /** There is something else; `isHarmful`: worse than nothing. */
  | { readonly is: "other"; readonly found: readonly string[]; readonly isHarmful: boolean; readonly text: string }
  | { readonly is: "unknown"; readonly text: string };

/** `published`: all records of that name and type, in the form of `ExpectedRecord.value`. */
export function standingOf(expected: ExpectedRecord, published: DnsAnswer<readonly string[]>): Standing {
  if (published.kind === "failed") return { is: "unknown", text: dnsFindingText(published.finding) };
  if (published.kind === "none") return { is: "missing" };
  const found = published.records;
  switch (expected.purpose) {
    case "mx":
      // Whether it is the first choice is the domain's own matter.
      if (found.some((one) => hostOf(one) === hostOf(expected.value))) return { is: "right" };
      return other(found, true, "mail for the domain goes elsewhere");
    case "spf":
      return oneText(
        expected,
        found,
        /^v=spf1(?: |$)/i,
        "receivers take two SPF records for an error (RFC 7208 section 4.5)",
      );
    case "dmarc":
      return oneText(
        expected,
        found,
        /^v=DMARC1\s*(?:;|$)/,
        "receivers ignore DMARC with two records (RFC 7489 section 6.6.3)",
      );
    case "tls-reports":
      return oneText(expected, found, /^v=TLSRPTv1\s*(?:;|$)/, "senders ignore two records (RFC 8460 section 3)");
    case "mta-sts": {
      const standing = oneText(
        expected,
        found,
        /^v=STSv1\s*(?:;|$)/,
        "senders ignore two records (RFC 8461 section 3.1)",
      );
      return standing.is === "other" && !standing.isHarmful
        ? { ...standing, text: "has to change whenever the policy does; another id is as good as this one" }
        : standing;
    }
    case "dkim": {
      if (found.some((one) => tagOf(one, "p") === tagOf(expected.value, "p"))) return { is: "right" };
      return other(found, true, "signatures with this selector fail: it is another key");
    }
    case "dane": {
      if (found.some((one) => foldTlsa(one) === foldTlsa(expected.value))) return { is: "right" };
      return other(found, true, "senders that check DANE defer mail unless one of these matches what we show");
    }
    case "submission":
    case "imap":
    case "pop3":
    case "autodiscover": {
      const [, , port, target] = expected.value.split(" ");
      const isSame = (one: string): boolean => {
        const [, , thatPort, thatTarget] = one.toLowerCase().split(" ");
        return thatPort === port && thatTarget === target;
      };
      if (found.some(isSame)) return { is: "right" };
      const isRefused = found.every((one) => one.endsWith(" ."));
      return other(found, false, isRefused ? "says that the service is not offered" : "names another place");
    }
    case "autoconfig":
    case "mta-sts-host":
      // An address, or an alias of whatever else leads here, is as good.
      return { is: "right" };
  }
}

function oneText(expected: ExpectedRecord, found: readonly string[], kind: RegExp, twice: string): Standing {
  const fitting = found.filter((one) => kind.test(one));
  if (fitting.length === 0) return { is: "missing" };
  if (fitting.length > 1) return other(fitting, true, twice);
  if (fold(fitting[0] ?? "") === fold(expected.value)) return { is: "right" };
  return other(fitting, false, "says something else");
}

function other(found: readonly string[], isHarmful: boolean, text: string): Standing {
  return { is: "other", found, isHarmful, text };
}

function hostOf(mx: string): string {
  return mx.slice(mx.indexOf(" ") + 1).toLowerCase();
}

function fold(text: string): string {
  return text.replaceAll(/\s+/g, "").replace(/;$/, "");
}

function foldTlsa(text: string): string {
  return text.toLowerCase().replaceAll(/\s+/g, " ");
}

function tagOf(text: string, tag: string): string | undefined {
  for (const part of text.split(";")) {
    const [name, ...value] = part.split("=");
    if (name?.trim() === tag) return value.join("=").replaceAll(/\s+/g, "");
  }
  return undefined;
}
