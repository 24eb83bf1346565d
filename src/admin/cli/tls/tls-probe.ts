import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import { closingText } from "../../../service/tls/told-text.ts";
import type { PolicyReport } from "../../../mail/delivery/tls-policy/policy-report.ts";
import { PosthornError } from "../../../foundation/error.ts";
import { usage, withServer, type CliCommand, type Given } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { endText, instantText } from "../text.ts";
import { textTable } from "../text-table.ts";
import { factLines } from "./tls-ask.ts";
import { policyTrial, probedPolicy, type ProbedPolicy } from "./tls-probe-policy.ts";
import {
  decidingTrial,
  parseProbeTarget,
  probeSummary,
  type ProbeOutcome,
  type ProbeReport,
} from "./tls-probe-plan.ts";
import type { World } from "../world.ts";

export const tlsProbe: CliCommand = {
  name: "tls probe",
  operands: "HOST[:PORT]",
  leastOperands: 1,
  mostOperands: 1,
  says: "Looks at a host's TLS from here: what it offers, its chain, each version and group, resumption, how it closes, and what the policy makes of it.",
  explains:
    "Connects some dozen times, one after the other, from this process; sends no mail and no login. Where a server runs, it is asked for its policy, and the handshake is tried with the versions, ciphers and name which that sets. Without a port, 25 with STARTTLS, or 465 with --implicit; on port 465 TLS is implicit. Exits with 1 when that handshake (else the usual one) fails or the certificate does not verify.",
  options: {
    implicit: { says: "TLS from the first byte." },
    starttls: { says: "STARTTLS, on port 465 too." },
    name: { says: "The name to ask for, and that the certificate must be for (HOST).", value: "NAME" },
    "ca-file": { says: "Authorities in PEM form, instead of the system's.", value: "FILE" },
    json: { says: "As one JSON object." },
  },
  async run(given, world) {
    const [text = ""] = given.operands;
    const parsed = parseProbeTarget(text);
    if (parsed === undefined) throw usage(tlsProbe, `expected HOST or HOST:PORT, got ${JSON.stringify(text)}`);
    if (given.has("implicit") && given.has("starttls")) throw usage(tlsProbe, "--implicit or --starttls, not both");
    const isImplicit = given.has("implicit") || (parsed.port === 465 && !given.has("starttls"));
    const isJson = given.has("json");
    const target = {
      host: parsed.host,
      port: parsed.port ?? (isImplicit ? 465 : 25),
      isImplicit,
      name: given.text("name") ?? parsed.host,
      caFile: given.text("ca-file"),
      helo: world.hostname,
    };
    const tell = (outcome: ProbeOutcome): void => {
      if (!isJson && world.stderr.isTerminal)
        world.stderr.write(`${outcome.trial.name}: ${outcome.ok ? "yes" : "no"}\n`);
    };
    const usualReport = await world.probeTls(target, tell, world.interrupted);
    const answer = await policyOf(usualReport, given, world);
    const report = await withPolicyTried(usualReport, answer, tell, world);
    const policy = answer?.kind === "not-asked" ? answer.told : answer && probedPolicy(answer, report);
    world.stdout.write(isJson ? `${harmlessJson({ ...report, policy })}\n` : textOf(report, policy, world));
    const deciding = decidingTrial(report.trials);
    return deciding?.ok === true && deciding.facts.verdict.result === "OK" ? exitCodes.ok : exitCodes.nothing;
  },
};

/** Undefined where no server of these settings runs, or none may be asked: a probe needs none. */
async function policyOf(report: ProbeReport, given: Given, world: World): Promise<Asked | undefined> {
  const { host, port } = report.target;
  const question = { destination: host, hostName: host, port, address: report.address };
  try {
    return await withServer(given, world, "query", (server) => server.call("tls.policy", question));
  } catch (thrown) {
    if (!(thrown instanceof PosthornError)) throw thrown;
    // Only who named a server misses its answer.
    const told = { rule: "not asked", outcome: thrown.message };
    return given.settingsFile === undefined ? undefined : { kind: "not-asked", told };
  }
}

type Asked = PolicyReport | { readonly kind: "not-asked"; readonly told: ProbedPolicy };

/** With the handshake that a delivery would make, where that is another than the usual one and the host was met. */
async function withPolicyTried(
  report: ProbeReport,
  answer: Asked | undefined,
  tell: (outcome: ProbeOutcome) => void,
  world: World,
): Promise<ProbeReport> {
  const trial = answer === undefined || answer.kind === "not-asked" ? undefined : policyTrial(answer);
  if (trial === undefined || report.cutBecause !== undefined) return report;
  const target = { ...report.target, host: report.address ?? report.target.host };
  const { trials, cutBecause } = await world.probeTls(target, tell, world.interrupted, [trial]);
  return { ...report, trials: [...report.trials, ...trials], ...(cutBecause === undefined ? {} : { cutBecause }) };
}

function textOf(report: ProbeReport, policy: ProbedPolicy | undefined, world: World): string {
  const { target, chain, trials } = report;
  const [usual] = trials;
  const facts = usual?.ok === true ? usual.facts : undefined;
  const head = factLines([
    [
      "host",
      `${target.host}:${target.port}${report.address === undefined ? "" : ` (${report.address})`}, ${target.isImplicit ? "implicit TLS" : "STARTTLS"}`,
    ],
    ["greeting", report.greeting],
    ["offers in the clear", report.offersBefore?.join(", ")],
    ["offers under TLS", report.offersUnderTls?.join(", ")],
    [
      "usual handshake",
      facts === undefined
        ? undefined
        : `${facts.version}, ${facts.cipher}, ${facts.group ?? "group unknown"}, ${Math.round(facts.handshakeMs)} ms`,
    ],
    [
      "verification",
      facts === undefined
        ? undefined
        : `${facts.verdict.result} for ${target.name}${facts.verdict.problem === undefined ? "" : `: ${facts.verdict.problem.text}`}`,
    ],
    ["authorities", facts === undefined ? undefined : report.authorities],
    ["policy", policy === undefined ? undefined : `${policy.rule}: ${policy.outcome}`],
    ...chain.map(
      (one, at) =>
        [
          at === 0 ? "chain" : "",
          `${at} ${one.subject}; by ${one.issuer}; ${one.key}; until ${instantText(one.notAfterAt, world.offsetMinutes)} (${endText(one.notAfterAt, world.now())})` +
            (at === 0 && one.names.length > 0 ? `; for ${one.names.slice(0, 10).join(", ")}` : ""),
        ] as const,
    ),
  ]).map(escapeControls);
  const table = textTable(
    [{ title: "TRIED" }, { title: "RESULT" }, { title: "CLOSED" }],
    trials.map((outcome) => [
      outcome.trial.name,
      resultText(outcome),
      outcome.ok ? closingText(outcome.closing, "over", "QUIT") : "",
    ]),
  );
  const summary = probeSummary(report).map((line) => `* ${escapeControls(line)}\n`);
  const cut = report.cutBecause === undefined ? "" : `The probe was cut short: ${escapeControls(report.cutBecause)}\n`;
  return `${head.join("\n")}\n\n${table}\n${summary.join("")}${cut}`;
}

function resultText(outcome: ProbeOutcome): string {
  const { trial } = outcome;
  if (!outcome.ok) {
    const { finding } = outcome;
    const alert =
      finding?.alert === undefined
        ? ""
        : ` (alert ${finding.alert.name} from ${finding.alert.from === "us" ? "us" : "the host"})`;
    return `no: ${finding === undefined ? outcome.text : `${finding.reason}${alert}`}`;
  }
  const { facts } = outcome;
  if (trial.about === "resumption") return facts.isResumed ? `yes, ${facts.version}` : "no: a new handshake was made";
  const key = facts.signature === undefined ? "" : `, ${facts.signature}`;
  return `yes: ${facts.version}, ${facts.cipher}${facts.group === undefined ? "" : `, ${facts.group}`}${key}`;
}
