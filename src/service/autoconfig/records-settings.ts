import { z } from "zod";
import { count, duration, hostName, path } from "../config/kinds.ts";

const mailto = z.email({ error: "expected an e-mail address" });

/** What should be published in the DNS of the domains whose mail ends here; `posthorn dns` prints and checks it. */
export const domainRecordsSettings = z
  .strictObject({
    mx: z
      .array(z.strictObject({ host: hostName(), preference: count({ min: 0, max: 65_535 }).default(10) }))
      .min(1)
      .optional()
      .describe("The mail exchangers of the domains. Left out: this server's host name, preference 10."),
    spf: z
      .string()
      .regex(/^v=spf1(?: [\x21-\x7e]+)*$/, "expected v=spf1 and its terms, as in: v=spf1 mx -all")
      .default("v=spf1 mx -all")
      .describe("The SPF record: who may send with the domains' addresses."),
    dmarc: z
      .strictObject({
        policy: z
          .enum(["none", "quarantine", "reject"])
          .default("none")
          .describe("What others should do with mail that fails; begin with none and read the reports."),
        reports: z.array(mailto).max(10).optional().describe("Who gets aggregate reports. Left out: postmaster."),
      })
      .prefault({})
      .describe("DMARC (RFC 7489)."),
    dkim: z
      .array(
        z.strictObject({
          selector: z
            .string()
            .regex(
              /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i,
              "expected a selector",
            )
            .describe("The selector that the signer uses."),
          keyFile: path().describe("The signer's key, public or private, as PEM: only its public half is published."),
        }),
      )
      .max(20)
      .default([])
      .describe("Keys that mail of the domains is signed with, by whatever program signs it."),
    mtaSts: z
      .strictObject({
        mode: z.enum(["testing", "enforce", "none"]).default("testing").describe("How serious the policy is."),
        maxAge: duration({ min: "1d", max: "365d" }).prefault("7d").describe("How long others may remember it."),
      })
      .optional()
      .describe(
        "An MTA-STS policy (RFC 8461) for the domains: listeners with `protocol: http` serve it at https://mta-sts.DOMAIN/.",
      ),
    tlsReports: mailto.optional().describe("Who gets reports on TLS failures (RFC 8460). Left out: postmaster."),
  })
  .prefault({})
  .describe("What should stand in the DNS of the domains whose mail ends here, for `posthorn dns`.");
export type DomainRecordsSettings = z.output<typeof domainRecordsSettings>;
