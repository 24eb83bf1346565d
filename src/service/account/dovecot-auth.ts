/**
 * The client's side of Dovecot's authentication protocol, version 1: lines of fields with tabs between them, over a socket
 * that is kept open. The server greets with what it can (`MECH`) and ends its greeting with `DONE`; each question has a
 * number, by which its answer is known.
 *
 *     C: VERSION 1 2        S: VERSION 1 2, MECH PLAIN plaintext, ..., SPID, CUID, COOKIE, DONE
 *     C: CPID 4711
 *     C: AUTH 1 PLAIN service=smtp secured resp=AGFsaWNlAHNlY3JldA==
 *     S: OK 1 user=alice    or    S: FAIL 1 user=alice temp
 */
export type DovecotLine =
  | { readonly kind: "done" }
  | { readonly kind: "mechanism"; readonly name: string }
  | { readonly kind: "ok"; readonly id: number; readonly user: string | undefined }
  /** `isTemporary`: could not be found out. `reason` is the server's word. */
  | { readonly kind: "fail"; readonly id: number; readonly isTemporary: boolean; readonly reason: string | undefined }
  /** The mechanism goes on, which PLAIN with its response never does. */
  | { readonly kind: "continue"; readonly id: number }
  /** Another version than 1. */
  | { readonly kind: "incompatible"; readonly version: string }
  | { readonly kind: "other" };

export function parseDovecotLine(line: string): DovecotLine {
  const [word = "", ...rest] = line.split("\t");
  const fields = rest.map(unescape);
  const id = Number(fields[0]);
  const parameter = (name: string): string | undefined =>
    fields.find((field) => field.startsWith(`${name}=`))?.slice(name.length + 1);
  switch (word) {
    case "VERSION":
      return fields[0] === "1" ? { kind: "other" } : { kind: "incompatible", version: fields[0] ?? "" };
    case "MECH":
      return { kind: "mechanism", name: (fields[0] ?? "").toUpperCase() };
    case "DONE":
      return { kind: "done" };
    case "OK": {
      const isElsewhere = fields.includes("proxy") || parameter("host") !== undefined;
      if (!fields.includes("nologin") || isElsewhere) return { kind: "ok", id, user: parameter("user") };
      // The password is right, and the user may not log in.
      return { kind: "fail", id, isTemporary: fields.includes("temp"), reason: parameter("reason") ?? "nologin" };
    }
    case "CONT":
      return { kind: "continue", id };
    case "FAIL": {
      // `authz`: the user may not be who he wants to be. `user_disabled` and `pass_expired` are a no for people.
      const isTemporary = fields.includes("temp") || parameter("code") === "temp_fail";
      const reason = parameter("reason") ?? parameter("code") ?? fields.find((field) => MARKS.has(field));
      return { kind: "fail", id, isTemporary, reason };
    }
    default:
      return { kind: "other" };
  }
}

const MARKS: ReadonlySet<string> = new Set(["authz", "user_disabled", "pass_expired"]);

/** What a client says first. */
export function dovecotGreeting(processId: number): string {
  return `VERSION\t1\t2\nCPID\t${processId}\n`;
}

export interface DovecotQuestion {
  readonly id: number;
  readonly user: string;
  readonly password: string;
  readonly service: string;
  /** Of the client; Dovecot may let a user in from some networks only (`allow_nets`). */
  readonly address?: string | undefined;
}

/** AUTH PLAIN (RFC 4616). `secured`: the client's connection is no eavesdropper's; who asks us has seen to that. */
export function dovecotQuestion({ id, user, password, service, address }: DovecotQuestion): string {
  const response = Buffer.from(`\0${user}\0${password}`).toString("base64");
  const from = address === undefined ? "" : `\trip=${escape(address)}`;
  return `AUTH\t${id}\tPLAIN\tservice=${escape(service)}\tsecured\tno-penalty${from}\tresp=${response}\n`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\u0001": "\u00011",
  "\t": "\u0001t",
  "\r": "\u0001r",
  "\n": "\u0001n",
  "\0": "\u00010",
};
const ESCAPED: Readonly<Record<string, string>> = { "1": "\u0001", t: "\t", r: "\r", n: "\n", "0": "\0" };

function escape(text: string): string {
  return text.replace(/[\u0001\t\r\n\0]/g, (character) => ESCAPES[character] ?? "");
}

function unescape(text: string): string {
  return text.replace(/\u0001(.)/g, (_, mark: string) => ESCAPED[mark] ?? mark);
}
