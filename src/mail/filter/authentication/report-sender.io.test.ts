import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { AnyEvent } from "../../../foundation/events.ts";
import { virtualClock } from "../../../simulator/clock.ts";
import { zoneResolver } from "../../../testing/dns-zone.ts";
import { DAY_MS } from "./dmarc-collector.ts";
import { reportSender } from "./report-sender.io.ts";

const DAY = 20_000;
const sender = { from: "d@mx.example", organization: "Mail", contact: "d@mx.example", hostname: "mx.example" };
const policy = { p: "none", sp: "none", adkim: "r", aspf: "r", pct: 100 } as const;
const RUA = "v=DMARC1; p=none; rua=mailto:in@example.net,mailto:a..b@example.net,mailto:far@collector.example";
const PERMISSION = "example.net._report._dmarc.collector.example TXT";

function untilTheEnd(_name: string, signal?: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
}

/** One report that is due, so long after its day's end; what became of it. */
async function sent(
  over: {
    readonly zone?: Parameters<typeof zoneResolver>[0];
    readonly afterMs?: number;
    readonly refuses?: (address: string) => boolean;
    /** With this, for now. */
    readonly refusesWith?: string;
    readonly taken?: readonly string[];
    readonly isClosed?: boolean;
  } = {},
): Promise<{ to: string[]; ends: string[]; told: string[] }> {
  const clock = virtualClock((DAY + 1) * DAY_MS + (over.afterMs ?? 60_000));
  const to: string[] = [];
  const ends: string[] = [];
  const told: string[] = [];
  const resolver = zoneResolver({ "_dmarc.example.net TXT": [RUA], [PERMISSION]: ["v=DMARC1"], ...over.zone });
  let isDue = true;
  const sending = reportSender({
    port: {
      async claimDmarcReport() {
        const data = { domain: "example.net", day: DAY, policy, mails: 1, rows: [], taken: over.taken ?? [] };
        return isDue ? ((isDue = false), data) : undefined;
      },
      async dmarcReportEnded(_domain, _day, outcome, repeats, taken = []) {
        const without = repeats && taken.length > 0 ? ` without ${taken.join(", ")}` : "";
        ends.push(`${repeats ? "again" : "over"}${without}: ${outcome}`);
      },
    },
    clock,
    emit: (event, fields) => void told.push((event as AnyEvent).line(fields as never) ?? ""),
    resolver: over.isClosed === true ? { ...resolver, txt: untilTheEnd } : resolver,
    sender,
    submit: async (addresses, content) => {
      if (addresses.some((one) => over.refuses?.(one) === true))
        return { text: over.refusesWith ?? "550 5.1.2 no such domain", isLasting: over.refusesWith === undefined };
      for (const one of addresses) {
        assert.ok(content.includes(`To: <${one}>\r\n`) || addresses.length > 1);
        to.push(one);
      }
      return undefined;
    },
  });
  await clock.advance(5000);
  if (over.isClosed !== true) for (let turns = 0; turns < 50 && ends.length === 0; turns++) await turn();
  await sending.close();
  return { to, ends, told };
}

test("an address that is none, or that is refused here, keeps the others from nothing", async () => {
  const all = await sent();
  assert.deepEqual(all.to, ["in@example.net", "far@collector.example"]);
  assert.deepEqual(all.ends, ["over: sent on 1 mails to in@example.net, far@collector.example"]);
  const one = await sent({ refuses: (address) => address.startsWith("far@") });
  assert.deepEqual(one.to, ["in@example.net"]);
  assert.match(one.ends.join(), /^over: sent on 1 mails to in@example\.net; not to far@collector\.example: 550 /);
  const none = await sent({ refuses: () => true });
  assert.match(none.ends.join(), /^again: /);
  assert.match(none.told.join(), /not sent, tried again in an hour: .*550 5\.1\.2/);
});

test("an address that is refused for now gets its report in an hour, and the others no second one", async () => {
  const isFar = (address: string): boolean => address.startsWith("far@");
  const early = await sent({ refuses: isFar, refusesWith: "451 4.3.0 later" });
  assert.deepEqual(early.to, ["in@example.net"]);
  const outcome = "sent on 1 mails to in@example.net; not to far@collector.example: 451 4.3.0 later";
  assert.deepEqual(early.ends, [`again without in@example.net: ${outcome}`]);
  assert.match(early.told.join(), /not sent, tried again in an hour: not to far@collector\.example: 451/);
  const again = await sent({ taken: ["in@example.net"] });
  assert.deepEqual(again.to, ["far@collector.example"]);
  assert.deepEqual(again.ends, ["over: sent on 1 mails to in@example.net, far@collector.example"]);
  const late = await sent({ taken: ["in@example.net"], refuses: isFar, refusesWith: "451 4.3.0 later" });
  assert.deepEqual([late.to, late.ends], [[], [`again: ${outcome}`]]);
  const ofToday = await sent({ afterMs: -60_000, refuses: isFar, refusesWith: "451 4.3.0 later" });
  assert.deepEqual(ofToday.ends, [`over: ${outcome}`], "who has it would not get the rest of the day");
});

test("a permission that cannot be looked up is waited for; after a day those who can have the report get it", async () => {
  const zone = { [PERMISSION]: "fail" } as const;
  const early = await sent({ zone });
  assert.deepEqual([early.to, early.ends], [[], ["again: no answer"]]);
  const late = await sent({ zone, afterMs: DAY_MS + 60_000 });
  assert.deepEqual(late.to, ["in@example.net"]);
  assert.match(
    late.ends.join(),
    /^over: sent on 1 mails to in@example\.net; not to far@collector\.example: no answer$/,
  );
});

test("that a report is tried again is only said where it is", async () => {
  const zone = { "_dmarc.example.net TXT": "fail" } as const;
  assert.match((await sent({ zone })).told.join(), /not sent, tried again in an hour: no answer/);
  const last = await sent({ zone, afterMs: 3 * DAY_MS + 60_000 });
  assert.match(last.told.join(), /not sent: no answer/);
});

test("a report whose sending is cut off by a stop or a reload is claimed once more, and nothing is said of it", async () => {
  const { ends, told } = await sent({ isClosed: true });
  assert.deepEqual([ends, told], [[], []]);
});
