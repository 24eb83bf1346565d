import type { Clock } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { Random } from "../../../foundation/random.ts";
import { backendTally } from "../backend-tally.ts";
import type { BackendAsk, BackendProblem, KeyedBackend } from "../keyed-backend.ts";
import type { RowValue } from "../row-value.ts";
import type { TableAnswer, TableService } from "../table.ts";
import type { TableFinding } from "../tables.ts";
import { createPool, type PoolDriver } from "./pool.ts";
import { poolOptions, type ServerSettings } from "./settings.ts";
import type { SystemTrust } from "./system-trust.ts";

export interface PooledPlan<Connection> {
  /** The table's name, for people. */
  readonly table: string;
  /** `postgres`, `ldap` ... */
  readonly kind: string;
  readonly settings: ServerSettings;
  readonly driver: PoolDriver<Connection>;
  readonly services: readonly TableService[] | undefined;
  ask(connection: Connection, key: string, service: TableService): Promise<RowValue>;
  /** Several keys at once, where the protocol lets questions follow each other before the first is answered. */
  readonly askEach?: (
    connection: Connection,
    keys: readonly string[],
    service: TableService,
  ) => Promise<readonly RowValue[]>;
  /** The setting of each service, below the backend's, for `probe`. */
  readonly probed: readonly { readonly service: TableService; readonly path: readonly string[] }[];
}

export interface PoolWorld {
  readonly clock: Clock;
  readonly random: Random;
  readonly trust: SystemTrust;
  readonly onFinding: (finding: TableFinding) => void;
}

/** No address and no domain is this: a query for it finds nothing, but has to be right. */
const PROBE_KEY = "posthorn-check@posthorn.invalid";

/** Between two times that a table's failing is told. */
const TELL_AGAIN_MS = 60_000;

/**
 * A backend whose questions go over pooled connections. What cannot be found out is `failed`; going down and coming back
 * are told once each.
 */
export function pooledBackend<Connection>(plan: PooledPlan<Connection>, world: PoolWorld): KeyedBackend {
  const { table, kind, settings, driver } = plan;
  const pool = createPool(driver, poolOptions(settings), world.clock, world.random);
  const tally = backendTally(world.clock);
  let toldDownAtMs = Number.NEGATIVE_INFINITY;
  let isToldDown = false;
  let failuresSince = 0;

  /** A failure, and the first answer after it; not more often than now and then, also where every other question fails. */
  const tell = (answer: TableAnswer): void => {
    if (answer.kind === "failed") {
      failuresSince++;
      const nowMs = world.clock.monotonicMs();
      if (isToldDown || nowMs - toldDownAtMs < TELL_AGAIN_MS) return;
      isToldDown = true;
      toldDownAtMs = nowMs;
      failuresSince = 1;
      world.onFinding({ table, text: `${answer.text}; what is asked fails for now` });
    } else if (isToldDown) {
      isToldDown = false;
      world.onFinding({ table, text: `${kind} answers again, after ${failuresSince} failed lookups` });
    }
  };
  const answerOf = (value: RowValue, host: string): TableAnswer => {
    if (value.kind === "found") return { ...value, where: `${kind} ${host}` };
    return value.kind === "failed" ? { kind: "failed", text: `${kind} ${host}: ${value.text}` } : value;
  };
  const failureOf = (thrown: unknown): TableAnswer => ({ kind: "failed", text: `${kind} ${messageOf(thrown)}` });
  const question = async (key: string, service: TableService): Promise<TableAnswer> => {
    try {
      return await pool.use(settings.queryTimeout, async (connection, host) =>
        answerOf(await plan.ask(connection, key, service), host),
      );
    } catch (thrown) {
      return failureOf(thrown);
    }
  };
  const note = (answer: TableAnswer, beganMs: number): void => {
    tally.note(answer, beganMs);
    tell(answer);
  };
  const { askEach } = plan;
  const questions = async (
    asking: NonNullable<typeof askEach>,
    keys: readonly string[],
    service: TableService,
  ): Promise<readonly TableAnswer[]> => {
    const beganMs = world.clock.monotonicMs();
    let answers: readonly TableAnswer[];
    try {
      answers = await pool.use(settings.queryTimeout, (connection, host) =>
        asking(connection, keys, service).then((values) => values.map((value) => answerOf(value, host))),
      );
    } catch (thrown) {
      const failure = failureOf(thrown);
      answers = keys.map(() => failure);
    }
    for (const answer of answers) note(answer, beganMs);
    return answers;
  };
  // Who gives up has been answered by the table; the question goes on to its end, so that its connection is of use for the next.
  return {
    async get(key, { service }: BackendAsk) {
      const beganMs = world.clock.monotonicMs();
      const answer = await question(key, service);
      note(answer, beganMs);
      return answer;
    },
    ...(askEach === undefined
      ? {}
      : { each: (keys: readonly string[], { service }: BackendAsk) => questions(askEach, keys, service) }),
    services: () => plan.services,
    health: () => ({ ...tally.health(`${kind} ${settings.hosts.join(", ")}`), pool: pool.counts() }),
    async probe(): Promise<readonly BackendProblem[]> {
      const problems: BackendProblem[] = [];
      for (const { service, path } of plan.probed) {
        const answer = await question(PROBE_KEY, service);
        if (answer.kind !== "failed") continue;
        // Without a connection each query would fail with the same words.
        const isConnected = pool.counts().open > 0;
        problems.push({ path: isConnected ? path : ["hosts"], text: answer.text });
        if (!isConnected) break;
      }
      return problems;
    },
    close() {
      pool.close();
      return Promise.resolve();
    },
  };
}
