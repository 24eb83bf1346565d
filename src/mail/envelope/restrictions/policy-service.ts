import { parsePolicyAction, type PolicyAction } from "../../../protocol/policy/answer.ts";
import { formatPolicyRequest, type PolicyAttributes } from "../../../protocol/policy/request.ts";
import { reply, type Reply } from "../../../protocol/smtp/reply.ts";
import type { MailChange, RestrictionStage } from "./mail-change.ts";
import type { PolicyServiceSettings } from "./policy-service-settings.ts";
import { PASS, type Finding, type RestrictionAsk, type RestrictionWorld } from "./restriction.ts";

/**
 * What another program decides by Postfix's policy delegation protocol: it is told the session, and answers with an action of
 * access(5). What permits there ends the restrictions here, and opens nothing: the rules are asked as ever. Nor does it
 * choose where mail goes but by the names of actions, and addresses that go through the rules as those of aliases do.
 */
export async function policyFinding(
  world: Pick<RestrictionWorld, "askPolicy" | "actions">,
  settings: PolicyServiceSettings,
  ask: RestrictionAsk,
): Promise<Finding> {
  const answer = await world.askPolicy(settings, formatPolicyRequest(attributesOf(settings, ask)));
  if (answer.kind === "failed") return unanswered(world, settings, ask, answer.text, { mayPermit: true });
  const action = parsePolicyAction(answer.action);
  if (action.ok) return findingOf(world, settings, ask, action.value, answer.action);
  return unanswered(world, settings, ask, `it said ${JSON.stringify(answer.action.slice(0, 200))}`, {
    mayPermit: true,
  });
}

/** Never rejects. The answer is the value of `action`. */
export type AskPolicy = (settings: PolicyServiceSettings, request: string) => Promise<PolicyTold>;
export type PolicyTold =
  | { readonly kind: "action"; readonly action: string }
  | { readonly kind: "failed"; readonly text: string };

const STATES = {
  connect: "CONNECT",
  helo: "EHLO",
  // Postfix has no such stage; its servers know this one.
  auth: "EHLO",
  mail: "MAIL",
  rcpt: "RCPT",
  data: "DATA",
  "end-of-data": "END-OF-MESSAGE",
} as const satisfies Record<RestrictionStage, PolicyAttributes["protocol_state"]>;

function attributesOf({ context }: PolicyServiceSettings, { facts, recipient, stage }: RestrictionAsk) {
  const { more, certificate, account } = facts;
  const { encryption } = more ?? {};
  const isBehind = stage === "data" || stage === "end-of-data";
  const recipients = more?.recipients ?? [];
  const shown = certificate === undefined ? [] : certificate.fingerprints;
  return {
    protocol_state: stage === "helo" && more?.protocol === "SMTP" ? "HELO" : STATES[stage],
    protocol_name: more?.protocol ?? "ESMTP",
    helo_name: facts.helo,
    queue_id: more?.message,
    sender: stage === "connect" || stage === "helo" || stage === "auth" ? undefined : facts.sender,
    // Postfix's rule: behind RCPT it is only told where it is the only one.
    recipient: isBehind ? (recipients.length === 1 ? recipients[0]?.given : undefined) : recipient,
    recipient_count: isBehind ? recipients.length : 0,
    client_address: facts.clientAddress ?? "127.0.0.1",
    client_name: facts.clientName ?? "unknown",
    reverse_client_name: facts.clientName ?? "unknown",
    instance: more?.transaction ?? more?.session ?? "",
    sasl_method: more?.mechanism,
    sasl_username: account,
    size: more?.sizeBytes ?? 0,
    ccert_subject: certificate?.subject,
    ccert_issuer: certificate === undefined ? undefined : more?.certificateIssuer,
    ccert_fingerprint: spaced(shown[0]),
    ccert_pubkey_fingerprint: spaced(shown[1]),
    encryption_protocol: encryption?.protocol,
    encryption_cipher: encryption?.cipher,
    encryption_keysize: encryption?.bits ?? 0,
    client_port: more?.clientPort,
    policy_context: context,
    server_address: more?.serverAddress,
    server_port: more?.serverPort,
  } satisfies PolicyAttributes;
}

/** As Postfix writes them: upper case, colons. */
function spaced(fingerprint: string | undefined): string | undefined {
  return fingerprint?.toUpperCase().match(/../g)?.join(":");
}

function findingOf(
  world: Pick<RestrictionWorld, "actions">,
  settings: PolicyServiceSettings,
  ask: RestrictionAsk,
  action: PolicyAction,
  said: string,
): Finding {
  const by = `policy ${settings.at[0] ?? ""}`;
  const changed = (change: MailChange): Finding => ({ kind: "pass", changes: [change], note: said.slice(0, 400) });
  switch (action.kind) {
    case "permit":
      return { kind: "permit" };
    case "dunno":
      return PASS;
    case "refuse":
    case "defer": {
      const isFinal = action.kind === "refuse";
      const { code = isFinal ? 554 : 450, status = isFinal ? "5.7.1" : "4.7.1" } = action;
      return { kind: "refuse", reply: about(ask, code, sameClass(code, status), action.text), detail: "" };
    }
    case "defer-if-permit":
      return {
        kind: "wait",
        reply: about(ask, 450, sameClass(450, action.status ?? "4.7.1"), action.text),
        detail: "",
      };
    case "defer-if-reject":
      return {
        kind: "soften",
        reply: about(ask, 450, sameClass(450, action.status ?? "4.7.1"), action.text),
        detail: "",
      };
    case "prepend":
      if (ask.stage === "end-of-data")
        return unanswered(world, settings, ask, "PREPEND comes too late at the end of the data");
      return { kind: "pass", changes: [{ change: "add-field", field: action.field, by }] };
    case "hold":
    case "discard":
      return changed({ change: action.kind, because: action.text, by });
    case "redirect":
    case "copy":
      return changed({ change: action.kind, to: action.to, by });
    case "filter": {
      const { filters } = settings;
      const name = Object.hasOwn(filters, action.to) ? (filters[action.to] ?? "") : action.to;
      return world.actions.has(name)
        ? changed({ change: "action", action: name, by })
        : unanswered(
            world,
            settings,
            ask,
            `its FILTER ${action.to} is the name of no action, and not among \`filters\``,
          );
    }
    case "warn":
    case "info":
      return { kind: "pass", note: said.slice(0, 400) };
  }
}

/** `<b@example.org>: Recipient address rejected: Greylisted`, as Postfix says it. */
function about({ facts, recipient, stage }: RestrictionAsk, code: number, status: string, text: string): Reply {
  const client = `${facts.clientName ?? "unknown"}[${facts.clientAddress ?? "local"}]`;
  const subjects: Record<RestrictionStage, readonly [string, string]> = {
    connect: [client, "Client host"],
    helo: [facts.helo ?? "", "Helo command"],
    auth: [client, "Client host"],
    mail: [facts.sender, "Sender address"],
    rcpt: [recipient, "Recipient address"],
    data: ["DATA", "Data command"],
    "end-of-data": ["END-OF-MESSAGE", "End-of-data"],
  };
  const [subject, what] = subjects[stage];
  return reply(code, status, `<${subject}>: ${what} rejected: ${text === "" ? "Access denied" : text}`);
}

/** RFC 3463 section 2: the class of the status is that of the code. */
function sameClass(code: number, status: string): string {
  return `${String(code).charAt(0)}${status.slice(1)}`;
}

/** What the settings say of one that gives no answer, or one that cannot be done. `mayPermit`: nobody knows what it wants. */
function unanswered(
  world: Pick<RestrictionWorld, "actions">,
  { default: written, ...settings }: PolicyServiceSettings,
  ask: RestrictionAsk,
  text: string,
  unknown: { readonly mayPermit?: true } = {},
): Finding {
  const detail = `policy server ${settings.at.join(", ")}: ${text}`;
  const action = written === undefined ? undefined : parsePolicyAction(written);
  if (action?.ok !== true || written === undefined) {
    const no = reply(451, "4.3.5", "a policy server failed here; please try again later");
    return { kind: "wait", reply: no, detail, ...unknown };
  }
  const found = findingOf(world, settings, ask, action.value, written);
  return found.kind === "pass" || found.kind === "permit" ? { ...found, note: detail } : { ...found, detail };
}
