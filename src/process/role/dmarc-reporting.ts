import type { Socket } from "node:net";
import type { Clock } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import { dmarcCollector } from "../../mail/filter/authentication/dmarc-collector.ts";
import type { DmarcObservation } from "../../mail/filter/authentication/dmarc-observation.ts";
import type { KnownClient } from "../../mail/session/services.ts";
import type { Resolver } from "../../protocol/dns/resolver.ts";
import { submitInside } from "./inner-submission.ts";
import { TRUSTED_ACCOUNT } from "../settings/local-users.ts";
import type { LookupPort } from "./lookup.ts";
import type { Settings } from "../settings/settings.ts";

/** Where reception's filters tell what they saw for DMARC's reports, and where reports that are due leave as mail of our own. */
export interface DmarcReporting {
  observe(observation: DmarcObservation): void;
  /** From now on with these settings. */
  take(settings: Pick<Settings, "dmarcReports" | "hostname">, resolver: Resolver | undefined): void;
  close(): Promise<void>;
}

export function dmarcReporting(parts: {
  readonly lookup: LookupPort;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly accept: (socket: Socket, known: KnownClient) => void;
}): DmarcReporting {
  const { lookup, clock, emit } = parts;
  const collector = dmarcCollector(lookup, clock);
  let sending: { close(): Promise<void> } | undefined;
  /** Counts the settings: what was begun for earlier ones does not start any more. */
  let taken = 0;
  const ending = new Set<Promise<void>>();
  const end = (): void => {
    taken++;
    const ended = sending?.close();
    sending = undefined;
    if (ended === undefined) return;
    const left: Promise<void> = ended.finally(() => ending.delete(left));
    ending.add(left);
  };
  return {
    observe: (observation) => collector.observe(observation),
    take({ dmarcReports, hostname }, resolver) {
      end();
      if (dmarcReports === undefined || resolver === undefined) return;
      const { from, organization = hostname, contact = from } = dmarcReports;
      const own = taken;
      // The list of public suffixes and what makes reports are for those who send some.
      void import("../../mail/filter/authentication/report-sender.io.ts").then(({ reportSender }) => {
        if (own !== taken) return;
        sending = reportSender({
          port: lookup,
          clock,
          emit,
          resolver,
          sender: { from, organization, contact, hostname },
          async submit(to, content) {
            const known = { account: TRUSTED_ACCOUNT, mechanism: "report" };
            const message = { sender: from, recipients: to, content };
            const injected = await submitInside(parts.accept, known, message, hostname);
            if (injected.kind === "taken") return undefined;
            if (injected.kind === "broken") return { text: injected.text, isLasting: false };
            return { text: injected.lines.join("; "), isLasting: injected.isLasting };
          },
        });
      });
    },
    async close() {
      end();
      await Promise.all(ending);
      await collector.close();
    },
  };
}
