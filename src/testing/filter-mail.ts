import type { FilterFacts, FilterMail, MailFacts } from "../mail/filter/filter.ts";
import { filterMail } from "../mail/filter/filter-mail.ts";
import type { FilterWorld } from "../mail/filter/filter-world.ts";
import { keptInMemory, memoryRoom } from "../mail/filter/kept-content.ts";
import { systemClock } from "../foundation/clock.io.ts";
import type { EventDeclaration, FieldDeclaration, FieldsOf } from "../foundation/events.ts";
import { noTrace } from "../foundation/line-trace.ts";
import { seededRandom } from "../foundation/random.ts";
import { zoneResolver } from "./dns-zone.ts";
import { trustIn } from "./trust.ts";

/** A session that has come as far as the content: for tests of filters. */
export function testFacts(
  changes: Partial<FilterFacts> = {},
  mail: Partial<MailFacts> = {},
): FilterFacts & { readonly mail: MailFacts } {
  return {
    session: "s1",
    listener: "smtp",
    hostname: "mx.example.org",
    protocol: "smtp",
    server: { address: "192.0.2.1", port: 25 },
    client: { address: "192.0.2.99", port: 40_000, name: "client.example.net" },
    greeting: "EHLO",
    helo: "client.example.net",
    tags: [],
    ...changes,
    mail: {
      message: "3f8Q0000000000001",
      sender: "alice@example.net",
      parameters: [],
      recipients: [{ address: "bob@example.org", parameters: [] }],
      isInternational: false,
      body: "8BITMIME",
      ...mail,
    },
  };
}

/** A mail of its text (LF or CRLF), as filters get it. */
export function testMail(
  text: string,
  changes: { readonly facts?: Partial<FilterFacts>; readonly mail?: Partial<MailFacts>; readonly trace?: string } = {},
): FilterMail {
  const bytes = Buffer.from(text.replace(/\r?\n/g, "\r\n"));
  const end = bytes.indexOf("\r\n\r\n");
  const header = bytes.subarray(0, end < 0 ? bytes.length : end + 2);
  return filterMail({
    facts: testFacts(changes.facts, changes.mail),
    trace: changes.trace ?? "Received: from client.example.net by mx.example.org; Sat, 21 Nov 2026 12:00:00 +0000\r\n",
    header,
    body: keptInMemory(end < 0 ? Buffer.alloc(0) : bytes.subarray(end + 4)),
    room: () => memoryRoom(1 << 20),
  });
}

/** A world for filters whose events are collected as `name` and their line. */
export function testFilterWorld(changes: Partial<FilterWorld> = {}): FilterWorld & { readonly told: string[] } {
  const told: string[] = [];
  return {
    clock: systemClock,
    random: seededRandom(1),
    emit: <Declared extends Record<string, FieldDeclaration>>(
      event: EventDeclaration<Declared>,
      fields: FieldsOf<Declared>,
    ) => {
      told.push(`${event.name} ${event.line(fields)}`);
    },
    resolver: zoneResolver({}),
    tables: new Map(),
    trust: trustIn(),
    hostname: "mx.example.org",
    version: "0.0.0",
    trace: noTrace,
    secrets: {},
    told,
    ...changes,
  };
}
