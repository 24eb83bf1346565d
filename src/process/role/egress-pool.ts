import type { Clock } from "../../foundation/clock.ts";
import { PosthornError } from "../../foundation/error.ts";
import type { PolicyQuestion, PolicyReport } from "../../mail/delivery/tls-policy/policy-report.ts";
import type { TlsVariant } from "../../mail/delivery/tls-policy/demand.ts";
import type {
  ConnectRequest,
  Connected,
  NetworkDelivery,
  RecipientTrial,
  RecipientTried,
  ResolveRequest,
  Resolved,
  TlsTried,
  TransactRequest,
  Transacted,
} from "../../mail/delivery/delivery.ts";

/**
 * Several egress processes as one `NetworkDelivery`: a new session goes to the process with the fewest, and stays there.
 * A process that is leaving (reload, stop), or goes by another version of the settings than is served, keeps its sessions and gets
 * no new one. With no process there, a call waits up to `patienceMs` for one to come, then rejects with ROLE_UNAVAILABLE.
 */
export interface EgressPool extends NetworkDelivery {
  /** `version`: of the settings by which it sends. */
  add(member: EgressMember, version: number): void;
  /**
   * New sessions are from now on for members that go by this version. What still waits for one of another version is refused: it was
   * decided by other settings than it would be sent by.
   */
  serve(version: number): void;
  /** No new sessions for this member. */
  retire(member: EgressMember): void;
  /** The member is gone; its sessions' calls have rejected by themselves. */
  remove(member: EgressMember): void;
  /** Sessions that a member has, retired or not. */
  sessionsOf(member: EgressMember): number;
}

export interface EgressMember {
  readonly port: NetworkDelivery;
}

interface Place {
  readonly version: number;
  sessions: number;
}

export function egressPool(options: { clock: Clock; patienceMs: number; version: number }): EgressPool {
  const active = new Map<EgressMember, Place>();
  let served = options.version;
  const sessions = new Map<string, EgressMember>();
  let waiting: (() => void)[] = [];

  const least = (): EgressMember | undefined => {
    let best: EgressMember | undefined;
    let fewest = Infinity;
    for (const [member, { version, sessions: count }] of active) {
      if (version === served && count < fewest) {
        best = member;
        fewest = count;
      }
    }
    return best;
  };
  const someMember = async (): Promise<EgressMember> => {
    const member = least();
    if (member !== undefined) return member;
    const asked = served;
    await new Promise<void>((resolve) => {
      const timer = options.clock.after(options.patienceMs, resolve);
      waiting.push(() => {
        timer.cancel();
        resolve();
      });
    });
    if (served !== asked) throw gone("other settings came while no egress process was there");
    const late = least();
    if (late === undefined) throw gone("no egress process is there");
    return late;
  };
  const forget = (session: string): void => {
    const member = sessions.get(session);
    if (member === undefined) return;
    sessions.delete(session);
    const place = active.get(member);
    if (place !== undefined) place.sessions--;
  };
  const wakeAll = (): void => {
    const woken = waiting;
    waiting = [];
    for (const wake of woken) wake();
  };

  return {
    add(member, version) {
      active.set(member, { version, sessions: 0 });
      if (version === served) wakeAll();
    },
    serve(version) {
      if (version === served) return;
      served = version;
      wakeAll();
    },
    retire(member) {
      active.delete(member);
    },
    remove(member) {
      active.delete(member);
      for (const [session, owner] of sessions) if (owner === member) sessions.delete(session);
    },
    sessionsOf(member) {
      let count = 0;
      for (const owner of sessions.values()) if (owner === member) count++;
      return count;
    },
    async resolve(request: ResolveRequest): Promise<Resolved> {
      return (await someMember()).port.resolve(request);
    },
    async connect(request: ConnectRequest): Promise<Connected> {
      const member = await someMember();
      sessions.set(request.session, member);
      const place = active.get(member);
      if (place !== undefined) place.sessions++;
      try {
        const connected = await member.port.connect(request);
        if (!connected.ok) forget(request.session);
        return connected;
      } catch (thrown) {
        forget(request.session);
        throw thrown;
      }
    },
    async transact(request: TransactRequest): Promise<Transacted> {
      const member = sessions.get(request.session);
      if (member === undefined) throw gone(`the egress process of session ${request.session} is gone`);
      try {
        const transacted = await member.port.transact(request);
        if (!transacted.isUsable) forget(request.session);
        return transacted;
      } catch (thrown) {
        forget(request.session);
        throw thrown;
      }
    },
    async tryTls(request: ConnectRequest, variant: TlsVariant | undefined): Promise<TlsTried> {
      return (await someMember()).port.tryTls(request, variant);
    },
    async tryRecipient(session: string, ask: RecipientTrial): Promise<RecipientTried> {
      const member = sessions.get(session);
      return member === undefined
        ? { kind: "failed", text: `the egress process of session ${session} is gone` }
        : member.port.tryRecipient(session, ask);
    },
    async tlsPolicy(question: PolicyQuestion): Promise<PolicyReport> {
      return (await someMember()).port.tlsPolicy(question);
    },
    async leave(session: string): Promise<void> {
      const member = sessions.get(session);
      forget(session);
      await member?.port.leave(session);
    },
  };
}

function gone(message: string): PosthornError {
  return new PosthornError("ROLE_UNAVAILABLE", {
    message,
    advice: "the supervisor restarts it; look for its last lines in the log",
  });
}
