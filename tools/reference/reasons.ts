import { failureText } from "../../src/mail/envelope/failure-text.ts";
import type { Cause, CauseKind, Failure } from "../../src/mail/envelope/failure.ts";

/**
 * docs/reference/reasons.md: why mail could not go, each reason with what it means and how the log writes it. The type
 * makes the table complete; the lines are made by the code that makes them for the log.
 */
export function reasonsReference(): string {
  const entries = Object.entries(REASONS).map(
    ([kind, { means, examples }]) =>
      `## ${kind}\n\n${means}\n\n${examples.map((example) => `    ${failureText(failureOf(example))}\n`).join("")}`,
  );
  return `${INTRODUCTION}\n${entries.join("\n")}`;
}

const INTRODUCTION = `# Reasons

Why an envelope was not delivered: the closed list that the log, \`posthorn queue show\`, the journal and bounces share. Below
each stands what the log and the list of attempts say. Whether a failure is for good or for now is not the reason's
matter: a reply of 5xx is for good, one of 4xx is not, and where Posthorn judges by itself it says "for now" in doubt.
This page is generated from the code.
`;

interface Reason {
  readonly means: string;
  readonly examples: readonly Example[];
}

type Example = Cause & { readonly said?: { readonly code: number; readonly status: string; readonly text: string } };

const HOST = "mx.example.org[192.0.2.9]:25";

function failureOf({ said, ...cause }: Example): Failure {
  return {
    lasting: "temporary",
    status: "4.0.0",
    host: HOST,
    cause,
    ...(said === undefined ? {} : { reply: { code: said.code, status: said.status, lines: [said.text] } }),
  };
}

const REASONS: Readonly<Record<CauseKind, Reason>> = {
  reply: {
    means: "The next host answered with a refusal, to the command that is named.",
    examples: [
      { kind: "reply", during: "RCPT", said: { code: 550, status: "5.1.1", text: "No such user" } },
      { kind: "reply", during: "end of DATA", said: { code: 451, status: "4.7.1", text: "Greylisted" } },
    ],
  },
  dns: {
    means: "A name could not be looked up: no usable answer within the time. Tried again.",
    examples: [
      {
        kind: "dns",
        finding: {
          name: "example.org",
          type: "MX",
          reason: "timeout",
          text: "no answer from 192.0.2.53",
          server: "192.0.2.53:53",
        },
      },
    ],
  },
  "no-such-domain": {
    means: "The recipient's domain does not exist.",
    examples: [{ kind: "no-such-domain", domain: "exmaple.org" }],
  },
  "null-mx": {
    means: "The domain says that it takes no mail (RFC 7505).",
    examples: [{ kind: "null-mx", domain: "example.org" }],
  },
  "mx-loop": {
    means:
      "The domain's best mail server is this host, but no rule makes the domain local: name it in `local.domains`, or mend the MX records.",
    examples: [{ kind: "mx-loop", domain: "example.org" }],
  },
  "no-address": {
    means:
      "The domain's mail servers, or the relay of the settings, have no address; or the domain has neither mail servers nor an address.",
    examples: [
      { kind: "no-address", host: "mx.example.org" },
      { kind: "no-address", host: "example.org", isDomain: true },
    ],
  },
  connect: {
    means: "No connection came about. All addresses of all mail servers are tried before it counts.",
    examples: [
      { kind: "connect", reason: "refused", text: "Connection refused" },
      { kind: "connect", reason: "timeout", text: "" },
    ],
  },
  lost: {
    means: "The connection ended, or the other side went silent, in the middle. What it said before is kept.",
    examples: [
      { kind: "lost", reason: "closed", during: "DATA" },
      { kind: "lost", reason: "timeout", during: "end of DATA" },
    ],
  },
  protocol: {
    means: "The other side's answer was none that SMTP or LMTP knows.",
    examples: [{ kind: "protocol", during: "EHLO", text: "a reply without a code" }],
  },
  tls: {
    means:
      "Encryption was asked for, by the relay's scheme or by `verify`, and could not be had. Nothing was sent in plaintext.",
    examples: [
      { kind: "tls", reason: "not-offered", text: "" },
      { kind: "tls", reason: "unverified", text: "self-signed certificate" },
    ],
  },
  auth: {
    means: "We could not log in to the relay.",
    examples: [
      { kind: "auth", reason: "refused", text: "", said: { code: 535, status: "5.7.8", text: "Bad credentials" } },
      { kind: "auth", reason: "not-encrypted", text: "" },
    ],
  },
  unsupported: {
    means:
      "The next host lacks an extension that this message cannot do without, or the settings keep us from using it. Nothing is converted.",
    examples: [
      { kind: "unsupported", extension: "SMTPUTF8" },
      { kind: "unsupported", extension: "BINARYMIME", isWithheld: true },
    ],
  },
  mailbox: {
    means: "The mailbox could not be written.",
    examples: [
      { kind: "mailbox", reason: "locked", text: "" },
      { kind: "mailbox", reason: "full", text: "ENOSPC" },
    ],
  },
  command: { means: "A delivery command failed.", examples: [{ kind: "command", text: "exit status 1" }] },
  alias: {
    means:
      "An alias or a `.forward` file leads in a circle, to too many addresses, to a list with nobody in it, or to an address that cannot be used.",
    examples: [
      { kind: "alias", reason: "loop", text: "a@example.org, b@example.org, a@example.org" },
      { kind: "alias", reason: "unknown", text: "jane@example.org: no such user here" },
    ],
  },
  "not-tried": {
    means:
      "The next host did not take other mail, and this was kept from it meanwhile. What that mail was told is not repeated here.",
    examples: [{ kind: "not-tried" }],
  },
  hops: {
    means: "The message carries more Received fields than `session.hops` allows: it goes round in a circle.",
    examples: [{ kind: "hops", count: 101 }],
  },
  expired: {
    means: "It was tried for `scheduler.expire-after`. The last attempt's failure stands beside it.",
    examples: [{ kind: "expired", afterMs: 345_600_000 }],
  },
  "deliver-by": {
    means: "The time that the sender set with DELIVERBY (RFC 2852) is over.",
    examples: [{ kind: "deliver-by", at: 0 }],
  },
  settings: {
    means: "The settings no longer have the action, or the credentials, that the envelope needs. Mend them and reload.",
    examples: [{ kind: "settings", text: "there is no action out" }],
  },
  operator: { means: "Somebody said `posthorn queue bounce`.", examples: [{ kind: "operator", text: "not wanted" }] },
  internal: {
    means:
      "Our own side failed: a process ended, the content could not be read. Tried again soon; it does not count as an attempt.",
    examples: [{ kind: "internal", text: "egress is not there" }],
  },
};
