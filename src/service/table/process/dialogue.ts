import { TABLE_SERVICES, type TableAnswer, type TableService } from "../table.ts";

/**
 * Our side of the table protocol of OpenSMTPD 7.8 (smtpd-tables(7), version 0.1), as a machine over lines. First the
 * handshake: our `config|...` lines, answered by `register|service` for each service that the program can answer and
 * `register|ready`. Then requests, many at a time, and results in any order:
 *
 *     table|0.1|1713795082.354255|devs|lookup|alias|b72508d|op        lookup-result|b72508d|found|op@example.org
 *     table|0.1|1713795103.314423|devs|check|netaddr|e5862859|::1     check-result|e5862859|not-found
 *     table|0.1|1713795116.227321|devs|fetch|source|189bd3ee          fetch-result|189bd3ee|found|192.168.1.7
 *     table|0.1|1713795097.394049|devs|update|478ff0d2                update-result|478ff0d2|error|no database
 *
 * `|` separates fields; in the last one it is a character like others. Where the manual page's example answers a fetch with
 * `lookup-result`, and programs answer everything with the word they have, the id decides, not the word.
 */
export interface TableDialogue {
  /** What is said first. */
  readonly greeting: readonly string[];
  /** What the program offers; undefined until it has said so. */
  readonly services: readonly TableService[] | undefined;
  /** Requests without an answer yet. */
  readonly waiting: number;
  /** The line that asks, or why it cannot be asked; only when `services` are known. The first one is `atMs` since the epoch. */
  ask(service: AskedService, key: string, atMs: number): Asked;
  onLine(line: string): Heard;
}

/** `auth`: whether the key, `account:password`, is right. A service of the protocol that no other table has. */
export type AskedService = TableService | "auth";

export type Asked =
  | { readonly kind: "line"; readonly id: string; readonly line: string }
  /** `isUnknown`: the program does not have the service. `isNone`: no program can have such a key. */
  | { readonly kind: "refused"; readonly text: string; readonly isUnknown?: boolean; readonly isNone?: boolean };

export type Heard =
  | { readonly kind: "nothing" }
  | { readonly kind: "ready" }
  | { readonly kind: "answer"; readonly id: string; readonly answer: TableAnswer }
  /** A line that is no answer to anything. Nothing was lost by it. */
  | { readonly kind: "garbage"; readonly text: string }
  /** The program does not speak this protocol: end it. */
  | { readonly kind: "broken"; readonly text: string };

type Operation = "lookup" | "check" | "fetch";

const VERSION = "0.1";
/** Whose protocol this is; programs may look. */
const SPOKEN_AS = "7.8.0";
/** A line that is only half one hides nothing. */
const SHOWN_CHARACTERS = 100;

export function tableDialogue(table: string): TableDialogue {
  const offered = new Set<string>();
  const asked = new Map<string, { readonly operation: Operation; readonly where: string }>();
  let services: readonly TableService[] | undefined;
  let number = 0;

  const register = (line: string): Heard => {
    const name = /^register\|([a-z-]+)$/.exec(line)?.[1];
    if (name === undefined) return { kind: "broken", text: `it answered the handshake with ${shown(line)}` };
    if (name !== "ready") {
      offered.add(name);
      return { kind: "nothing" };
    }
    services = TABLE_SERVICES.filter((service) => wayTo(service, offered) !== undefined);
    if (offered.size === 0) return { kind: "broken", text: "it registered no service" };
    if (services.length > 0 || offered.has("auth")) return { kind: "ready" };
    return { kind: "broken", text: `it registered only ${[...offered].join(", ")}, which nobody here asks for` };
  };

  return {
    greeting: [`config|smtpd-version|${SPOKEN_AS}`, `config|protocol|${VERSION}`, `config|tablename|${table}`, READY],
    get services() {
      return services;
    },
    get waiting() {
      return asked.size;
    },
    ask(service, key, atMs) {
      const way = wayTo(service, offered);
      if (way === undefined)
        return {
          kind: "refused",
          text: `it does not answer for ${service}, only for ${[...offered].join(", ")}`,
          isUnknown: true,
        };
      // Each line is a request of its own: what would end one is in no key.
      if (UNFIT.test(key))
        return { kind: "refused", text: "a key with a line break in it cannot be asked for", isNone: true };
      if (key.length > MOST_KEY_CHARACTERS)
        return { kind: "refused", text: `a key of ${key.length} characters is too long to ask for` };
      number = (number + 1) % 2 ** 32;
      const id = number.toString(16).padStart(8, "0");
      const [operation, name] = way;
      const fields = ["table", VERSION, timestamp(atMs), table, operation, name, id];
      asked.set(id, { operation, where: `${table}:${name}` });
      return { kind: "line", id, line: [...fields, ...(operation === "fetch" ? [] : [key])].join("|") };
    },
    onLine(line) {
      if (services === undefined) return register(line);
      // A program that echoes what it reads must not write passwords into the log.
      const told = offered.has("auth") ? "something" : shown(line);
      const parts = /^(?:lookup|check|fetch|update)-result\|([^|]*)\|(.*)$/s.exec(line);
      if (parts === null) return { kind: "garbage", text: `wrote ${told}, which is no result` };
      const [, id = "", result = ""] = parts;
      const question = asked.get(id);
      if (question === undefined)
        return { kind: "garbage", text: `answered ${told}, which nobody asked (or no longer waits for)` };
      asked.delete(id);
      return { kind: "answer", id, answer: answerOf(result, question.operation, question.where) };
    },
  };
}

const READY = "config|ready";
const UNFIT = /[\r\n\0]/;
const MOST_KEY_CHARACTERS = 16_384;

/**
 * How a service of ours is asked for: the operation that OpenSMTPD uses for it, and its name there. What only has to be
 * there is checked; addresses to connect from come in turn, whatever the key.
 */
const SPOKEN: ReadonlyMap<AskedService, readonly [Operation, ...(readonly string[])]> = new Map([
  ["alias", ["lookup", "alias"]],
  ["domain", ["check", "domain"]],
  ["credentials", ["lookup", "credentials"]],
  ["network", ["check", "netaddr"]],
  ["userinfo", ["lookup", "userinfo"]],
  ["source", ["fetch", "source"]],
  ["address", ["check", "mailaddr"]],
  ["addressname", ["lookup", "addrname"]],
  // OpenSMTPD has no such services: a program written for us may name them, another answers as for any text.
  ["certificate", ["lookup", "certificate", "string"]],
  ["tls-policy", ["lookup", "tls-policy", "string"]],
  ["string", ["lookup", "string"]],
  ["auth", ["check", "auth"]],
]);

function wayTo(service: AskedService, offered: ReadonlySet<string>): readonly [Operation, string] | undefined {
  const [operation, ...names] = SPOKEN.get(service) ?? [];
  const name = names.find((each) => offered.has(each));
  return operation === undefined || name === undefined ? undefined : [operation, name];
}

function answerOf(result: string, operation: Operation, where: string): TableAnswer {
  if (result === "not-found") return { kind: "none" };
  if (result === "found" && operation === "check") return { kind: "found", value: "", where };
  // A value where none was asked for says the same, and what there is to say.
  if (result.startsWith("found|")) {
    const value = result.slice("found|".length);
    if (value !== "" || operation === "check") return { kind: "found", value, where };
    return { kind: "failed", text: "it found the key, and gave an empty value" };
  }
  if (result === "error") return { kind: "failed", text: "it reported an error" };
  if (result.startsWith("error|")) return { kind: "failed", text: shown(result.slice("error|".length)) };
  return { kind: "failed", text: `it answered ${shown(result)}, which is no result` };
}

/** Seconds and microseconds. */
function timestamp(atMs: number): string {
  const micros = Math.round(atMs * 1000);
  return `${Math.floor(micros / 1e6)}.${String(micros % 1e6).padStart(6, "0")}`;
}

function shown(text: string): string {
  return text.length <= SHOWN_CHARACTERS
    ? JSON.stringify(text)
    : `${JSON.stringify(text.slice(0, SHOWN_CHARACTERS))}...`;
}
