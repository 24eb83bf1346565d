import { join } from "node:path";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { messageOf } from "../../src/foundation/error.ts";
import { envelopeIdOf, messageIdMaker, type MessageId } from "../../src/foundation/ids.ts";
import { createJournal } from "../../src/mail/log/journal.io.ts";
import type { EventRecord } from "../../src/mail/log/record.ts";
import { journalSettings } from "../../src/mail/log/settings.ts";
import { openIntake } from "../../src/mail/queue/intake.io.ts";
import { queueSettings } from "../../src/mail/queue/settings.ts";
import { openStore } from "../../src/mail/queue/store.io.ts";
import type { Operation } from "../../src/mail/queue/store.ts";
import type { BareKeeping, BareMail } from "./bare-keeping.ts";

const LIFETIME_MS = 345_600_000;

/**
 * Mail in Posthorn's own queue, its story in Posthorn's own journal, and no more of either than the promises ask for: a message with its
 * envelope in one transaction, synced before the 250; what a scheduler would have to be told, for replays; one event for what was taken and one for what
 * was sent on. A server says more (four events, and seven), and has to find out first what it writes here as constants.
 */
export async function keepInStores(folder: string): Promise<BareKeeping> {
  const clock = systemClock;
  const settings = queueSettings.parse({});
  const directory = join(folder, "queue");
  const store = await openStore({ directory, settings, clock });
  const intake = openIntake({ directory, settings, clock });
  const journal = createJournal({
    path: join(folder, "journal", "journal.db"),
    settings: journalSettings.parse({}),
    clock,
    reports: { trouble: (_, problem) => fail(problem), lost: (sink) => fail(`${sink} lost events`) },
    onRefused: ([row]) => fail(row?.problem),
  });
  const nextId = messageIdMaker(clock, 0);
  const from = { role: "bare", pid: process.pid, startedAt: clock.now() };
  const ids = new WeakMap<BareMail, MessageId>();
  let events: EventRecord[] = [];
  let queued: unknown[] = [];
  let writes = 0;

  const tell = (name: string, fields: EventRecord["fields"]): void => {
    if (events.length === 0) setImmediate(flush);
    events.push({ at: clock.now(), name, level: "info", from, fields });
  };
  const record = (input: unknown): void => journal.recordInput(clock.now(), JSON.stringify(input));
  const flush = (): void => {
    if (queued.length > 0) record({ on: "queued", envelopes: queued });
    journal.write(events);
    events = [];
    queued = [];
  };
  const keep = async (mail: BareMail, done: () => void): Promise<void> => {
    const id = nextId();
    ids.set(mail, id);
    const content = Buffer.from(mail.content, "latin1").subarray(0, -3);
    const writer = intake.begin(id);
    await writer.write(content);
    const commit = commitOf(id, mail, content.length, await writer.finish(), clock.now());
    await store.apply([commit]);
    const { message, envelopes } = commit;
    for (const { envelope, progress } of envelopes)
      queued.push({ id: envelope.id, message: id, recipient: envelope.recipient, action: envelope.action, progress });
    tell("session.kept", {
      session: message.origin.session,
      message: id,
      client: "localhost[127.0.0.1]",
      from: message.sender,
      to: [envelopes[0]?.envelope.recipient ?? ""],
      sizeBytes: message.sizeBytes,
    });
    done();
  };
  return {
    keep: (mail, done) => void keep(mail, done).catch(fail),
    forget(mail) {
      const message = ids.get(mail);
      if (message === undefined) return;
      const envelope = envelopeIdOf(message, 1);
      record({ on: "transacted", outcomes: [{ kind: "delivered", envelope, text: "250 2.0.0 Ok" }] });
      tell("delivery.smtp", { envelope, to: mail.to, relay: "127.0.0.1[127.0.0.1]", status: "sent" });
      store.apply([{ do: "remove", envelope }]).then(() => record({ on: "written", write: ++writes }), fail);
    },
  };
}

/** What is measured must not go wrong in silence. */
function fail(problem: unknown): void {
  if (problem === undefined) return;
  process.stderr.write(`bare-stores.ts: ${messageOf(problem)}\n`);
  process.exit(1);
}

function commitOf(
  id: MessageId,
  { from, to }: BareMail,
  sizeBytes: number,
  body: Extract<Operation, { do: "commit" }>["body"],
  now: number,
): Extract<Operation, { do: "commit" }> {
  return {
    do: "commit",
    message: {
      id,
      sender: from.slice("MAIL FROM:<".length, -1),
      receivedAt: now,
      sizeBytes,
      content: "7bit",
      isInternational: false,
      origin: {
        listener: "smtp",
        protocol: "ESMTP",
        session: "smtp-1",
        address: "127.0.0.1",
        port: 4711,
        helo: "bench",
      },
    },
    body,
    envelopes: [
      {
        envelope: {
          id: envelopeIdOf(id, 1),
          message: id,
          recipient: to.slice("RCPT TO:<".length, -1),
          notify: [],
          action: "onward",
        },
        progress: { state: "queued", dueAt: now, expiresAt: now + LIFETIME_MS, attempts: 0 },
      },
    ],
  };
}
