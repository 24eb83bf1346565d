import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ownModule } from "../../foundation/own-module.ts";
import type { Clock, Timer } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import { asRoot, inThreadAs } from "../../foundation/ffi/identity.io.ts";
import type { RunAs } from "../../foundation/ffi/identity.ts";
import type { LocalOutcome } from "../../mail/delivery/delivery.ts";
import { emitTold, putOff } from "../../mail/delivery/mailbox/agent-help.ts";
import type { FileAgent, FileErrand } from "../../mail/delivery/mailbox/errand.ts";
import * as events from "../../mail/delivery/mailbox/events.ts";
import type { MailboxSettings } from "../../mail/delivery/mailbox/settings.ts";
import type { FilingStart, FromFiling, NumberedErrand, ToFiling } from "./filing-worker.ts";
import { memoryEnvironment, memoryOptions } from "../memory.ts";

/**
 * The processes that deliver with users' rights (`filing-worker.ts`): some of them, each for one user at a time, and each
 * user with one at a time. Whoever hangs keeps its process; the others go on in the rest and, when all hang, in new ones, up to
 * a bound. More mail for a user whose delivery hangs is put off at once, so it takes nobody's place.
 */
export interface FilingAgentsParts {
  readonly clock: Clock;
  readonly emit: Emit;
  readonly settings: MailboxSettings;
  readonly start: Omit<FilingStart, "kind" | "settings">;
  /** The group of `mailbox.group`. */
  readonly group?: number | undefined;
}

/** A process that nobody needed for so long ends. */
const IDLE_MS = 60_000;
/** Processes that hang, for each that may work. */
const STUCK_FACTOR = 4;
const ENTRY = fileURLToPath(ownModule("process/role/filing-main"));

interface Job {
  readonly errand: FileErrand;
  readonly resolve: (outcome: LocalOutcome | undefined) => void;
}

/** Those of one user, who have the same rights. */
interface Line {
  readonly key: string;
  readonly as: RunAs;
  readonly user: string;
  readonly jobs: Job[];
  member: Member | undefined;
}

interface Member {
  readonly child: ChildProcess;
  isReady: boolean;
  line: Line | undefined;
  readonly running: Map<number, Job>;
  isStuck: boolean;
  isBusy: boolean;
  timer: Timer | undefined;
}

export class FilingAgents implements FileAgent {
  readonly #parts: FilingAgentsParts;
  readonly #members = new Set<Member>();
  /** Users who have work, the one that has waited longest first. */
  readonly #lines = new Map<string, Line>();
  #nextId = 1;
  #isClosing = false;
  #mustRecover = true;

  constructor(parts: FilingAgentsParts) {
    this.#parts = parts;
    this.#add();
  }

  run(errand: FileErrand): Promise<LocalOutcome | undefined> {
    const as = this.#rightsOf(errand);
    const key = `${as.uid}:${as.gid}:${as.groups.join(",")}`;
    const line = this.#lines.get(key) ?? { key, as, user: errand.user, jobs: [], member: undefined };
    if (line.member?.isStuck === true) return Promise.resolve(putOff(errand, STUCK));
    this.#lines.set(key, line);
    return new Promise((resolve) => {
      line.jobs.push({ errand, resolve });
      this.#serve();
    });
  }

  /** A delivery that waits for long counts as hanging there anyway. */
  leave(): void {}

  /** What runs is not waited for here: whoever asked for it did, as long as it may take. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    for (const member of this.#members) {
      member.timer?.cancel();
      if (member.isBusy) kill(member);
      else if (member.child.connected) member.child.disconnect();
    }
    return Promise.resolve();
  }

  #rightsOf({ as, place }: FileErrand): RunAs {
    const { group, start } = this.#parts;
    const rights = as ?? start.rest;
    return group !== undefined && place?.kind === "mbox" && place.isOfSettings
      ? { ...rights, groups: [...new Set([...rights.groups, group])] }
      : rights;
  }

  #serve(): void {
    for (const line of this.#lines.values()) {
      if (line.member !== undefined || line.jobs.length === 0) continue;
      const free = [...this.#members].find((member) => member.isReady && !member.isBusy);
      if (free === undefined) {
        this.#addIfAllowed();
        return;
      }
      this.#give(free, line);
    }
  }

  #give(member: Member, line: Line): void {
    const { concurrency } = this.#parts.settings;
    // Behind all others that wait, for the next time.
    this.#lines.delete(line.key);
    this.#lines.set(line.key, line);
    line.member = member;
    member.line = line;
    const errands = line.jobs.splice(0, concurrency).map((job): NumberedErrand => {
      const id = this.#nextId++;
      member.running.set(id, job);
      return { id, errand: job.errand };
    });
    this.#begin(member, { kind: "work", as: line.as, errands });
  }

  #begin(member: Member, message: ToFiling): void {
    const { clock, settings } = this.#parts;
    member.isBusy = true;
    member.timer?.cancel();
    member.timer = clock.after(settings.stuckAfter, () => this.#stuck(member));
    member.child.send(message, () => {});
  }

  /** It may still come back; nobody waits for that but those whose mail it has, as long as a delivery may take. */
  #stuck(member: Member): void {
    const { clock, emit, settings } = this.#parts;
    member.isStuck = true;
    const { line } = member;
    emit(events.agentStuck, { pid: member.child.pid ?? 0, user: line?.user ?? "", forMs: settings.stuckAfter });
    for (const job of line?.jobs.splice(0) ?? []) job.resolve(putOff(job.errand, STUCK));
    member.timer = clock.after(settings.deadline, () => kill(member));
    this.#serve();
  }

  #idle(member: Member): void {
    const { clock } = this.#parts;
    for (const job of member.running.values()) job.resolve(putOff(job.errand, "the delivery ended without an outcome"));
    member.running.clear();
    this.#leave(member);
    member.isBusy = false;
    member.isStuck = false;
    member.timer?.cancel();
    if (this.#isClosing || this.#working() > this.#parts.settings.processes) {
      if (member.child.connected) member.child.disconnect();
      return;
    }
    member.timer = clock.after(IDLE_MS, () => {
      if (!member.isBusy && member.child.connected) member.child.disconnect();
    });
    this.#serve();
  }

  #leave(member: Member): void {
    const { line } = member;
    member.line = undefined;
    if (line === undefined) return;
    line.member = undefined;
    if (line.jobs.length === 0) this.#lines.delete(line.key);
  }

  #working(): number {
    return [...this.#members].filter((member) => !member.isStuck).length;
  }

  #addIfAllowed(): void {
    const { processes } = this.#parts.settings;
    if (this.#working() < processes && this.#members.size < processes * (1 + STUCK_FACTOR)) this.#add();
  }

  #add(): void {
    const { emit, settings, start } = this.#parts;
    const options = {
      execArgv: [
        "--disable-warning=ExperimentalWarning",
        "--disable-warning=SecurityWarning",
        ...memoryOptions("filing"),
        "--permission",
        "--allow-fs-read=*",
        "--allow-fs-write=*",
        "--allow-addons",
      ],
      env: memoryEnvironment(),
      cwd: "/",
      serialization: "advanced" as const,
      stdio: ["ignore", "inherit", "inherit", "ipc"] as ["ignore", "inherit", "inherit", "ipc"],
    };
    // As root for the moment: from there it becomes the users that it is told.
    const child = inThreadAs(asRoot, () => fork(ENTRY, [], options));
    const member: Member = {
      child,
      isReady: false,
      line: undefined,
      running: new Map(),
      isStuck: false,
      isBusy: false,
      timer: undefined,
    };
    this.#members.add(member);
    child.on("message", (received) => this.#take(member, received as FromFiling));
    child.on("error", () => this.#gone(member, "it could not be started"));
    child.on("exit", (code, signal) => this.#gone(member, signal ?? `exit status ${code}`));
    child.send({ kind: "start", settings, ...start } satisfies ToFiling, () => {});
    emit(events.agentStarted, { pid: child.pid ?? 0 });
  }

  #take(member: Member, message: FromFiling): void {
    switch (message.kind) {
      case "ready":
        member.isReady = true;
        if (this.#mustRecover) {
          this.#mustRecover = false;
          this.#begin(member, { kind: "recover" });
        } else this.#idle(member);
        return;
      case "done": {
        const job = member.running.get(message.id);
        member.running.delete(message.id);
        // It has come back; `idle` follows at once.
        if (member.running.size === 0) member.isStuck = false;
        job?.resolve(message.outcome);
        return;
      }
      case "idle":
        this.#idle(member);
        return;
      case "event":
        emitTold(this.#parts.emit, message.event);
    }
  }

  #gone(member: Member, how: string): void {
    if (!this.#members.delete(member)) return;
    member.timer?.cancel();
    const lost = [...member.running.values()];
    if (lost.length > 0 && !this.#isClosing)
      this.#parts.emit(events.agentLost, { pid: member.child.pid ?? 0, how, envelopes: lost.length });
    for (const job of lost) job.resolve(putOff(job.errand, `the process that delivered it ended: ${how}`));
    // One that cannot even start must not be tried again and again at once: those who wait are put off.
    if (!member.isReady)
      for (const [key, line] of this.#lines) {
        if (line.member !== undefined) continue;
        this.#lines.delete(key);
        for (const job of line.jobs.splice(0))
          job.resolve(putOff(job.errand, `no process to deliver it could be started: ${how}`));
      }
    this.#leave(member);
    if (!this.#isClosing) this.#serve();
  }
}

const STUCK = "an earlier delivery for this user hangs";

function kill({ child }: Member): void {
  inThreadAs(asRoot, () => child.kill("SIGKILL"));
}
