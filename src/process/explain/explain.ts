import type { Clock } from "../../foundation/clock.ts";
import { PosthornError } from "../../foundation/error.ts";
import { emitNothing } from "../../foundation/events.ts";
import { systemRandom } from "../../foundation/random.io.ts";
import type {
  ExplainedTarget,
  ExplainedWay,
  ExplainRequest,
  Explanation,
} from "../../admin/cli/settings/explanation.ts";
import { clientName, nameOfThisHost } from "../../mail/connection/client-name.ts";
import { authOf, clientCertificateOf } from "../../mail/connection/listener-choices.ts";
import { rewritingOf } from "../../mail/connection/connection.ts";
import { isContentFilterAction } from "../../mail/envelope/content-filter.ts";
import { failureText } from "../../mail/envelope/failure-text.ts";
import type { ListenerSettings } from "../../mail/connection/settings.ts";
import type { Restriction } from "../../mail/envelope/restrictions/restriction.ts";
import type {
  EnvelopePolicy,
  Judgement,
  SessionFactsForRules,
  StageJudgement,
  Target,
} from "../../mail/envelope/policy.ts";
import { tracedTables, type PolicyStep } from "../../mail/envelope/policy-trace.ts";
import { masqueradeSender } from "../../mail/envelope/rewrite/masquerade.ts";
import { rulesPolicy } from "../../mail/envelope/rules.ts";
import { isSystemUsers } from "../../mail/envelope/system-users.ts";
import type { NetworkDelivery } from "../../mail/delivery/delivery.ts";
import { unchained } from "../../mail/filter/named-chains.ts";
import { createNetworkDelivery } from "../../mail/delivery/smtp/network-delivery.io.ts";
import { policyFinder } from "../../mail/delivery/tls-policy/find-policy.ts";
import { replies } from "../../mail/session/replies.ts";
import { planOf, type RelayPlan, type Way } from "../../mail/scheduler/plan.ts";
import { destinationOf, resolveRequestOf } from "../../mail/scheduler/serve/serve.ts";
import { domainOf } from "../../protocol/address/mailbox.ts";
import type { DnsFinding, Resolver } from "../../protocol/dns/resolver.ts";
import { replyText } from "../../protocol/smtp/reply.ts";
import type { SendingQuota } from "../../service/account/sending-quota.ts";
import { systemUsers } from "../../service/account/system-users.io.ts";
import { locate } from "../../service/config/config.ts";
import { createResolver } from "../../service/dns/resolver.io.ts";
import { readIncludeFile } from "../../service/table/include-file.io.ts";
import type { Tables } from "../../service/table/tables.ts";
import { explainLocal } from "./explain-local.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import { openTables } from "../role/open-tables.ts";
import { policySettingsOf, submitting } from "../settings/policy-settings.ts";
import { ownAddresses, restricting } from "../role/restricting.ts";
import { ownTrust } from "../role/trust.ts";
import { restrictionsAt } from "../settings/restrictions-at.ts";
import { certificateTablesOf } from "../settings/tls-files.ts";

/**
 * What would become of a mail, by the code that decides it: the rules' policy with a trace, the delivery's own search for
 * mailboxes and hosts. Nothing is sent, nothing is written, no server is asked; a dial is not even there.
 */
export async function explain(request: ExplainRequest, loaded: LoadedSettings, clock: Clock): Promise<Explanation> {
  const { settings } = loaded;
  const listeners = settings.listeners.filter(({ protocol }) => protocol !== "http");
  const listener =
    request.listener === undefined ? listeners[0] : listeners.find(({ name }) => name === request.listener);
  if (listener === undefined)
    throw new PosthornError("USAGE", {
      message: request.listener === undefined ? "there is no listener" : `there is no listener ${request.listener}`,
      advice: `name one of: ${listeners.map(({ name }) => name).join(", ")}`,
    });
  const rewriting = rewritingOf(listener, settings);
  const sender =
    rewriting?.masquerade === undefined ? request.sender : masqueradeSender(rewriting.masquerade, request.sender);
  // Whoever has logged in did so over TLS, where there is any.
  const hasLoggedIn = request.account !== undefined && listener.tls !== "off";
  const isEncrypted = request.isEncrypted || listener.tls === "implicit" || hasLoggedIn;
  const steps: PolicyStep[] = [];
  const filters = unchained(listener.filteredBy ?? settings.filteredBy, settings.filters);
  const common = { listener: listener.name, sender, filters, steps };
  const missing = missingAt(listener, { ...request, isEncrypted });
  if (missing !== undefined) return { ...common, verdict: { kind: "refused", ...missing } };
  const facts: SessionFactsForRules = {
    listener: listener.name,
    tag: listener.tag,
    clientAddress: request.client,
    helo: request.helo,
    isEncrypted,
    account: request.account,
    sender,
    accepted: 0,
    ...(request.verp ? { verp: settings.verp.delimiters } : {}),
  };
  const trace = (step: PolicyStep): void => void steps.push(step);
  const keepers = certificateTablesOf(settings);
  const opened = await openTables(loaded, (name) => !keepers.has(name), {
    clock,
    random: systemRandom,
    trust: ownTrust(),
    onFinding: () => {},
  });
  try {
    const tables = tracedTables(opened.tables, trace);
    const users = isSystemUsers(settings.local.users) ? systemUsers(clock) : undefined;
    const rules = rulesPolicy(policySettingsOf(withSomeSecret(loaded), clock), tables, {
      users,
      readInclude: (path) => readIncludeFile(path, settings.local.includeFolders ?? []),
      trace,
    });
    await using resolver = createResolver({ clock, settings: settings.dns });
    const policy = restricting(
      loaded,
      {
        clock,
        tables,
        resolver: request.asksDns ? resolver : SILENT,
        rules,
        asking: askingNobody,
        trace,
        change: withoutTheUnasked,
      },
      submitting(loaded, { tables, quota: UNSPENT, rules, users }),
    );
    const name = await nameFor(request, loaded, listener, resolver, clock);
    const judgement = await allStages(policy, { ...facts, clientName: name }, request.recipient);
    if (judgement.kind === "reject") {
      const { reply, because } = judgement;
      return { ...common, verdict: { kind: "refused", reply: replyText(reply), because } };
    }
    await using network = networkFor(loaded, opened.tables, clock);
    const targets: ExplainedTarget[] = [];
    // The list itself gets nothing: its receipt is for senders who ask to hear of a success.
    for (const target of judgement.targets.filter(({ isReceipt }) => isReceipt !== true))
      targets.push(
        await targetOf(target, { request, loaded, clock, sender, tables: opened.tables, network: network.port }),
      );
    const { rule, steps: expansion = [] } = judgement;
    return { ...common, verdict: { kind: "accepted", rule, expansion, targets } };
  } finally {
    await opened.close();
  }
}

/** What the listener wants of each client before it hears of mail, as a session asks for it. */
function missingAt(
  listener: ListenerSettings,
  { client, isEncrypted, account }: Pick<ExplainRequest, "client" | "isEncrypted" | "account">,
): { readonly reply: string; readonly because: string } | undefined {
  // A program of this host submits to the server, not to a listener.
  if (client === undefined) return undefined;
  const certificate = clientCertificateOf(listener);
  if (!isEncrypted && (listener.tls === "require" || certificate === "require" || certificate === "verify"))
    return {
      reply: replyText(replies.tlsFirst),
      because: `listener ${listener.name} wants TLS: --tls is a client that has it`,
    };
  if (account === undefined && authOf(listener) === "require")
    return {
      reply: replyText(replies.authenticateFirst),
      because: `listener ${listener.name} wants a login: --auth ACCOUNT is a client that has it`,
    };
  return undefined;
}

/** The stages of a session in their order, each with what is known by then; what one of them refuses is told at RCPT. */
async function allStages(policy: EnvelopePolicy, facts: SessionFactsForRules, recipient: string): Promise<Judgement> {
  const stages = policy.stagesAt?.(facts.listener) ?? new Set();
  const atConnect: SessionFactsForRules = { ...facts, helo: undefined, account: undefined, sender: "" };
  const known = {
    connect: atConnect,
    helo: { ...atConnect, helo: facts.helo },
    auth: { ...facts, sender: "" },
    mail: facts,
  } as const;
  const earlier: Extract<StageJudgement, { kind: "reject" }>[] = [];
  for (const stage of ["connect", "helo", "auth", "mail"] as const) {
    if (!stages.has(stage) || (stage === "auth" && facts.account === undefined)) continue;
    const judged = await policy.judgeStage?.(known[stage], stage);
    if (judged?.kind === "reject") earlier.push(judged);
  }
  const judgement = await policy.judgeRecipient({ ...facts, earlier }, recipient);
  for (const stage of ["data", "end-of-data"] as const) {
    if (judgement.kind !== "accept" || !stages.has(stage)) continue;
    const judged = await policy.judgeStage?.(facts, stage);
    if (judged?.kind === "reject") return judged;
  }
  return judgement;
}

/** A server that has no secret for SRS makes one when it starts; addresses look the same with any. */
function withSomeSecret(loaded: LoadedSettings): LoadedSettings {
  const { secrets } = loaded;
  return secrets.srs?.length === 0 ? { ...loaded, secrets: { ...secrets, srs: ["none yet"] } } : loaded;
}

/** How much an account has sent is for the server to know. */
const UNSPENT: SendingQuota = { spend: () => Promise.resolve({ ok: true }) };

/** What was seen before is for the server to know, and nobody else is asked. */
const NOT_HERE = "not asked here: only the server does";
const askingNobody: Parameters<typeof restricting>[1]["asking"] = {
  rates: { countRate: () => Promise.resolve({ kind: "failed", text: NOT_HERE }) },
  greylist: { askGreylist: () => Promise.resolve({ kind: "failed", text: NOT_HERE }) },
  askPolicy: () => Promise.resolve({ kind: "failed", text: NOT_HERE }),
  callOut: () => Promise.resolve({ kind: "unknown", text: NOT_HERE }),
};

const NOT_ASKED = "DNS was not asked";

/** Where DNS is not to be asked: what would need it says nothing. */
const SILENT: Resolver = (() => {
  const finding: DnsFinding = { reason: "unreachable", name: "", type: "", server: "", text: NOT_ASKED };
  const answer = () => Promise.resolve({ kind: "failed", finding } as const);
  return { mx: answer, ipv4: answer, ipv6: answer, ptr: answer, txt: answer };
})();

/** What was not asked decides nothing, whatever the settings say of one that cannot be asked. */
function withoutTheUnasked(restriction: Restriction): Restriction {
  return {
    ...restriction,
    async judge(ask) {
      const found = await restriction.judge(ask);
      const because = "detail" in found ? found.detail : (found.note ?? "");
      for (const text of [NOT_ASKED, NOT_HERE]) if (because.includes(text)) return { kind: "pass", note: text };
      return found;
    },
  };
}

/** The client's name as reception would know it, where somebody asks for it. */
async function nameFor(
  request: ExplainRequest,
  { settings }: LoadedSettings,
  listener: ListenerSettings,
  resolver: Resolver,
  clock: Clock,
): Promise<string | undefined> {
  const own = nameOfThisHost(request.client);
  if (own !== undefined) return own;
  const isAsked = restrictionsAt(settings, listener).length > 0 && listener.reverseDns && request.asksDns;
  return isAsked && request.client !== undefined
    ? clientName(resolver, clock, request.client, listener.reverseDnsTimeout)
    : undefined;
}

interface TargetParts {
  readonly request: ExplainRequest;
  readonly loaded: LoadedSettings;
  readonly clock: Clock;
  readonly sender: string;
  readonly tables: Tables;
  readonly network: Pick<NetworkDelivery, "resolve" | "tlsPolicy">;
}

async function targetOf(target: Target, parts: TargetParts): Promise<ExplainedTarget> {
  const { settings, origins } = parts.loaded;
  const action = settings.actions[target.action];
  const isWritten = origins.places[`actions.${target.action}`] !== undefined;
  const common = {
    recipient: target.recipient,
    action: target.action,
    actionWhere: isWritten
      ? locate(origins, ["actions", target.action])
      : isContentFilterAction(target.action)
        ? "by its content filter first"
        : "built in",
    sender: target.sender ?? parts.sender,
    via: target.via ?? [],
  };
  if (action === undefined)
    return { ...common, delivery: { kind: "failed", text: "the settings have no such action" } };
  const { target: found } = target;
  if (found?.kind === "error")
    return {
      ...common,
      delivery: { kind: "failed", text: `${failureText(found.failure)}: its sender is told` },
    };
  const plan = planOf(action, settings.hostname);
  if (plan.kind === "fail") return { ...common, delivery: { kind: "failed", text: failureText(plan.failure) } };
  if (plan.kind === "local") return { ...common, delivery: await explainLocal(target, parts) };
  return { ...common, delivery: { kind: "relay", ways: await waysOf(plan, target.recipient, parts) } };
}

function waysOf(plan: RelayPlan, recipient: string, parts: TargetParts): Promise<readonly ExplainedWay[]> {
  return Promise.all(plan.ways.map((way) => wayOf(way, domainOf(recipient), parts)));
}

async function wayOf(way: Way, domain: string, { request, network }: TargetParts): Promise<ExplainedWay> {
  const common = {
    relay: way.text,
    verify: way.verify,
    credentials: way.relay.credentials,
    policy: await network.tlsPolicy({ destination: destinationOf(way, domain) }),
  };
  const wanted = resolveRequestOf(way, domain);
  // What is no name needs no DNS.
  if (!request.asksDns && wanted.target.kind !== "unix") return { ...common, hosts: undefined, failure: undefined };
  const resolved = await network.resolve(wanted);
  if (!resolved.ok) return { ...common, hosts: [], failure: failureText(resolved.failure) };
  const hosts = resolved.hosts.map(({ name, address, preference }) => ({
    name,
    address: "path" in address ? address.path : `${address.ip}:${address.port}`,
    preference,
  }));
  return { ...common, hosts, failure: undefined };
}

/** The delivery as far as it asks: it has nothing to connect with, and no key. */
function networkFor(loaded: LoadedSettings, tables: Tables, clock: Clock): { port: NetworkDelivery } & AsyncDisposable {
  const { settings, origins } = loaded;
  const resolver = createResolver({ clock, settings: settings.dns });
  const { policy: policies, policyTable } = settings.delivery.tls;
  const nothing = (): never => {
    throw new Error("explaining connects to nobody");
  };
  const port = createNetworkDelivery({
    clock,
    emit: emitNothing,
    keeper: { anchors: nothing, clientCertificate: nothing, onChange: () => () => {} },
    policies: policyFinder({
      policies,
      whereIs: (key) => locate(origins, ["delivery", "tls", "policy", key]),
      table: policyTable === undefined ? undefined : tables.get(policyTable),
    }),
    random: systemRandom,
    settings: settings.delivery,
    resolver,
    dial: nothing,
    openBody: nothing,
    credentials: () => undefined,
    hostname: settings.hostname,
    localAddresses: ownAddresses(),
  });
  return {
    port,
    async [Symbol.asyncDispose]() {
      await port[Symbol.asyncDispose]();
      await resolver[Symbol.asyncDispose]();
    },
  };
}
