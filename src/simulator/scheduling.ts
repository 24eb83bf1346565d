import type { AnyEvent, Emit } from "../foundation/events.ts";
import { envelopeIdOf, messageIdMaker, type MessageId } from "../foundation/ids.ts";
import type { Envelope, Message } from "../mail/envelope/envelope.ts";
import type { Action } from "../mail/envelope/action-settings.ts";
import { RememberingDelivery } from "../mail/delivery/tls-policy/remembering-delivery.ts";
import { memoryStore } from "../mail/queue/memory-store.ts";
import type { CommitRequest } from "../mail/queue/queue.ts";
import type { Store } from "../mail/queue/store.ts";
import { routeSettings } from "../mail/route/settings.ts";
import type { Forwards } from "../mail/scheduler/forwarding.ts";
import type { NoticeRequest, Notices } from "../mail/scheduler/notices.ts";
import { planAll } from "../mail/scheduler/plan.ts";
import type { RecordedInput } from "../mail/scheduler/replay/replay.ts";
import { Scheduler } from "../mail/scheduler/scheduler.io.ts";
import { schedulerSettings } from "../mail/scheduler/settings.ts";
import type { CoreSettings } from "../mail/scheduler/state.ts";
import type { VirtualClock } from "./clock.ts";
import { virtualClock } from "./clock.ts";
import { simulatedDeliveries, type SimulatedDeliveries } from "./deliveries.ts";

/**
 * A whole scheduler in virtual time: the real core and driver over a store in memory and simulated deliveries. What it
 * was told and what it emitted is kept.
 */
export interface SimulatedScheduling {
  readonly clock: VirtualClock;
  readonly world: SimulatedDeliveries;
  readonly network: RememberingDelivery;
  readonly store: Store;
  readonly scheduler: Scheduler;
  readonly settings: CoreSettings;
  readonly inputs: readonly RecordedInput[];
  readonly lines: readonly string[];
  readonly emitted: readonly {
    readonly at: number;
    readonly name: string;
    readonly fields: Readonly<Record<string, unknown>>;
  }[];
  readonly notices: readonly NoticeRequest[];
  /** Sets what the next notices do. */
  onNotice: (request: NoticeRequest) => "none" | "fail" | "make" | "unroutable";
  /** What the address of a notice stands for: one envelope each. */
  noticeTargets: (to: string) => readonly string[];
  /** Commits one message; resolves with its id when it is durable. */
  send(mail: SimulatedMail): Promise<MessageId>;
}

export interface SimulatedMail {
  readonly from?: string;
  readonly to: readonly string[];
  readonly action?: string;
  readonly message?: Partial<Message>;
  readonly envelope?: Partial<Envelope>;
  /** A filter put it there. */
  readonly quarantine?: CommitRequest["quarantine"];
}

export interface SimulationOptions {
  readonly startAt?: number;
  readonly seed?: number;
  readonly scheduler?: Parameters<typeof schedulerSettings.parse>[0];
  readonly route?: Parameters<typeof routeSettings.parse>[0];
  readonly actions?: Readonly<Record<string, Action>>;
  readonly store?: Store;
  readonly forwards?: Forwards;
  readonly clock?: VirtualClock;
  /** Whether the journal of inputs asks for a new start. */
  readonly wantsStart?: (recorded: number) => boolean;
}

export const NOON = Date.UTC(2026, 0, 1, 12);

export function simulatedScheduling(options: SimulationOptions = {}): SimulatedScheduling {
  const clock = options.clock ?? virtualClock(options.startAt ?? NOON);
  const world = simulatedDeliveries(clock);
  const store = options.store ?? memoryStore();
  const settings = coreSettings(options);
  const inputs: RecordedInput[] = [];
  const lines: string[] = [];
  const emitted: { at: number; name: string; fields: Readonly<Record<string, unknown>> }[] = [];
  const requests: NoticeRequest[] = [];
  const newId = messageIdMaker(clock, 1);

  const emit: Emit = (event, fields) => {
    emitted.push({ at: clock.now(), name: event.name, fields });
    const line = (event as AnyEvent).line(fields as never);
    if (line !== undefined) lines.push(`${event.speaker}: ${line}`);
  };
  const notices: Notices = {
    async make(request) {
      requests.push(request);
      const wish = simulation.onNotice(request);
      if (wish === "fail") throw new Error("the notice cannot be made");
      if (wish === "none") return { kind: "unwanted" };
      const to = request.to ?? request.message.sender;
      if (wish === "unroutable") {
        const about = request.about.map(({ envelope }) => envelope.id);
        return { kind: "unroutable", about, because: `there is no way to <${to}>: no such user here` };
      }
      const made = mailOf(newId(), clock.now(), { from: "", to: simulation.noticeTargets(to), action: "deliver" });
      const envelopes = made.envelopes.map((one) => ({ ...one, givenRecipient: givenTo(to, one) }));
      const about = request.about.map(({ envelope }) => envelope.id);
      return { kind: "notice", request: { ...made, envelopes }, about };
    },
  };
  const network = new RememberingDelivery(world.network, {
    clock,
    emit,
    settings: { brokenKeptMs: 3_600_000, variantKeptMs: 86_400_000, triesVariants: true },
  });
  const scheduler = new Scheduler({
    store,
    network,
    local: world.local,
    notices,
    ...(options.forwards === undefined ? {} : { forwards: options.forwards }),
    clock,
    emit,
    seed: options.seed ?? 1,
    settings,
    journal: {
      get wantsStart() {
        return inputs.length === 0 || options.wantsStart?.(inputs.length) === true;
      },
      recordInput: (at, json, isStart) => void inputs.push({ at, json, isStart }),
    },
  });
  const simulation: SimulatedScheduling = {
    clock,
    world,
    network,
    store,
    scheduler,
    settings,
    inputs,
    lines,
    emitted,
    notices: requests,
    onNotice: () => "make",
    noticeTargets: (to) => [to],
    async send(mail) {
      const request = mailOf(newId(), clock.now(), mail);
      await scheduler.commit(request);
      return request.message.id;
    },
  };
  return simulation;
}

function givenTo(to: string, { recipient }: Envelope): string | undefined {
  return to === recipient ? undefined : to;
}

export function coreSettings(options: SimulationOptions = {}): CoreSettings {
  const actions = options.actions ?? {
    relay: { kind: "relay", to: [], backup: false },
    deliver: { kind: "deliver", as: "maildir" },
  };
  return {
    scheduler: schedulerSettings.parse(options.scheduler ?? {}),
    route: routeSettings.parse(options.route ?? {}),
    plans: planAll(actions, "mail.example"),
    postmaster: "postmaster@mail.example",
  };
}

export function mailOf(id: MessageId, now: number, mail: SimulatedMail): CommitRequest {
  const bytes = new TextEncoder().encode("Subject: simulated\r\n\r\nhello\r\n");
  return {
    message: {
      id,
      sender: mail.from ?? "sender@mail.example",
      receivedAt: now,
      sizeBytes: bytes.length,
      content: "7bit",
      isInternational: false,
      origin: { listener: "simulated", protocol: "ESMTP", session: "simulated" },
      ...mail.message,
    },
    body: { kind: "inline", bytes },
    envelopes: mail.to.map((recipient, at) => ({
      id: envelopeIdOf(id, at + 1),
      message: id,
      recipient,
      notify: [],
      action: mail.action ?? "relay",
      ...mail.envelope,
    })),
    ...(mail.quarantine === undefined ? {} : { quarantine: mail.quarantine }),
  };
}
