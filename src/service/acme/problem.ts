/** Why a certificate was not issued, for people. */
export interface AcmeProblem {
  /** RFC 8555 section 6.7 without its prefix (`rateLimited`), or one of our own: `unreachable`, `timeout`, `answer`, `keeper`, `dueAgain`. */
  readonly type: string;
  /** What happened, in one sentence; what the authority said is part of it. */
  readonly text: string;
  /** What usually cures it. */
  readonly cure: string;
  /** What the authority asked us to wait. */
  readonly retryAfterMs?: number | undefined;
}

/** Thrown inside an order; nothing else tells what went wrong. */
export class AcmeFailure extends Error {
  override readonly name = "AcmeFailure";
  readonly problem: AcmeProblem;

  constructor(problem: AcmeProblem) {
    super(problem.text);
    this.problem = problem;
  }
}

const PREFIX = "urn:ietf:params:acme:error:";
const MOST_DETAIL = 400;

const CURES: Readonly<Record<string, string>> = {
  accountDoesNotExist:
    "the authority no longer knows our account: remove its key in the `accounts` folder below `state`/tls",
  badNonce: "the authority lost track of our questions: nothing to do, it is asked again",
  badCSR: "the authority does not take our request: try another key-kind, or ask the authority",
  caa: "the domain's CAA records do not allow this authority: add it to them, or choose another directory",
  compound: "each name has a trouble of its own: see what the authority says of each",
  connection: "the authority cannot connect to this host: does the name lead here, and is the port open to the world?",
  dns: "the authority cannot look the name up: are its A and AAAA records there, and right?",
  externalAccountRequired: "the authority serves known customers only: set `acme.eab` with the key it gave you",
  incorrectResponse:
    "somebody else answers at the name's address: does the name lead to this host, and the port to this server?",
  malformed: "the authority did not understand us: this may be a fault of the server; look for an update",
  rateLimited: "the authority's limit is used up: wait, and do not ask again before the time that is shown",
  rejectedIdentifier: "the authority does not issue for this name: take it out of the certificate",
  serverInternal: "the authority is in trouble itself: nothing to do but wait",
  tls: "the authority met other TLS than that of the challenge: is the port forwarded as it is, without a proxy that speaks TLS?",
  unauthorized: "the authority did not see our answer: does the name lead to this host, and the port to this server?",
  unsupportedIdentifier: "the authority does not issue for this kind of name: take it out of the certificate",
  userActionRequired: "the authority wants you to agree to new terms: see the address in its words",
  invalidContact: "the authority does not take the address: mend `acme.email`",
  unsupportedContact: "the authority does not take the address: mend `acme.email`",
  unreachable: "see that the directory's address is right and that this host may connect to it (firewall, DNS)",
  untrusted: "set `acme.ca-file` to the authorities of that directory, or mend the system's trust store",
  timeout: "the authority is slow or gone: nothing to do but wait",
  answer: "see that `acme.directory` is the address of an ACME directory",
  challenge: "the authority does not offer this kind of challenge for the name: set `acme.challenge` to another",
  dueAgain:
    "see that this machine's clock is right; if it is, the authority issues what has nearly run out: ask it, or choose another",
  keeper: "see the log for what the keeper says",
};

export function acmeProblem(type: string, text: string, retryAfterMs?: number): AcmeProblem {
  const cure = (Object.hasOwn(CURES, type) ? CURES[type] : undefined) ?? "see what the authority says";
  return { type, text, cure, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

/** A problem document (RFC 7807), as an authority sends it. Anything may be in it. */
export interface ProblemDocument {
  readonly type: string;
  readonly detail: string;
}

/** Reads one; undefined when it is none. Subproblems are told with their names. Never throws. */
export function problemDocument(given: unknown): ProblemDocument | undefined {
  if (typeof given !== "object" || given === null) return undefined;
  const { type, detail, subproblems } = given as Record<string, unknown>;
  if (typeof type !== "string" && typeof detail !== "string") return undefined;
  const parts = [typeof detail === "string" ? detail : ""];
  if (Array.isArray(subproblems))
    for (const sub of subproblems.slice(0, 10)) {
      if (typeof sub !== "object" || sub === null) continue;
      const { identifier, detail: words } = sub as Record<string, unknown>;
      const name = (identifier as { value?: unknown } | undefined)?.value;
      if (typeof words === "string") parts.push(`${typeof name === "string" ? `${name}: ` : ""}${words}`);
    }
  const name = typeof type === "string" && type.startsWith(PREFIX) ? type.slice(PREFIX.length) : "refused";
  return {
    type: /^[A-Za-z]{1,40}$/.test(name) ? name : "refused",
    detail: bounded(parts.filter((part) => part !== "").join("; ")),
  };
}

/** What a peer said, on one line and not too long. */
export function bounded(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= MOST_DETAIL ? line : `${line.slice(0, MOST_DETAIL)}…`;
}
