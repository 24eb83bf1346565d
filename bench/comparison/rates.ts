import { availableParallelism } from "node:os";
import { startCountingSink } from "../../test/peers/counting-sink.ts";
import { attempt } from "./attempt.ts";
import { cellName, type RateCell, type RatePart } from "./cells.ts";
import { isBound, isOurs, type Contender, type ContenderName, type Task } from "./contender.ts";
import type { Field } from "./contenders.ts";
import type { Figures } from "./figures.ts";
import { sampleOf, type Sample } from "./sampling.ts";
import type { Plan } from "./plan.ts";
import { calmest } from "./stolen.ts";

/**
 * What each server takes before it is measured, however short the samples are: until about here V8 compiles what it
 * finds to be used, which is not the price of a message in a server that runs for weeks (ours, each 4,000 messages: 0.49, 0.37, 0.41
 * and then 0.25 to 0.31 ms). Those in C are warm at once. Each process compiles for itself, so a server with several that receive takes
 * as many times that: behind 16,000 messages V8's helper threads took 104 µs a message of two of them, behind 64,000 some 25.
 */
const WARM_UP_MESSAGES = { ours: 16_000, inNode: 6000, others: 400 } as const;
/** A handshake is many messages' work, but not all of it is OpenSSL's (ours, each 1,000: 4.9, 3.8, 3.5, 3.2, 3.1, 3.1 and then 2.8 ms). */
const WARM_UP_HANDSHAKES = { inNode: 3000, others: 400 } as const;
/** A slow server gets as many messages as it takes in so long. */
const SAMPLE_S = 5;
const LEAST_MESSAGES = 100;

/**
 * Rates and CPU of one part: in each round all servers start with empty queues, warm up, and take turns at each cell, so that
 * what else the machine does falls on all of them.
 *
 * While the others have their turn a server rests, for half a minute and more, and before that it may have had another load. What it takes to
 * be at work again (V8 compiles anew for what it is given, memory that was handed back is asked for again) is a matter of the turns and not of a
 * message: 0.55 to 0.57 ms for the first 4,000 after a minute's rest, 0.45 for those behind them. So each sample has one of its own size before it that
 * does not count, for all of them alike.
 */
export async function measureRates(part: RatePart, plan: Plan, field: Field, figures: Figures): Promise<void> {
  for (let round = 1; round <= plan.rounds; round++) {
    if (!plan.budget.allowsAnother(part.id)) {
      figures.note(part.id, `${round - 1} of ${plan.rounds} rounds: the time was over.`);
      return;
    }
    const startedAt = performance.now();
    await oneRound(part, round, plan, field, figures);
    plan.budget.took(part.id, performance.now() - startedAt);
  }
}

async function oneRound(part: RatePart, round: number, plan: Plan, field: Field, figures: Figures): Promise<void> {
  const cells = part.cells.filter((cell) => !plan.marksOnly || cell.isMarked === true);
  await using stack = plan.owner();
  const sink = part.task === "relay" ? stack.use(await startCountingSink()) : undefined;
  const task: Task =
    sink !== undefined ? { kind: "relay", to: sink.port } : { kind: part.task === "local" ? "local" : "keep" };
  const arrival = part.task === "relay" ? "sink" : part.task === "local" ? "mailbox" : undefined;
  const running = new Map<ContenderName, Contender>();
  // Who fails is out of this round, by name, and the others go on.
  const unlessItFails = async (name: ContenderName, work: () => Promise<void>): Promise<void> => {
    if (!(await attempt({ part: part.id, name, what: `round ${round}` }, plan, figures, work))) running.delete(name);
  };
  const wanted = { task, hasTls: part.id === "tls" };
  for (const name of field.able(wanted))
    if (!plan.marksOnly || name !== "Postfix, held")
      await unlessItFails(name, async () => {
        running.set(name, stack.use(await field.start(name, wanted)));
      });
  const warmUpShare = Math.max(plan.share, 0.25);
  const rates = new Map<string, number>();
  for (const [name, contender] of running)
    await unlessItFails(name, async () => {
      for (const cell of cells) {
        const messages = Math.max(cell.sessions * 2, Math.round((warmUpOf(name, part) * warmUpShare) / cells.length));
        const { perSecond } = await sampleOf(contender, { ...cell, messages }, arrival, sink);
        rates.set(`${name} ${cellName(cell)}`, perSecond);
      }
    });
  for (const cell of cells)
    for (const [name, contender] of running)
      await unlessItFails(name, async () => {
        const what = cellName(cell);
        const rate = rates.get(`${name} ${what}`) ?? cell.messages;
        const enough = Math.max(LEAST_MESSAGES, cell.sessions * 2, Math.round(rate * SAMPLE_S * plan.share));
        const messages = Math.min(Math.round(cell.messages * plan.share), enough);
        await sampleOf(contender, { ...cell, messages }, arrival, sink);
        const take = (): Promise<Sample> => sampleOf(contender, { ...cell, messages }, arrival, sink);
        const sample = await calmest(plan.mostStolen, take);
        const { perSecond, cpuMsPerMessage, clientCores, stolen } = sample;
        figures.add(part.id, what, "rate", name, perSecond);
        // Milliseconds for one are seconds for a thousand.
        figures.add(part.id, what, "cpu", name, cpuMsPerMessage);
        figures.add(part.id, what, "clients", name, clientCores);
        figures.add(part.id, what, "stolen", name, stolen * 100);
        const said = `${perSecond.toFixed(0)}/s ${cpuMsPerMessage.toFixed(3)} ms, clients ${clientCores.toFixed(2)} of a core, ${(stolen * 100).toFixed(0)} % stolen (${messages})`;
        plan.progress(`${part.id} ${round} ${what} ${name}: ${said}${tlsNote(part, cell, contender, sample, figures)}`);
      });
}

function warmUpOf(name: ContenderName, part: RatePart): number {
  const processes = name === "Posthorn, split" ? availableParallelism() : 1;
  const messages = isOurs(name)
    ? WARM_UP_MESSAGES.ours * processes
    : name === "Haraka" || isBound(name)
      ? WARM_UP_MESSAGES.inNode
      : WARM_UP_MESSAGES.others;
  if (part.id !== "tls") return messages;
  const handshakes = messages > WARM_UP_MESSAGES.others ? WARM_UP_HANDSHAKES.inNode : WARM_UP_HANDSHAKES.others;
  return Math.min(messages, handshakes * processes);
}

/** What the client's side cost, and whether the sessions were what the cell says. */
function tlsNote(part: RatePart, cell: RateCell, { name }: Contender, { tls }: Sample, figures: Figures): string {
  if (tls === undefined) return "";
  const { resumed, sessions, facts } = tls;
  if (cell.tls === "resumed" && resumed < sessions * 0.98)
    figures.note(part.id, `${name} resumed ${((resumed / sessions) * 100).toFixed(0)} % of the sessions in that cell.`);
  if (cell.tls !== "resumed" && resumed > 0) throw new Error(`${name}: ${resumed} sessions were resumed`);
  figures.note(part.id, `${name}: ${facts}.`);
  return `; ${resumed} of ${sessions} resumed; ${facts}`;
}
