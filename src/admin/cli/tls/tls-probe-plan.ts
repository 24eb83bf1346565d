import type { Closing, TlsFacts } from "../../../service/tls/facts.ts";
import type { TlsFinding } from "../../../service/tls/finding/finding.ts";

/** What `posthorn tls probe` tries at a host: one connection each, one after the other. */
export interface ProbeTrial {
  readonly name: string;
  readonly about: "usual" | "version" | "group" | "key" | "resumption" | "policy";
  readonly terms: {
    readonly minVersion: ProbeVersion;
    readonly maxVersion?: ProbeVersion | undefined;
    /** OpenSSL's names, with colons. */
    readonly groups?: string;
    readonly signatures?: string;
    readonly ciphers?: string | undefined;
  };
  /** The name to ask for, where it is not the target's. */
  readonly serverName?: string | undefined;
  /** The session of the usual handshake is offered. */
  readonly isResuming?: boolean;
}

export type ProbeVersion = "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";

export interface ProbeTarget {
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte; else STARTTLS. */
  readonly isImplicit: boolean;
  /** For SNI, and what the certificate must be for. */
  readonly name: string;
  /** A file of authorities instead of the system's. */
  readonly caFile?: string | undefined;
  /** For EHLO. */
  readonly helo: string;
}

export interface ProbeReport {
  readonly target: ProbeTarget;
  /** Where the name led: the address that all connections went to. */
  readonly address?: string | undefined;
  readonly greeting?: string | undefined;
  /** Keywords of the answer to EHLO, before and under TLS. */
  readonly offersBefore?: readonly string[] | undefined;
  readonly offersUnderTls?: readonly string[] | undefined;
  /** As sent, the server's own first. */
  readonly chain: readonly ShownCertificate[];
  /** Which authorities were asked, and why none could be. */
  readonly authorities: string;
  readonly trials: readonly ProbeOutcome[];
  /** The probe was cut short: its time was over, or the host could not be reached any more. */
  readonly cutBecause?: string | undefined;
}

export interface ShownCertificate {
  readonly subject: string;
  readonly issuer: string;
  readonly names: readonly string[];
  readonly notAfterAt: number;
  readonly key: string;
  readonly fingerprint: string;
}

export type ProbeOutcome = { readonly trial: ProbeTrial; readonly tookMs: number } & (
  | { readonly ok: true; readonly facts: TlsFacts; readonly closing: Closing; readonly quitReply?: string | undefined }
  | { readonly ok: false; readonly stage: ProbeStage; readonly text: string; readonly finding?: TlsFinding | undefined }
);

/** How far it got. Before `handshake` nothing is said about TLS; `terms`: a handshake as the policy wants it cannot be made at all. */
export type ProbeStage = "connect" | "greeting" | "EHLO" | "STARTTLS" | "terms" | "handshake";

const RSA =
  "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512";
const ECDSA = "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:ed25519";

/** The usual handshake first: what it says of the host stands for the rest. */
export function probeTrials(): readonly ProbeTrial[] {
  const usual = { minVersion: "TLSv1.2" } as const;
  const only = (version: ProbeVersion): ProbeTrial => ({
    name: version,
    about: "version",
    terms: { minVersion: version, maxVersion: version },
  });
  const group = (name: string): ProbeTrial => ({
    name,
    about: "group",
    terms: { minVersion: "TLSv1.3", groups: name },
  });
  return [
    { name: "the usual handshake", about: "usual", terms: usual },
    only("TLSv1.3"),
    only("TLSv1.2"),
    only("TLSv1.1"),
    only("TLSv1"),
    ...["X25519MLKEM768", "X25519", "P-256", "P-384", "P-521"].map(group),
    { name: "RSA certificate", about: "key", terms: { ...usual, signatures: RSA } },
    { name: "ECDSA certificate", about: "key", terms: { ...usual, signatures: ECDSA } },
    { name: "resumption", about: "resumption", terms: usual, isResuming: true },
  ];
}

/** What stands for a delivery: the handshake that the policy makes, or else the usual one. */
export function decidingTrial(trials: readonly ProbeOutcome[]): ProbeOutcome | undefined {
  return trials.find(({ trial }) => trial.about === "policy") ?? trials[0];
}

/** `mx.example`, `mx.example:465`, `[2001:db8::1]:25`, `192.0.2.1`. */
export function parseProbeTarget(
  text: string,
): { readonly host: string; readonly port: number | undefined } | undefined {
  const bracketed = /^\[([0-9A-Fa-f:.]+)\](?::(\d{1,5}))?$/.exec(text);
  const plain = /^([^:[\]\s/]+)(?::(\d{1,5}))?$/.exec(text);
  const isBareIpv6 = /^[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$/.test(text);
  const host = bracketed?.[1] ?? plain?.[1] ?? (isBareIpv6 ? text : undefined);
  const port = bracketed?.[2] ?? plain?.[2];
  if (host === undefined || host.length > 255) return undefined;
  const number = port === undefined ? undefined : Number(port);
  if (number !== undefined && (number < 1 || number > 65_535)) return undefined;
  return { host, port: number };
}

/** Sentences that sum up what was found, for people; what is wrong first. */
export function probeSummary(report: ProbeReport): readonly string[] {
  const of = (name: string): ProbeOutcome | undefined => report.trials.find(({ trial }) => trial.name === name);
  const said: string[] = [];
  const [usual] = report.trials;
  if (usual === undefined) return ["nothing could be tried"];
  if (!usual.ok) return [`${usual.stage}: ${usual.text}`];
  const { verdict } = usual.facts;
  if (verdict.result !== "OK")
    said.push(`the certificate does not verify: ${verdict.problem?.text ?? "no reason is known"}`);
  for (const old of ["TLSv1", "TLSv1.1"])
    if (of(old)?.ok === true) said.push(`${old} is still accepted, which is broken and should be switched off there`);
  if (of("TLSv1.3")?.ok === false) said.push("there is no TLSv1.3");
  if (of("TLSv1.2")?.ok === false) said.push("there is no TLSv1.2: older clients cannot encrypt");
  const endings = report.trials.filter((outcome) => outcome.ok);
  const unclean = endings.filter(({ closing }) => closing.peer !== "close_notify");
  if (unclean.length > 0)
    said.push(
      `${unclean.length} of ${endings.length} connections ended without its close_notify, which loses nothing after QUIT`,
    );
  if (said.length === 0) said.push("nothing is wrong with it");
  return said;
}
