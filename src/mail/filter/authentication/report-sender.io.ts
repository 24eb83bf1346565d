import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { Clock, Timer } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { Emit } from "../../../foundation/events.ts";
import { organizationalDomain } from "../../../protocol/authentication/organizational-domain.ts";
import type { Resolver } from "../../../protocol/dns/resolver.ts";
import { DAY_MS, isTriedAgain, type DmarcReportData, type DmarcReportPort } from "./dmarc-collector.ts";
import { reportDocument, reportMail, type ReportSender } from "./dmarc-report-mail.ts";
import { dmarcReportNotSent, dmarcReportSent } from "./events.ts";
import { reportDestinations } from "./report-destinations.ts";

/** How soon somebody who asks for reports by hand sees them leave. */
const LOOK_EVERY_MS = 5_000;
const ONE_REPORT_MS = 60_000;
const compress = promisify(gzip);

export interface ReportSending {
  readonly port: Pick<DmarcReportPort, "claimDmarcReport" | "dmarcReportEnded">;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly resolver: Resolver;
  readonly sender: ReportSender;
  /** Hands a mail to our own reception; says why not. */
  readonly submit: (to: readonly string[], content: Buffer) => Promise<NotTaken | undefined>;
}

interface NotTaken {
  readonly text: string;
  /** No repeat helps. */
  readonly isLasting: boolean;
}

/** Sends what is due, a report at a time, as long as it runs. */
export function reportSender(parts: ReportSending): { close(): Promise<void> } {
  const { clock } = parts;
  const ending = new AbortController();
  let timer: Timer | undefined;
  let running: Promise<void> | undefined;
  const round = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const data = await parts.port.claimDmarcReport().catch(() => undefined);
      if (data === undefined) return;
      // oxlint-disable-next-line no-await-in-loop -- as above
      await sendOne(data, parts, ending.signal);
    }
  };
  const later = (): void => {
    timer = clock.after(LOOK_EVERY_MS, () => {
      running = round().finally(() => {
        running = undefined;
        if (!ending.signal.aborted) later();
      });
    });
  };
  later();
  return {
    async close() {
      ending.abort();
      timer?.cancel();
      await running;
    },
  };
}

async function sendOne(data: DmarcReportData, parts: ReportSending, ending: AbortSignal): Promise<void> {
  const { domain, day, taken: had = [] } = data;
  const mailsTo = (to: readonly string[]): string => `sent on ${data.mails} mails to ${to.join(", ")}`;
  const ended = async (outcome: string, repeats: boolean): Promise<void> => {
    const willRepeat = repeats && isTriedAgain(day, parts.clock.now());
    if (repeats) parts.emit(dmarcReportNotSent, { domain, reason: outcome, willRepeat });
    const whole = had.length === 0 ? outcome : `${mailsTo(had)}; ${outcome}`;
    await parts.port.dmarcReportEnded(domain, day, whole, repeats).catch(() => {});
  };
  try {
    const signal = AbortSignal.any([ending, AbortSignal.timeout(ONE_REPORT_MS)]);
    const destinations = await reportDestinations(domain, parts.resolver, organizationalDomain, signal);
    if (destinations.kind === "failed") return await ended(destinations.text, true);
    if (destinations.kind === "none") return await ended(`not sent: ${destinations.because}`, false);
    const nowAt = parts.clock.now();
    // A DNS that has not answered for a day keeps its own from the report, and no others.
    const [unknown] = destinations.unknown;
    if (unknown !== undefined && nowAt < (day + 2) * DAY_MS) return await ended(unknown.text, true);
    const document = reportDocument(data, parts.sender, nowAt);
    const gzipped = await compress(document.xml);
    const to = destinations.addresses.flatMap(({ address, mostBytes }) =>
      mostBytes === undefined || gzipped.length <= mostBytes ? [address] : [],
    );
    if (to.length === 0) return await ended("not sent: it is larger than its domain wants", false);
    const taken: string[] = [];
    const left = destinations.unknown.map(({ address, text }) => ({ address, text, isLasting: true }));
    // Each by itself: one that is refused here keeps the others from nothing.
    for (const address of to.filter((one) => !had.includes(one))) {
      const mail = reportMail(document, gzipped, data, [address], parts.sender, nowAt);
      const refused = await parts.submit([address], mail);
      if (refused === undefined) taken.push(address);
      else left.push({ address, ...refused });
    }
    const all = [...had, ...taken];
    if (all.length === 0) return await ended(left.at(-1)?.text ?? "", true);
    if (taken.length > 0) parts.emit(dmarcReportSent, { domain, to: taken, mails: data.mails });
    // Of a day that goes on the report grows, and who has one would not get the rest.
    const repeats = nowAt >= (day + 1) * DAY_MS && left.some(({ isLasting }) => !isLasting);
    const reasons = left.map(({ address, text, isLasting }) => {
      const reason = `not to ${address}: ${text}`;
      const willRepeat = !isLasting && repeats && isTriedAgain(day, nowAt);
      parts.emit(dmarcReportNotSent, { domain, reason, willRepeat });
      return reason;
    });
    const outcome = [mailsTo(all), ...reasons].join("; ");
    await parts.port.dmarcReportEnded(domain, day, outcome, repeats, taken).catch(() => {});
  } catch (thrown) {
    // It is claimed anew when the claim has run out.
    if (ending.aborted) return;
    await ended(messageOf(thrown), true);
  }
}
