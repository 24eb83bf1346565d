import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import { partsOfEnvelopeId } from "../../../foundation/ids.ts";
import type { EnvelopeTarget } from "../../../mail/envelope/envelope.ts";
import { failureText } from "../../../mail/envelope/failure-text.ts";
import type { Hindrance, ShownEnvelope, ShownMessage } from "../../../mail/scheduler/admin/admin.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { idOf } from "../selector.ts";
import { instantText, roughDuration, roughSize, senderText } from "../text.ts";
import type { World } from "../world.ts";

export const queueShow: CliCommand = {
  name: "queue show",
  operands: "MESSAGE|ENVELOPE",
  leastOperands: 1,
  mostOperands: 1,
  says: "Shows a message: where it came from, its envelopes, their attempts, and why it is still here.",
  options: {
    headers: { says: "With the message's header section." },
    body: {
      says: "Writes the message's whole content and nothing else, on a terminal with control characters made visible. Needs the control socket, and is logged.",
    },
    json: { says: "As one JSON object." },
  },
  async run(given, world) {
    const id = idOf(queueShow, given.operands[0] ?? "");
    const message = partsOfEnvelopeId(id)?.message ?? id;
    if (given.has("body")) {
      return withServer(given, world, "change", async (server) => {
        let isThere = false;
        const decoder = world.stdout.isTerminal ? new TextDecoder() : undefined;
        for await (const portion of server.stream("queue.content", { message })) {
          isThere = true;
          const bytes = Buffer.from(portion, "base64");
          // Into a file or a program it goes as it is; on a terminal, somebody else's mail would act.
          world.stdout.write(decoder === undefined ? bytes : shownContent(decoder.decode(bytes, { stream: true })));
        }
        if (decoder !== undefined) world.stdout.write(shownContent(decoder.decode()));
        return isThere ? exitCodes.ok : notThere(world, id);
      });
    }
    return withServer(given, world, "query", async (server) => {
      const shown = await server.call("queue.show", { id });
      // A call without a value answers with an empty list.
      if (shown === undefined || !("message" in shown)) return notThere(world, id);
      const reasons = new Map<string, readonly Hindrance[]>();
      for (const { envelope } of shown.envelopes)
        reasons.set(envelope.id, (await server.call("queue.why", { id: envelope.id })) ?? []);
      let headers: string | undefined;
      if (given.has("headers")) {
        // A stream ends the connection; it comes last.
        for await (const part of server.stream("queue.headers", { message }))
          headers = Buffer.from(part, "base64").toString("utf8");
      }
      if (given.has("json")) {
        const why = Object.fromEntries(reasons);
        world.stdout.write(`${harmlessJson({ ...shown, why, headers })}\n`);
      } else world.stdout.write(textOf(shown, reasons, headers, world));
      return exitCodes.ok;
    });
  },
};

/** Lines and tabs stay; carriage returns in front of a line's end are part of it. A line end may be cut apart: then it shows. */
function shownContent(text: string): string {
  return text.replace(/[^\t\n]+/g, (run) => escapeControls(run.replace(/\r$/, "")));
}

function notThere(world: World, id: string): number {
  world.stderr.write(`${id} is not in the queue; posthorn log ${id} tells what became of it\n`);
  return exitCodes.nothing;
}

function textOf(
  shown: ShownMessage,
  reasons: ReadonlyMap<string, readonly Hindrance[]>,
  headers: string | undefined,
  world: World,
): string {
  const { message } = shown;
  const { origin } = message;
  const instant = (at: number): string => instantText(at, world.offsetMinutes);
  const from = [
    origin.clientName ?? origin.helo,
    origin.address === undefined ? undefined : `[${origin.address}]`,
    `listener ${origin.listener}`,
    origin.protocol,
    origin.account === undefined ? undefined : `account ${origin.account}`,
    `session ${origin.session}`,
  ];
  const lines = [
    `message    ${message.id}`,
    `sender     ${senderText(message.sender)}`,
    `received   ${instant(message.receivedAt)} (${roughDuration(world.now() - message.receivedAt)} ago)`,
    `size       ${roughSize(message.sizeBytes)}, ${message.content}${message.isInternational ? ", SMTPUTF8" : ""}`,
    ...(message.isDamaged === true ? ["damaged    the queue's database has lost what is not shown here"] : []),
    `from       ${from.filter((part) => part !== undefined).join(", ")}`,
    ...(message.messageIdField === undefined ? [] : [`message-id ${message.messageIdField}`]),
    ...shown.envelopes.flatMap((envelope) => envelopeLines(envelope, reasons, instant, world.now())),
  ].map(escapeControls);
  // A tab is how header fields are folded, and does no harm.
  if (headers !== undefined) {
    const shownLine = (line: string): string => line.split("\t").map(escapeControls).join("\t");
    lines.push("", ...headers.trimEnd().split(/\r?\n/).map(shownLine));
  }
  return `${lines.join("\n")}\n`;
}

/** How aliases and users' forwards came to it, where that is more than the address that was given. */
function viaLines(via: readonly string[] = []): readonly string[] {
  return via.length === 0 ? [] : [`by way of  ${via.join(" -> ")}`];
}

function targetText(target: EnvelopeTarget): string {
  const user = "user" in target && target.user !== "" ? ` as ${target.user}` : "";
  switch (target.kind) {
    case "user":
      return `the mailbox of ${target.user}${target.isFinal ? ", whatever a .forward says" : ""}`;
    case "command":
      return `|${target.command}${user}`;
    case "file":
      return `${target.path}${user}`;
    case "error":
      return `none: ${target.failure.status} ${failureText(target.failure)}`;
    case "none":
      return `none: ${target.text}`;
  }
}

/** Whom it went to and how long that took, where it went to anybody. */
function byText({ relay, tookMs }: { readonly relay: string; readonly tookMs: number }): string {
  if (relay === "none") return tookMs === 0 ? "" : ` after ${tookMs} ms`;
  return ` by ${relay}, ${tookMs} ms`;
}

function stateText({ live, progress }: ShownEnvelope): string {
  return isInQuarantine(progress) ? "quarantine" : (live ?? progress.state);
}

/** What has died there is dead. */
function isInQuarantine({ state, quarantine }: ShownEnvelope["progress"]): boolean {
  return quarantine !== undefined && state !== "dead";
}

function envelopeLines(
  shown: ShownEnvelope,
  reasons: ReadonlyMap<string, readonly Hindrance[]>,
  instant: (at: number) => string,
  now: number,
): readonly string[] {
  const { envelope, progress } = shown;
  const given = envelope.givenRecipient === undefined ? "" : ` (given as ${envelope.givenRecipient})`;
  return [
    "",
    `envelope   ${envelope.id}`,
    `recipient  ${envelope.recipient}${given}`,
    ...viaLines(envelope.via),
    ...(envelope.sender === undefined ? [] : [`sender     ${senderText(envelope.sender)}`]),
    ...(envelope.target === undefined ? [] : [`target     ${targetText(envelope.target)}`]),
    `action     ${envelope.action}`,
    `state      ${stateText(shown)}, ${progress.attempts} ${progress.attempts === 1 ? "attempt" : "attempts"}${
      // Its time begins anew when it is let go.
      isInQuarantine(progress) ? "" : `, expires ${instant(progress.expiresAt)}`
    }`,
    ...(reasons.get(envelope.id) ?? []).map(
      ({ text, untilAt }) =>
        `waits      ${text}${untilAt === undefined ? "" : `, until ${instant(untilAt)} (in ${roughDuration(untilAt - now)})`}`,
    ),
    ...(shown.earlierAttempts === undefined
      ? []
      : [`attempt    ${shown.earlierAttempts} before: posthorn queue show ${envelope.id}`]),
    ...shown.attempts.map((attempt) => {
      const why = attempt.failure === undefined ? (attempt.replyText ?? "") : failureText(attempt.failure);
      return `attempt    ${instant(attempt.startedAt)} ${attempt.outcome}${byText(attempt)}: ${why}`;
    }),
  ];
}
