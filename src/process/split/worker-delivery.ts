import { systemClock } from "../../foundation/clock.io.ts";
import { withDeadline } from "../../foundation/deadline.ts";
import type { Channel, Handlers } from "./channel.ts";
import type { WorkerStart } from "./roles.ts";
import { connectToScheduler, type RunningRole } from "./worker-role.ts";

const RETIRE_WITHIN_MS = 2000;

/** Egress and delivery: they serve the scheduler over a connection that they make, and are ready when it can hand out to them. */
export async function servedToScheduler(
  start: WorkerStart,
  role: AsyncDisposable & { readonly port: object; forsake?(): void },
  methods: readonly string[],
  onStopped?: () => void,
): Promise<RunningRole> {
  let inCall = 0;
  let isStopping = false;
  let onIdle = (): void => {};
  const sessions = new Set<string>();
  /** How many schedulers have gone: each begins to name its sessions anew. */
  let gone = 0;
  const handlers: Handlers = Object.fromEntries(
    methods.map((method) => [
      method,
      async (...args: never[]): Promise<unknown> => {
        inCall++;
        const goneBefore = gone;
        try {
          const answer: unknown = await Reflect.apply(Reflect.get(role.port, method) as () => unknown, role.port, args);
          if (gone === goneBefore) noteSession(sessions, method, args[0], answer);
          return answer;
        } finally {
          inCall--;
          if (isStopping && inCall === 0 && sessions.size === 0) onIdle();
        }
      },
    ]),
  );
  const scheduler = connectToScheduler(start, start.role, handlers, () => {
    gone++;
    sessions.clear();
    role.forsake?.();
    if (isStopping && inCall === 0) onIdle();
  });
  await scheduler.reached;
  return {
    async stop(deadlineMs) {
      isStopping = true;
      await retire(scheduler.current(), deadlineMs);
      if (inCall > 0 || sessions.size > 0) {
        await new Promise<void>((resolve) => {
          onIdle = resolve;
          setTimeout(resolve, deadlineMs).unref();
        });
      }
      // The answer to the last call is still to be written.
      await new Promise((resolve) => setTimeout(resolve, 10));
      await role[Symbol.asyncDispose]();
      scheduler.close();
      onStopped?.();
    },
  };
}

/**
 * Asks for no new work. What was handed out before comes ahead of the answer, so that who goes then leaves nothing behind; a
 * scheduler that is away, or does not answer, hands out nothing.
 */
async function retire(scheduler: Channel | undefined, deadlineMs: number): Promise<void> {
  if (scheduler === undefined) return;
  await withDeadline(systemClock, Math.min(deadlineMs, RETIRE_WITHIN_MS), "the scheduler's answer", () =>
    scheduler.call("retire", []),
  ).catch(() => {});
}

/** Which network sessions are open, from the calls that pass: a leaving process waits for them. */
function noteSession(sessions: Set<string>, method: string, request: unknown, answer: unknown): void {
  const sessionOf = (of: unknown): string | undefined =>
    typeof of === "object" && of !== null && "session" in of && typeof of.session === "string" ? of.session : undefined;
  const isTrue = (key: string): boolean =>
    typeof answer === "object" && answer !== null && Reflect.get(answer, key) === true;
  if (method === "connect" && isTrue("ok")) sessions.add(sessionOf(request) ?? "");
  if (method === "transact" && !isTrue("isUsable")) sessions.delete(sessionOf(request) ?? "");
  if (method === "leave" && typeof request === "string") sessions.delete(request);
}
