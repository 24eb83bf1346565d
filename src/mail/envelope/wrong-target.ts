import type { AliasTarget } from "../../protocol/address/alias-targets.ts";
import type { ExpansionStep, WrongTarget } from "./expansion.ts";

/** What can be wrong with a target, in words for its sender and for the log. */
export function chainText(chain: readonly string[]): string {
  return chain.map((one) => `<${one}>`).join(" -> ");
}

/** RFC 3463 X.4.6: a routing loop. */
export function loopOf(chain: readonly string[]): WrongTarget {
  const text = `mail forwarding loop: ${chainText(chain)}`;
  return { code: 550, status: "5.4.6", text, because: text, reason: "loop" };
}

export function unknownUser(address: string): WrongTarget {
  return {
    code: 550,
    status: "5.1.1",
    text: "no such user here",
    because: `nobody is <${address}>`,
    reason: "unknown",
  };
}

export function forbidden(because: string): WrongTarget {
  return {
    code: 550,
    status: "5.7.1",
    text: "this address leads to where mail may not go",
    because,
    reason: "refused",
  };
}

/** RFC 3463 X.2.4: a list that cannot be expanded. */
export function emptyList(steps: readonly ExpansionStep[]): WrongTarget {
  const empty = steps.findLast(({ to }) => to.length === 0);
  return {
    code: 550,
    status: "5.2.4",
    text: "nobody is in this list",
    because: empty === undefined ? "nobody is behind it" : `<${empty.address}>: nobody is in ${empty.where}`,
    reason: "nobody",
  };
}

/** As it is written in a table. */
export function targetText(target: AliasTarget): string {
  switch (target.kind) {
    case "address":
      return target.isFinal ? `\\${target.address}` : target.address;
    case "domain":
      return `@${target.domain}`;
    case "command":
      return `|${target.command}`;
    case "file":
      return target.path;
    case "include":
      return `:include:${target.path}`;
    case "fail":
    case "defer":
      return `:${target.kind}:`;
    case "discard":
      return ":blackhole:";
  }
}
