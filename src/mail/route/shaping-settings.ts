import { z } from "zod";
import { count, duration, rate } from "../../service/config/kinds.ts";
import { sourceChoice } from "../envelope/source.ts";
import { retrySchedule } from "./retry-schedule.ts";
import { parseShapingPattern, ruleProblem } from "./shaping.ts";

const connections = count({ min: 1, max: 100_000 });

export const shapingRule = z.strictObject({
  connections: connections
    .optional()
    .describe("Most connections for each domain that matches, or to each address of a host."),
  connectionsPerSource: connections
    .optional()
    .describe(
      "For mx: patterns: most connections from one of our addresses to one of the host's. Without it: as `connections`.",
    ),
  mailsPerConnection: count({ min: 1, max: 100_000 }).optional().describe("Most transactions in one session."),
  recipientsPerMail: count({ min: 1, max: 10_000 }).optional().describe("Most recipients in one transaction."),
  domainsPerMail: count({ min: 1, max: 10_000 })
    .optional()
    .describe("Most recipient domains in one transaction, where they share their hosts."),
  rate: rate().optional().describe("Most mails for each of them in a time: `100/min`."),
  connectionRate: rate().optional().describe("Most connections opened for each of them in a time: `5/s`."),
  connectTimeout: duration({ min: "1s", max: "10m" })
    .optional()
    .describe("How long a connection may take to come about. Without it: `delivery.connectTimeout`."),
  sources: sourceChoice
    .optional()
    .describe("Our addresses to connect from, or `pool:name`, where the action names none."),
  retry: retrySchedule("400s")
    .optional()
    .describe("For domains: the waits between attempts. Without it: `scheduler.retry.relay`."),
  together: z
    .strictObject({
      connections: connections.optional().describe("Most connections in all."),
      rate: rate().optional().describe("Most mails in all in a time."),
      connectionRate: rate().optional().describe("Most connections opened in all in a time."),
    })
    .optional()
    .describe("What holds for everything that matches, counted as one, whatever more exact rules say of parts of it."),
});

export const shapingSettings = z
  .record(z.string(), shapingRule)
  .superRefine((rules, context) => {
    for (const [written, rule] of Object.entries(rules)) {
      const problem = ruleProblem(written.toLowerCase().startsWith("mx:") ? "host" : "domain", rule);
      if (problem !== undefined)
        context.addIssue({ code: "custom", path: [written, problem.name], message: problem.text });
    }
    const seen = new Map<string, string>();
    for (const written of Object.keys(rules)) {
      const pattern = parseShapingPattern(written);
      const key = pattern.ok ? `${pattern.value.of} ${pattern.value.key}` : written;
      const earlier = seen.get(key);
      if (!pattern.ok) context.addIssue({ code: "custom", path: [written], message: pattern.problem });
      else if (earlier === undefined) seen.set(key, written);
      else
        context.addIssue({
          code: "custom",
          path: [written],
          message: `means the same as ${earlier}, which stands above`,
        });
    }
  })
  .default({})
  .describe(
    "Limits by destination: `example.com`, `*.example.com`, `*` for recipients' domains, `mx:*.example.net` for next hosts by name.",
  );
