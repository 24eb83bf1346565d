import { z } from "zod";
import { numberOfMessageId, partsOfEnvelopeId } from "../../foundation/ids.ts";
import { PosthornError } from "../../foundation/error.ts";
import { TRACE_TOPICS } from "../../foundation/line-trace.ts";
import type { Profile } from "../../foundation/profiler.ts";
import type { JournalEntry } from "../../mail/log/journal.ts";
import type { PolicyReport } from "../../mail/delivery/tls-policy/policy-report.ts";
import type { TlsHost } from "../../mail/delivery/tls-policy/tls-hosts.ts";
import type { TlsAnswers, TlsQuestion } from "../../mail/log/tls-questions.ts";
import type {
  Changed,
  Hindrance,
  RouteRow,
  ShownMessage,
  WhyReport,
  ShownSuspension,
} from "../../mail/scheduler/admin/admin.ts";
import type { Counted } from "../../mail/scheduler/admin/meter.ts";
import { SUSPENSION_LEVELS } from "../../mail/scheduler/suspension/suspension.ts";
import type { CensusRow, SpoolCopy } from "../../mail/queue/store.ts";
import type { ShownFilter } from "../../mail/filter/merged-health.ts";
import type { DmarcReportData, ShownDmarcReport } from "../../mail/filter/authentication/dmarc-collector.ts";
import type { GreylistRow } from "../../mail/envelope/restrictions/greylist-store.ts";
import type { ShownRate } from "../../mail/envelope/restrictions/rates.ts";
import type { ShownLogin } from "../../service/account/logins.ts";
import type { ShownSender } from "../../service/account/sending-limits.ts";
import type {
  Admin,
  CertificateReport,
  ReloadReport,
  ServerStatus,
  ShownTable,
  TopicShown,
  TraceShown,
} from "./admin.ts";

/**
 * What can be asked through the control sockets. `query` is answered on both, `change` on the control socket alone and
 * logged with the uid of who asked. Lists without a bound, live events and content are streams and live in `streams.ts`.
 */
export interface Operation {
  readonly kind: "query" | "change";
  readonly says: string;
  readonly limitMs: number;
  readonly perform: (admin: Admin, args: unknown) => Promise<unknown>;
}

const QUICK_MS = 30_000;
/** Also of what waits until the queue is read, or writes very many envelopes. */
const LONG_MS = 60 * 60_000;

const messageId = z.string().refine((id) => numberOfMessageId(id) !== undefined, { error: "expected a message id" });
const envelopeId = z.string().refine((id) => partsOfEnvelopeId(id) !== undefined, { error: "expected an envelope id" });
const eitherId = z.union([messageId, envelopeId], { error: "expected a message id or an envelope id" });
const text = z.string().max(1000);
/** No later than a Date can tell. */
const instant = z.number().int().nonnegative().max(8_640_000_000_000_000);

const selector = z.discriminatedUnion("by", [
  z.strictObject({ by: z.literal("envelope"), id: envelopeId }),
  z.strictObject({ by: z.literal("message"), id: messageId }),
  z.strictObject({ by: z.literal("sender"), sender: text }),
  z.strictObject({ by: z.literal("domain"), domain: text }),
  z.strictObject({ by: z.literal("route"), route: text }),
  z.strictObject({ by: z.literal("all") }),
]);

/** The arguments of the stream `queue.list`. */
export const queueFilter = z.strictObject({
  state: z.enum(["queued", "held", "dead", "deferred"]).optional(),
  sender: text.optional(),
  recipient: text.optional(),
  domain: text.optional(),
  message: messageId.optional(),
  envelope: envelopeId.optional(),
  receivedBeforeAt: instant.optional(),
  receivedAfterAt: instant.optional(),
  limit: z.number().int().positive().optional(),
});

const story = z.discriminatedUnion("by", [
  z.strictObject({ by: z.literal("message"), id: eitherId }),
  z.strictObject({ by: z.literal("session"), session: text }),
  z.strictObject({ by: z.literal("address"), address: text, as: z.enum(["recipient", "sender"]).optional() }),
]);

const selection = {
  sinceAt: instant,
  direction: z.enum(["in", "out"]).optional(),
  peer: text.optional(),
  place: text.optional(),
};
const tlsQuestion = z.discriminatedUnion("ask", [
  z.strictObject({ ask: z.literal("failures"), ...selection }),
  z.strictObject({ ask: z.literal("show"), which: text }),
  z.strictObject({ ask: z.literal("compare"), failed: text, worked: text.optional() }),
  z.strictObject({ ask: z.literal("closes"), ...selection }),
  z.strictObject({ ask: z.literal("plaintext"), ...selection }),
  z.strictObject({ ask: z.literal("last"), peers: z.array(text).max(20) }),
]);

const traceTarget = z.strictObject({ by: z.enum(["peer", "listener", "relay"]), value: z.string().min(1).max(255) });

const level = z.enum(SUSPENSION_LEVELS);
export const topicWish = {
  topic: z.enum(TRACE_TOPICS),
  filter: text.min(1).optional(),
  forMs: z.number().int().min(1000).max(86_400_000),
};

const nothing = z.strictObject({});
const direction = z.enum(["in", "out", "local"]);

function operation<Schema extends z.ZodType, Value>(
  kind: Operation["kind"],
  says: string,
  args: Schema,
  perform: (admin: Admin, args: z.output<Schema>) => Promise<Value>,
  limitMs = QUICK_MS,
) {
  return {
    kind,
    says,
    limitMs,
    perform: (admin: Admin, given: unknown): Promise<Value> => perform(admin, checked(args, given)),
  };
}

export function checked<Schema extends z.ZodType>(schema: Schema, given: unknown): z.output<Schema> {
  const parsed = schema.safeParse(given ?? {});
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new PosthornError("USAGE", {
    message: `the request's arguments are wrong: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`.trim(),
    advice: "use a client of the same version as the server",
  });
}

export const operations = {
  status: operation("query", "What the server is and does.", nothing, (admin): Promise<ServerStatus> => admin.status()),
  routes: operation(
    "query",
    "Routes with their connections and penalties.",
    nothing,
    (admin): Promise<readonly RouteRow[]> => admin.queue.routes(),
  ),
  "queue.show": operation(
    "query",
    "One message with its envelopes and their attempts.",
    z.strictObject({ id: eitherId }),
    (admin, args): Promise<ShownMessage | undefined> => admin.queue.show(args.id),
  ),
  "queue.count": operation(
    "query",
    "Envelopes by destination and age.",
    nothing,
    (admin): Promise<readonly CensusRow[]> => admin.queue.census(),
  ),
  "queue.why": operation(
    "query",
    "What holds an envelope up.",
    z.strictObject({ id: envelopeId }),
    (admin, args): Promise<readonly Hindrance[] | undefined> => admin.queue.why(args.id),
  ),
  why: operation(
    "query",
    "What holds a message's envelopes up, grouped where it is the same.",
    z.strictObject({ id: eitherId }),
    (admin, args): Promise<WhyReport | undefined> => admin.queue.whyAll(args.id),
  ),
  stats: operation(
    "query",
    "Counters since the start, of the last minute and the last hour.",
    nothing,
    (admin): Promise<readonly Counted[]> => admin.queue.stats(),
  ),
  profile: operation(
    "query",
    "Measures the queue's store or the scheduler for a time.",
    z.strictObject({ what: z.enum(["queue", "scheduler"]), forMs: z.number().int().min(100).max(600_000) }),
    (admin, { what, forMs }): Promise<Profile> => admin.queue.profile(what, forMs),
    LONG_MS,
  ),
  "log.story": operation(
    "query",
    "Events of a message, a session or an address.",
    z.strictObject({
      query: story,
      sinceAt: instant.optional(),
      limit: z.number().int().positive().max(100_000).optional(),
    }),
    (admin, { query, ...options }): Promise<readonly JournalEntry[]> => admin.journal.story(query, options),
  ),
  "tls.ask": operation(
    "query",
    "What the journal knows of TLS sessions, failures, endings and plaintext.",
    tlsQuestion,
    (admin, question): Promise<TlsAnswers[TlsQuestion["ask"]]> => admin.journal.tls(question),
  ),
  "tls.policy": operation(
    "query",
    "Which TLS policy is in force for a destination, and by which rule.",
    z.strictObject({
      destination: text.min(1),
      hostName: text.optional(),
      address: text.optional(),
      port: z.number().int().min(1).max(65_535).optional(),
    }),
    (admin, question): Promise<PolicyReport> => admin.queue.tlsPolicy(question),
  ),
  "tls.hosts": operation(
    "query",
    "Hosts whose TLS handshakes fail, and which kind works.",
    nothing,
    (admin): Promise<readonly TlsHost[]> => admin.queue.tlsHosts(),
  ),
  "tls.forget-host": operation(
    "change",
    "Forgets what is remembered of a host's TLS handshakes.",
    z.strictObject({ host: text.min(1) }),
    (admin, args): Promise<{ readonly hosts: number }> => admin.queue.forgetTlsHost(args.host),
  ),
  "tls.certificates": operation(
    "query",
    "The certificates that are shown, and when those of an authority are renewed.",
    nothing,
    (admin): Promise<CertificateReport> => admin.certificates(),
  ),
  "tls.renew": operation(
    "change",
    "Asks the authority for a certificate anew, or for all.",
    z.strictObject({ label: text.min(1).optional() }),
    (admin, args): Promise<{ readonly labels: readonly string[] }> => admin.renewCertificates(args.label),
  ),
  "tables.show": operation(
    "query",
    "The tables of the settings, and how their backends do.",
    nothing,
    (admin): Promise<readonly ShownTable[]> => admin.tables(),
  ),
  "filters.show": operation(
    "query",
    "The filters in use, and how they do.",
    nothing,
    (admin): Promise<readonly ShownFilter[]> => admin.filters(),
  ),
  "logins.show": operation(
    "query",
    "Addresses and accounts whose logins are slowed down or blocked after failures.",
    nothing,
    (admin): Promise<readonly ShownLogin[]> => admin.logins.shown(),
  ),
  "logins.clear": operation(
    "change",
    "Forgets the failed logins of an address or account, or all.",
    z.strictObject({ which: text.min(1).optional() }),
    (admin, { which }): Promise<{ readonly cleared: number }> => admin.logins.clear(which),
  ),
  "senders.show": operation(
    "query",
    "What accounts have sent, where that is limited.",
    nothing,
    (admin): Promise<readonly ShownSender[]> => admin.senders.shown(),
  ),
  "senders.clear": operation(
    "change",
    "Lets an account send as if it had sent nothing yet.",
    z.strictObject({ account: text.min(1) }),
    (admin, { account }): Promise<{ readonly cleared: number }> => admin.senders.clear(account),
  ),
  "rates.show": operation(
    "query",
    "What restrictions count of clients and accounts.",
    nothing,
    (admin): Promise<readonly ShownRate[]> => admin.rates.shown(),
  ),
  "rates.clear": operation(
    "change",
    "Lets whoever it counts begin anew.",
    z.strictObject({ key: text.min(1) }),
    (admin, { key }): Promise<{ readonly cleared: number }> => admin.rates.clear(key),
  ),
  "greylist.list": operation(
    "query",
    "What greylisting remembers.",
    z.strictObject({ state: z.enum(["waiting", "passed", "networks"]).optional(), text: text.optional() }),
    (admin, wanted): Promise<readonly GreylistRow[]> => admin.greylist.list(wanted),
  ),
  "greylist.remove": operation(
    "change",
    "Forgets a network, a sender, a recipient, or all of a domain.",
    z.strictObject({ which: text.min(1) }),
    (admin, { which }): Promise<{ readonly removed: number }> => admin.greylist.remove(which),
  ),
  "greylist.allow": operation(
    "change",
    "Lets an address and its network in at once from now on.",
    z.strictObject({ address: z.union([z.ipv4(), z.ipv6()]) }),
    (admin, { address }): Promise<{ readonly networks: readonly string[] }> => admin.greylist.allow(address),
  ),
  "dmarc.list": operation(
    "query",
    "Reports on DMARC: what is collected, what is due, what became of it.",
    nothing,
    (admin): Promise<readonly ShownDmarcReport[]> => admin.dmarc.list(),
  ),
  "dmarc.read": operation(
    "query",
    "What was collected of one domain on one day.",
    z.strictObject({ domain: text.min(1), day: z.number().int().nonnegative() }),
    async (admin, { domain, day }): Promise<DmarcReportData | null> => (await admin.dmarc.read(domain, day)) ?? null,
  ),
  "dmarc.send": operation(
    "change",
    "Makes reports due at once, those of today included.",
    z.strictObject({ domain: text.min(1).optional() }),
    (admin, { domain }): Promise<{ readonly due: number }> => admin.dmarc.hasten(domain),
  ),
  "trace.list": operation(
    "query",
    "Which TLS connections are traced, until when.",
    nothing,
    (admin): Promise<readonly TraceShown[]> => admin.traces.list(),
  ),
  "trace.tls": operation(
    "change",
    "Shows TLS connections in the log, or decrypts them into a file, for a time.",
    z.strictObject({
      target: traceTarget,
      level: z.union([z.literal(0), z.literal(1), z.literal(2), z.literal(3), z.literal(4)]),
      forMs: z.number().int().min(1000).max(86_400_000),
      decryptedBytes: z.number().int().min(1).max(1_073_741_824).optional(),
    }),
    (admin, wish): Promise<TraceShown> => admin.traces.set(wish),
  ),
  "trace.tls-off": operation(
    "change",
    "Ends a trace, or all.",
    z.strictObject({ target: traceTarget.optional() }),
    (admin, { target }): Promise<{ readonly removed: number }> => admin.traces.remove(target),
  ),
  "trace.topics": operation(
    "query",
    "What the server traces line by line, until when.",
    nothing,
    (admin): Promise<readonly TopicShown[]> => admin.topics.list(),
  ),
  "trace.on": operation(
    "change",
    "Shows what the server does in the log, line by line, for a time.",
    z.strictObject(topicWish),
    (admin, wish): Promise<TopicShown> => admin.topics.set(wish),
  ),
  "trace.off": operation(
    "change",
    "Ends such a trace, or all.",
    z.strictObject({ topic: z.enum(TRACE_TOPICS).optional() }),
    (admin, { topic }): Promise<{ readonly removed: number }> => admin.topics.remove(topic),
  ),
  "queue.hold": operation(
    "change",
    "Holds envelopes.",
    z.strictObject({ selector, because: text, untilAt: instant.optional() }),
    (admin, args): Promise<Changed> => admin.queue.hold(args.selector, args.because, args.untilAt),
    LONG_MS,
  ),
  "queue.release": operation(
    "change",
    "Releases held envelopes.",
    z.strictObject({ selector, quarantined: z.boolean().optional() }),
    (admin, args): Promise<Changed> => admin.queue.release(args.selector, args.quarantined),
    LONG_MS,
  ),
  "queue.retry": operation(
    "change",
    "Makes envelopes due now.",
    z.strictObject({ selector }),
    (admin, args): Promise<Changed> => admin.queue.retryNow(args.selector),
    LONG_MS,
  ),
  "queue.schedule": operation(
    "change",
    "Makes envelopes due at an instant.",
    z.strictObject({ selector, at: instant }),
    (admin, args): Promise<Changed> => admin.queue.schedule(args.selector, args.at),
    LONG_MS,
  ),
  "route.resume": operation(
    "change",
    "Ends the rest and the penalty of routes and relays.",
    z.strictObject({ which: text.min(1) }),
    (admin, args): Promise<{ readonly routes: number }> => admin.queue.forgive(args.which),
  ),
  "queue.remove": operation(
    "change",
    "Removes envelopes without telling their senders.",
    z.strictObject({ selector, because: text, quarantined: z.boolean().optional() }),
    (admin, args): Promise<Changed> => admin.queue.remove(args.selector, args.because, args.quarantined),
    LONG_MS,
  ),
  "queue.bounce": operation(
    "change",
    "Returns envelopes to their senders.",
    z.strictObject({ selector, because: text }),
    (admin, args): Promise<Changed> => admin.queue.bounce(args.selector, args.because),
    LONG_MS,
  ),
  suspend: operation(
    "change",
    "Suspends something: mail under it, also what comes later, is not tried.",
    z.strictObject({ level, key: text.min(1), because: text, by: text, untilAt: instant.optional() }),
    (admin, wish): Promise<Changed> => admin.queue.suspend(wish),
    LONG_MS,
  ),
  unsuspend: operation(
    "change",
    "Lifts a suspension.",
    z.strictObject({ level, key: text.min(1), by: text }),
    (admin, wish): Promise<Changed | undefined> => admin.queue.unsuspend(wish),
    LONG_MS,
  ),
  suspensions: operation(
    "query",
    "What is suspended, by whom, why and until when.",
    nothing,
    (admin): Promise<readonly ShownSuspension[]> => admin.queue.suspensions(),
  ),
  pause: operation(
    "change",
    "Pauses a direction.",
    z.strictObject({ direction, because: text }),
    (admin, args): Promise<void> => admin.queue.pause(args.direction, args.because),
  ),
  resume: operation("change", "Resumes a direction.", z.strictObject({ direction }), (admin, args): Promise<void> =>
    admin.queue.resume(args.direction),
  ),
  reload: operation(
    "change",
    "Reads the settings anew.",
    nothing,
    (admin): Promise<ReloadReport> => admin.reload(),
    120_000,
  ),
  "log.reopen": operation("change", "Opens log files anew.", nothing, (admin): Promise<void> => admin.reopenLog()),
  backup: operation(
    "change",
    "Copies the running queue into an empty directory.",
    z.strictObject({ directory: z.string().min(1).max(4000) }),
    (admin, args): Promise<SpoolCopy> => admin.queue.backup(args.directory),
    LONG_MS,
  ),
  stop: operation("change", "Stops the server in good order.", nothing, (admin): Promise<void> => admin.stop()),
} as const;

export type OperationName = keyof typeof operations;
export type AnswerOf<Name extends OperationName> = Awaited<ReturnType<(typeof operations)[Name]["perform"]>>;

export function findOperation(name: string): Operation | undefined {
  return Object.hasOwn(operations, name) ? operations[name as OperationName] : undefined;
}
