import { seededRandom } from "../foundation/random.ts";
import type { EnvelopeId } from "../foundation/ids.ts";
import type { Outcome } from "../mail/delivery/delivery.ts";
import type { Action } from "../mail/scheduler/action.ts";
import { expired } from "../mail/scheduler/events.ts";
import { step, type SchedulerEvent } from "../mail/scheduler/scheduler.ts";
import { newScheduler, type SchedulerState, type Session, type Ticket } from "../mail/scheduler/state.ts";
import { coreSettingsOf, type ShapingRules, type SimulatedSettings } from "./core-settings.ts";
import { Dialogue, type DialogueParts } from "./dialogue.ts";
import { fates, Mails } from "./mails.ts";
import type { Scenario } from "./scenario.ts";
import { assertSchedulerInvariants, assertTouched } from "./scheduler-invariants.ts";
import { Timeline } from "./timeline.ts";
import { SimulatedWorld } from "./world/world.ts";

/** Midnight, so that instants from the beginning are times of day. */
const STARTS_AT = Date.UTC(2026, 0, 1);
/** Envelopes that come in one event. */
const MOST_AT_ONCE = 1000;

export interface SimulationOptions {
  readonly seed?: number | undefined;
  /** Settings other than the scenario's. */
  readonly settings?: Readonly<Record<string, unknown>> | undefined;
  /** Limits by destination that stand in a table, besides those of the settings, which win. */
  readonly shapingTable?: ShapingRules | undefined;
  /** All invariants are looked at after so many events; 0: never. Those of what an event touched always are. */
  readonly checkEvery?: number | undefined;
  /** Told now and then; for whoever waits. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Every event that the server would log. */
  readonly onTell?: ((at: number, name: string, fields: object) => void) | undefined;
}

export interface Progress {
  readonly now: number;
  readonly events: number;
  readonly arrived: number;
  readonly ended: number;
}

/** What came of a run, before anybody counts. */
export interface Run {
  readonly scenario: Scenario;
  readonly mails: Mails;
  readonly world: SimulatedWorld;
  readonly state: SchedulerState;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly events: number;
  readonly checks: number;
  readonly connections: number;
  readonly failedConnections: number;
  readonly transactions: number;
  readonly notices: number;
  /** The most that the scheduler had in its books at once. */
  readonly most: { readonly relays: number; readonly routes: number; readonly sessions: number };
}

/**
 * Runs a scenario to its end: all mail has come and has met its fate, or `until` is over. The core of the scheduler is
 * the server's own, called for each event at its instant; so are the machines of the SMTP client. Nothing waits, nothing
 * is random but by the seed: a day passes as fast as its decisions are made, and the same way each time.
 */
export function simulate(scenario: Scenario, options: SimulationOptions = {}): Run {
  return new Simulation(scenario, options).run();
}

const CHECK_EVERY = 100_000;
const TELL_EVERY = 50_000;

class Simulation {
  readonly #scenario: Scenario;
  readonly #options: SimulationOptions;
  readonly #settings: SimulatedSettings;
  readonly #timeline = new Timeline(STARTS_AT);
  readonly #world: SimulatedWorld;
  readonly #mails: Mails;
  readonly #state: SchedulerState;
  readonly #dialogueParts: DialogueParts;
  readonly #dialogues = new Map<string, Dialogue>();
  #timerAt = Infinity;
  #events = 0;
  #checks = 0;
  #connections = 0;
  #failedConnections = 0;
  #transactions = 0;
  #notices = 0;
  #ended = 0;
  readonly #most = { relays: 0, routes: 0, sessions: 0 };

  constructor(scenario: Scenario, options: SimulationOptions) {
    const seed = options.seed ?? scenario.seed;
    this.#scenario = scenario;
    this.#options = options;
    this.#settings = coreSettingsOf(options.settings ?? scenario.settings, options.shapingTable);
    // One sequence for each, so that more mail does not change the weather.
    const time = { startAt: STARTS_AT, random: seededRandom(seed * 7919 + 1) };
    this.#world = new SimulatedWorld(scenario.world, time);
    this.#mails = new Mails(scenario.workloads, scenario.world, seededRandom(seed * 7919 + 2), STARTS_AT);
    this.#state = newScheduler(this.#settings.core, seed);
    this.#dialogueParts = {
      timeline: this.#timeline,
      world: this.#world,
      settings: this.#settings.delivery,
      onPresented: (request, index) => {
        const envelope = request.envelopes[index];
        if (envelope === undefined) return;
        const number = this.#mails.numberOf(envelope.id);
        this.#mails.presented[number] = (this.#mails.presented[number] ?? 0) + 1;
      },
    };
  }

  run(): Run {
    const { checkEvery = CHECK_EVERY, onProgress } = this.#options;
    const timeline = this.#timeline;
    const endsAt = STARTS_AT + this.#scenario.until;
    let nextTell = TELL_EVERY;
    let nextCheck = checkEvery === 0 ? Infinity : checkEvery;
    while (!this.#isOver()) {
      const arrivesAt = this.#mails.nextAt();
      const happensAt = timeline.nextAt();
      const at = Math.min(arrivesAt, happensAt, this.#timerAt);
      if (at > endsAt) break;
      if (arrivesAt <= happensAt && arrivesAt <= this.#timerAt) {
        timeline.passTo(Math.ceil(arrivesAt));
        this.#arrive();
      } else if (this.#timerAt <= happensAt) {
        timeline.passTo(this.#timerAt);
        this.#timerAt = Infinity;
        this.#post({ on: "timer" });
      } else timeline.next();
      if (this.#events >= nextCheck) {
        nextCheck += checkEvery;
        this.#check();
      }
      if (this.#events < nextTell) continue;
      nextTell += TELL_EVERY;
      onProgress?.({
        now: timeline.now - STARTS_AT,
        events: this.#events,
        arrived: this.#mails.arrived,
        ended: this.#ended,
      });
    }
    if (!this.#isOver()) timeline.passTo(endsAt);
    if (checkEvery > 0) this.#check();
    return {
      scenario: this.#scenario,
      mails: this.#mails,
      world: this.#world,
      state: this.#state,
      startedAt: STARTS_AT,
      endedAt: timeline.now,
      events: this.#events,
      checks: this.#checks,
      connections: this.#connections,
      failedConnections: this.#failedConnections,
      transactions: this.#transactions,
      notices: this.#notices,
      most: this.#most,
    };
  }

  #isOver(): boolean {
    return this.#ended === this.#mails.envelopeCount;
  }

  #arrive(): void {
    const { expireAfter } = this.#settings.core.scheduler;
    this.#post({ on: "queued", envelopes: this.#mails.take(this.#timeline.now, MOST_AT_ONCE, expireAfter) });
  }

  /** One event, what the scheduler wants done for it, and a look at all that this touched. */
  #post(event: SchedulerEvent): void {
    const state = this.#state;
    this.#events++;
    const sessions: Session[] = [];
    const tickets: Ticket[] = [];
    if (event.on === "connected" || event.on === "transacted") {
      const session = state.sessions.get(event.session);
      if (session !== undefined) {
        sessions.push(session);
        tickets.push(...session.tickets);
      }
    } else if (event.on === "written") {
      for (const { ticket } of state.writes.get(event.write)?.fates ?? []) tickets.push(ticket);
    }
    for (const action of step(state, event, this.#timeline.now)) {
      this.#perform(action);
      this.#touch(action, sessions, tickets);
    }
    assertTouched(state, sessions, tickets);
    const most = this.#most;
    if (state.relays.size > most.relays) most.relays = state.relays.size;
    if (state.routes.size > most.routes) most.routes = state.routes.size;
    if (state.sessions.size > most.sessions) most.sessions = state.sessions.size;
  }

  #touch(action: Action, sessions: Session[], tickets: Ticket[]): void {
    const { sessions: known, tickets: tracked } = this.#state;
    if (action.do === "connect" || action.do === "transact") {
      const session = known.get(action.do === "connect" ? action.request.session : action.session);
      if (session !== undefined) sessions.push(session);
    }
    const ids =
      action.do === "transact"
        ? action.envelopes
        : action.do === "write"
          ? action.operations.map((operation) => ("envelope" in operation ? operation.envelope : ""))
          : [];
    for (const id of ids) {
      const ticket = tracked.get(id);
      if (ticket !== undefined) tickets.push(ticket);
    }
  }

  #perform(action: Action): void {
    const timeline = this.#timeline;
    switch (action.do) {
      case "resolve": {
        const found = action.requests.map((request) => this.#world.resolve(request, timeline.now));
        const takesMs = Math.max(0, ...found.map((one) => one.takesMs));
        const answers = found.map((one) => one.resolved);
        timeline.after(takesMs, () => this.#post({ on: "resolved", relay: action.relay, answers }));
        return;
      }
      case "connect":
        this.#connect(action);
        return;
      case "transact":
        this.#transact(action);
        return;
      case "leave":
        this.#dialogues.get(action.session)?.close();
        this.#dialogues.delete(action.session);
        return;
      case "deliver":
        this.#deliver(action);
        return;
      case "write":
        this.#write(action);
        return;
      case "timer":
        this.#timerAt = action.at;
        return;
      case "answer":
      case "note":
        // Operators' commands; none are given here.
        return;
      case "tell":
        if (action.event.name === expired.name) {
          for (const id of (action.fields as { envelopes: readonly EnvelopeId[] }).envelopes)
            this.#mails.fate[this.#mails.numberOf(id)] = fates.expired;
        }
        this.#options.onTell?.(timeline.now, action.event.name, action.fields);
    }
  }

  #connect({ request }: Extract<Action, { do: "connect" }>): void {
    this.#connections++;
    const dialogue = new Dialogue(request, this.#dialogueParts, (connected) => {
      if (!connected.ok) {
        this.#failedConnections++;
        this.#dialogues.delete(request.session);
      }
      this.#post({ on: "connected", session: request.session, connected });
    });
    this.#dialogues.set(request.session, dialogue);
  }

  #transact({ session, message, envelopes: ids }: Extract<Action, { do: "transact" }>): void {
    this.#transactions++;
    for (const id of ids) this.#begin(id);
    const content = { ...this.#mails.read(message, ids), session, body: NO_BODY };
    const begin = (): void => {
      const dialogue = this.#dialogues.get(session);
      if (dialogue === undefined) throw new Error(`mail was given to session ${session}, which is not open`);
      dialogue.transact(content, (transacted) => {
        for (const outcome of transacted.outcomes) this.#end(outcome);
        if (!transacted.isUsable) this.#dialogues.delete(session);
        this.#post({ on: "transacted", session, transacted });
      });
    };
    if (this.#scenario.store.read === 0) begin();
    else this.#timeline.after(this.#scenario.store.read, begin);
  }

  /** Mail whose end is near: taken in a moment, and always. */
  #deliver({ envelope }: Extract<Action, { do: "deliver" }>): void {
    this.#begin(envelope);
    this.#timeline.after(LOCAL_MS, () => {
      const outcome: Outcome = {
        kind: "delivered",
        envelope,
        relay: "simulated",
        text: "delivered",
        status: "2.0.0",
        dsnPassedOn: false,
        isFinal: true,
        tookMs: LOCAL_MS,
      };
      this.#end(outcome);
      this.#post({ on: "delivered", envelope, outcome });
    });
  }

  #write({ write, operations, notices }: Extract<Action, { do: "write" }>): void {
    // Few senders ask to be told of success; what they would be told is no notice here.
    for (const notice of notices) if (notice.kind !== "success") this.#notices += notice.about.length;
    this.#timeline.after(this.#scenario.store.write, () => {
      for (const operation of operations) if (operation.do === "remove") this.#leave(operation.envelope);
      this.#post({ on: "written", write });
    });
  }

  #begin(id: EnvelopeId): void {
    const number = this.#mails.numberOf(id);
    if (this.#mails.isTried[number] !== 0) throw new Error(`${id} is tried twice at once`);
    const fate = this.#mails.fate[number];
    if (fate !== fates.queued) throw new Error(`${id} is tried after its end (${fate})`);
    this.#mails.isTried[number] = 1;
  }

  #end(outcome: Outcome): void {
    const number = this.#mails.numberOf(outcome.envelope);
    this.#mails.isTried[number] = 0;
    if (outcome.kind !== "delivered") return;
    this.#mails.fate[number] = fates.delivered;
    this.#mails.endedAt[number] = this.#timeline.now;
  }

  /** The store has let go of it: delivered, or returned to its sender. */
  #leave(id: EnvelopeId): void {
    const number = this.#mails.numberOf(id);
    this.#ended++;
    if (this.#mails.fate[number] === fates.delivered) return;
    if (this.#mails.fate[number] === fates.queued) this.#mails.fate[number] = fates.gone;
    this.#mails.endedAt[number] = this.#timeline.now;
  }

  /** The whole state, and that the scheduler has every envelope that came and has not ended. */
  #check(): void {
    this.#checks++;
    assertSchedulerInvariants(this.#state);
    const waiting = this.#mails.arrived - this.#ended;
    // Those whose end has just been told to it are about to leave.
    if (this.#state.tickets.size !== waiting)
      throw new Error(`${waiting} envelopes wait, and the scheduler knows ${this.#state.tickets.size}`);
  }
}

const LOCAL_MS = 2;
const NO_BODY = { kind: "inline", bytes: new Uint8Array() } as const;
