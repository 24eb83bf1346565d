import { isIP } from "node:net";
import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import type { PolicyStep } from "../../../mail/envelope/policy-trace.ts";
import { parsePath } from "../../../protocol/address/path.ts";
import { kebabCase } from "../../../service/config/names.ts";
import { usage, type CliCommand, type Given } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import type { ExplainedDelivery, ExplainedTarget, ExplainedWay, ExplainRequest, Explanation } from "./explanation.ts";
import { senderText } from "../text.ts";
import { policyText } from "../tls/tls-policy.ts";

const STRANGER = "192.0.2.1";
const SOMEBODY = "sender@example.com";

export const explain: CliCommand = {
  name: "explain",
  operands: "RECIPIENT",
  leastOperands: 1,
  mostOperands: 1,
  says: "Shows what would become of a mail: each rule and table asked, aliases, the action with its place in the settings, mailbox or next hosts, TLS policy. Sends nothing.",
  explains: `Reads the settings itself: no server has to run, and what it shows is what a server with these settings would do. Without options the mail is from ${SOMEBODY} and comes from a stranger (${STRANGER}) to the first listener; one that wants TLS or a login refuses it without \`--tls\` or \`--auth\`. Tables are really asked, and so is DNS. Exits with 1 when the recipient would be refused.`,
  options: {
    from: { says: `The sender (${SOMEBODY}); <> is the null sender.`, value: "ADDRESS" },
    client: { says: `The client's address (${STRANGER}), or \`local\` for a program of this host.`, value: "ADDRESS" },
    auth: {
      says: "The account that the client has logged in with; over TLS, where the listener has it.",
      value: "ACCOUNT",
    },
    helo: { says: "The name that the client gives in EHLO.", value: "NAME" },
    listener: { says: "The listener that takes the mail (the first one).", value: "NAME" },
    tls: { says: "The client's connection is encrypted." },
    verp: { says: "The client asks for VERP (XVERP), and may." },
    "no-dns": { says: "Does not look up the hosts of next hops." },
    json: { says: "As one JSON object." },
  },
  async run(given, world) {
    const request = requestOf(given);
    const explanation = await world.explain(request);
    const text = given.has("json")
      ? harmlessJson(explanation)
      : linesOf(request, explanation).map(escapeControls).join("\n");
    world.stdout.write(`${text}\n`);
    return explanation.verdict.kind === "accepted" ? exitCodes.ok : exitCodes.nothing;
  },
};

function requestOf(given: Given): ExplainRequest {
  const [recipient = ""] = given.operands;
  const client = given.text("client") ?? STRANGER;
  if (client !== "local" && isIP(client) === 0)
    throw usage(explain, `--client: expected an address or local, got ${JSON.stringify(client)}`);
  const sender = (given.text("from") ?? SOMEBODY).replace(/^<(.*)>$/, "$1");
  if (sender !== "" && !isAddress(sender))
    throw usage(explain, `--from: expected an address or <>, got ${JSON.stringify(sender)}`);
  const bare = recipient.replace(/^<(.*)>$/, "$1");
  // A name without a domain is one of this host's, as RCPT of local programs may have it.
  if (!isAddress(bare.includes("@") ? bare : `${bare}@localhost`))
    throw usage(explain, `expected an address, got ${JSON.stringify(recipient)}`);
  return {
    settingsFile: given.settingsFile,
    recipient: bare,
    sender,
    client: client === "local" ? undefined : client,
    account: given.text("auth"),
    helo: given.text("helo"),
    listener: given.text("listener"),
    isEncrypted: given.has("tls"),
    verp: given.has("verp"),
    asksDns: !given.has("no-dns"),
  };
}

function isAddress(text: string): boolean {
  const path = parsePath(`<${text}>`, { isInternational: true });
  return path.ok && path.value.kind === "mailbox";
}

function linesOf(
  request: ExplainRequest,
  { listener, sender, filters, steps, verdict }: Explanation,
): readonly string[] {
  const client = request.client ?? "this host";
  const login = request.account === undefined ? "" : `, logged in as ${request.account}`;
  const tls = request.isEncrypted ? ", encrypted" : "";
  const head = [
    `recipient  ${request.recipient}`,
    `sender     ${senderText(sender)}${sender === request.sender ? "" : ` (masqueraded; given ${senderText(request.sender)})`}`,
    `client     ${client}${login}${tls}, at listener ${listener}`,
    ...(filters.length === 0
      ? []
      : [
          `filters    ${filters.join(", ")}: not asked here, and may say otherwise; \`posthorn test\` plays whole sessions`,
        ]),
    "",
    ...steps.flatMap(stepLines),
    "",
  ];
  if (verdict.kind === "refused") {
    const because = verdict.because === "" ? "" : ` (${verdict.because})`;
    return [...head, `refused    ${verdict.reply}${because}`];
  }
  return [
    ...head,
    `accepted   by ${verdict.rule}`,
    ...verdict.expansion.map(({ address, where, to }) => `alias      ${address} -> ${to.join(", ")} (${where})`),
    ...verdict.targets.flatMap(targetLines),
  ];
}

function stepLines(step: PolicyStep): readonly string[] {
  switch (step.step) {
    case "address": {
      const place = step.isLocal ? "of this server" : "elsewhere";
      const own = step.isOurOwn ? "; asked as for mail of our own" : "";
      return [`address    ${step.address}: ${place}${own}`];
    }
    case "rule": {
      const { rule, action, holds, miss } = step;
      if (holds === true) return [`  rule     ${rule}: matches, action ${action}`];
      if (holds !== false) return [`  rule     ${rule}: cannot be decided: ${holds.failed}`];
      const subject = miss?.subject === "" ? "there is none" : `it is ${miss?.subject ?? ""}`;
      return [`  rule     ${rule}: no, ${kebabCase(miss?.condition ?? "?")} does not hold: ${subject}`];
    }
    case "table": {
      const { table, service, key, answer } = step;
      const asked = `${table}${service === undefined ? "" : ` (${service})`}: ${key}`;
      if (answer.kind === "none") return [`  table    ${asked}: nothing`];
      if (answer.kind === "failed") return [`  table    ${asked}: failed: ${answer.text}`];
      const value = answer.value === true ? "yes" : answer.value === false ? "no, by a !" : `found ${answer.value}`;
      return [`  table    ${asked}: ${value} (${answer.where})`];
    }
    case "user": {
      const { address, holds } = step;
      const known = holds === true ? "has a mailbox" : holds === false ? "is nobody here" : `failed: ${holds.failed}`;
      return [`  user     ${address} ${known}`];
    }
    case "restriction": {
      const { restriction, stage, finding, text, isWarnOnly } = step;
      const said = text === "" ? "" : `: ${text}`;
      const only = isWarnOnly && finding !== "pass" ? " if it were more than a warning" : "";
      const at = stage === "rcpt" ? "" : ` (at ${stage})`;
      // It passes only because nobody said anything.
      if (finding === "pass" && /\bnot asked\b/.test(text)) return [`  before   ${restriction}${at}: ${text}`];
      return [`  before   ${restriction}${at}: ${RESTRICTION_SAYS[finding]}${only}${said}`];
    }
    case "sender":
      return step.by === undefined
        ? []
        : [`  sender   for ${step.recipient}: ${senderText(step.sender)} (${SENDER_BY[step.by]})`];
  }
}

const RESTRICTION_SAYS = {
  pass: "nothing against it",
  permit: "permits; what stands behind it is not asked",
  refuse: "would refuse",
  wait: "would make it wait",
  soften: "would make a refusal wait",
} as const;

const SENDER_BY = {
  owner: "the owner of the list",
  as: "as",
  verp: "VERP",
  srs: "SRS: it is forwarded",
} as const;

function targetLines(target: ExplainedTarget): readonly string[] {
  const via = target.via.length === 0 ? "" : ` (by way of ${target.via.join(", ")})`;
  return [
    "",
    `target     ${target.recipient}${via}`,
    `  sender   ${senderText(target.sender)}`,
    `  action   ${target.action} (${target.actionWhere})`,
    ...deliveryLines(target.delivery),
  ];
}

function deliveryLines(delivery: ExplainedDelivery): readonly string[] {
  switch (delivery.kind) {
    case "failed":
      return [`  fails    ${delivery.text}`];
    case "local":
      return [
        ...delivery.forward.map((path) => `  forward  ${path}, if it is there`),
        `  place    ${delivery.place}`,
        `  as       ${delivery.user ?? "the server's own user"}`,
      ];
    case "relay":
      return delivery.ways.flatMap(wayLines);
  }
}

function wayLines({ relay, verify, credentials, policy, hosts, failure }: ExplainedWay): readonly string[] {
  const login = credentials === undefined ? "" : `, logs in with ${credentials}`;
  return [
    `  relay    ${relay}${login}${verify ? ", the certificate must verify" : ""}`,
    `  tls      ${policyText(policy)}`,
    ...(failure === undefined ? [] : [`  hosts    none: ${failure}`]),
    ...(hosts ?? []).map(({ name, address, preference }) => `  host     ${preference} ${name}[${address}]`),
  ];
}
