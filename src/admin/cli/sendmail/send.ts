import { escapeControls } from "../../../foundation/escape.ts";
import { messageOf, PosthornError, systemCodeOf } from "../../../foundation/error.ts";
import type { CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { injectMessage, type Injected } from "./inject.ts";
import { readDropped, writeDropped } from "../../../mail/connection/dropped-mail.ts";
import { prepareMessage, type OutgoingMessage } from "./outgoing-message.ts";
import { parseSendmailArguments, type SendmailRequest } from "./sendmail-arguments.ts";
import type { Dialled, DropPlace, InjectionPlace, SubmitPlace, World } from "../world.ts";

/** A message beyond this is no mail; the listener's own limit is far below. */
const MOST_BYTES = 512 * 1024 * 1024;
const CONNECT_MS = 10_000;
const SILENCE_MS = 10 * 60_000;

/** Read by `--help` and the reference; its options are sendmail's and parsed by `sendmail-arguments.ts`. */
export const send: CliCommand = {
  name: "send",
  operands: "[RECIPIENT]...",
  leastOperands: 0,
  mostOperands: Number.POSITIVE_INFINITY,
  says: "Sends the mail on standard input, as programs expect of a sendmail.",
  explains:
    "The mail goes to all recipients or to none. Users hand it in as who they are, through the socket of `local-submission`; while the server is down, or turns them away, it waits in the drop folder. Exits with 0 when the server has it on disk, 75 when it may be tried again, " +
    "67 for an unknown recipient, 69 for what is refused otherwise, 64 or 65 for mistakes in the call or the message. " +
    "Classic options without a meaning here (-o..., -m, -U, -v, -B, ...) are accepted.",
  options: {
    t: { short: "t", says: "Takes recipients from To, Cc and Bcc too, and removes Bcc." },
    f: {
      short: "f",
      value: "ADDRESS",
      says: "The envelope sender; `<>` for none. Without it: you, at this host, or in its first local domain.",
    },
    F: { short: "F", value: "NAME", says: "Your full name, for a missing From field." },
    i: { short: "i", says: "A line with only a dot does not end the mail (-oi too)." },
    bs: { says: "(-bs) Speaks SMTP on standard input and output." },
    N: { short: "N", value: "WHEN", says: "Notices wanted: never, or success,failure,delay." },
    R: { short: "R", value: "WHAT", says: "What a bounce returns: full or hdrs." },
    V: { short: "V", value: "ID", says: "The envelope id that notices name." },
    XV: { says: "(-XV, -XV+=) A sender of its own for each recipient (VERP), where the server lets you ask." },
    file: { value: "FILE", says: "The settings file (-f is the sender here)." },
    server: { value: "PLACE", says: "HOST:PORT or a socket's path, rather than the settings' listener." },
  },
  run: () => Promise.resolve(exitCodes.software),
};

export async function runSend(argv: readonly string[], world: World): Promise<number> {
  const request = parseSendmailArguments(argv);
  if (!request.ok) return complain(world, request.problem, exitCodes.usage, "posthorn send --help says how to use it");
  const { settingsFile, server, mode } = request.value;
  if (mode === "nothing") return exitCodes.ok;
  // With --server no settings are needed; a user may not be allowed to read them.
  const places = server === undefined ? await world.locate(settingsFile) : undefined;
  const hostname = places?.hostname ?? world.hostname;
  const submit = places?.submit;
  const injection = async (): Promise<readonly InjectionPlace[]> =>
    server === undefined ? ((await places?.injection()) ?? []) : [placeOf(server)];
  if (mode === "smtp")
    return speakSmtp(await dialFirst(submit === undefined ? await injection() : [submit], world), world);

  const input = await readAll(world);
  if (input === undefined) return complain(world, "the mail is larger than 512 MiB", exitCodes.dataError);
  const now = world.now();
  const message = prepareMessage(input, request.value, {
    now,
    offsetMinutes: world.offsetMinutes(now),
    id: world.uniqueId(),
    hostname,
    mailName: places?.mailName ?? hostname,
    callerName: world.caller.name,
    callerFullName: world.caller.fullName,
  });
  if (!message.ok) {
    const code = message.problem.in === "arguments" ? exitCodes.usage : exitCodes.dataError;
    return complain(world, message.problem.text, code);
  }
  // Never a port while the server should be there: whoever has taken it meanwhile would get the mail.
  const connection =
    submit === undefined ? await dialFirst(await injection(), world) : await reach(submit, submit.drop, world);
  if ("mostBytes" in connection) return leave(connection, message.value, request.value, world);
  const injected = await injectMessage(connection, message.value, request.value, hostname);
  // It has too many connections of ours, or is about to stop: the mail waits as if it were not there.
  const isTurnedAway = injected.kind === "refused" && injected.at === "greeting" && !injected.isLasting;
  if (isTurnedAway && submit?.drop !== undefined) return leave(submit.drop, message.value, request.value, world);
  return report(injected, request.value, world);
}

/** The server, or the place where the mail can wait for it. */
async function reach(submit: SubmitPlace, drop: DropPlace | undefined, world: World): Promise<Dialled | DropPlace> {
  try {
    return await dialFirst([submit], world);
  } catch (thrown) {
    if (drop === undefined) throw thrown;
    return drop;
  }
}

/**
 * The server takes it in when it comes back, and gives it back by mail if it must refuse it. What it could not even read from
 * there is not left: the program is told while it can still do something about it.
 */
async function leave(
  { folder, mostBytes }: DropPlace,
  message: OutgoingMessage,
  request: SendmailRequest,
  world: World,
): Promise<number> {
  const { sender, recipients, content } = message;
  const { notify, dsnReturn, envelopeId, verp } = request;
  const file = writeDropped({ sender, recipients, notify, dsnReturn, envelopeId, verp }, content);
  const cannotWait = (because: string, advice: string): number =>
    complain(
      world,
      `no server takes mail, and this one cannot wait in ${folder}: ${because}`,
      exitCodes.temporary,
      advice,
    );
  if (file.length > mostBytes)
    return cannotWait(
      `it is larger than ${mostBytes} bytes`,
      "send it again when the server is there, or set local-submission.drop-size",
    );
  const read = readDropped(file);
  if (!read.ok) return cannotWait(`expected ${read.problem.expected}`, "send it again when the server is there");
  try {
    await world.drop(folder, file);
    return exitCodes.ok;
  } catch (thrown) {
    const text = `no server takes mail, and it cannot wait in ${folder}: ${messageOf(thrown)}`;
    return complain(world, text, exitCodes.temporary, "start the server with posthornd");
  }
}

function report(injected: Injected, request: SendmailRequest, world: World): number {
  switch (injected.kind) {
    case "taken":
      return exitCodes.ok;
    case "broken":
      return complain(world, `the mail was not taken: ${injected.text}`, exitCodes.temporary, "send it again later");
    case "refused": {
      for (const line of injected.lines) world.stderr.write(`posthorn send: ${escapeControls(line)}\n`);
      if (!injected.isLasting) return complain(world, "nothing was sent", exitCodes.temporary, "send it again later");
      const code = injected.at === "recipients" ? exitCodes.noUser : exitCodes.unavailable;
      const advice = request.recipientsFromHeader
        ? "mend To, Cc or Bcc, or the rules"
        : "mend the addresses, or the rules";
      return complain(world, "nothing was sent", code, injected.at === "recipients" ? advice : undefined);
    }
  }
}

function complain(world: World, text: string, code: number, advice?: string): number {
  world.stderr.write(`posthorn send: ${escapeControls(text)}${advice === undefined ? "" : `; ${advice}`}\n`);
  return code;
}

/** The first place where somebody answers. Throws `CONTROL_UNREACHABLE`: the server does not run. */
async function dialFirst(places: readonly InjectionPlace[], world: World): Promise<Dialled> {
  let last: unknown;
  let isForbidden = false;
  for (const place of places) {
    try {
      return await world.dial(place, CONNECT_MS);
    } catch (thrown) {
      last = thrown;
      isForbidden ||= systemCodeOf(thrown) === "EACCES";
    }
  }
  const tried = places.map((place) => ("path" in place ? place.path : `${place.host}:${place.port}`)).join(", ");
  throw new PosthornError("CONTROL_UNREACHABLE", {
    message:
      places.length === 0
        ? "the settings have no listener that takes mail from this machine"
        : `no server takes mail at ${tried}: ${messageOf(last)}`,
    advice:
      places.length === 0
        ? "use --server HOST:PORT"
        : isForbidden
          ? "this user may not open the socket, or a folder above it: mend the rights, or use --server HOST:PORT"
          : "start the server with posthornd, or use --server HOST:PORT",
    cause: last,
  });
}

function placeOf(server: string): InjectionPlace {
  if (server.startsWith("/")) return { path: server };
  const [, host, port] = /^(?:\[?([^\]]*?)\]?)(?::(\d{1,5}))?$/.exec(server) ?? [];
  return { host: host === undefined || host === "" ? "127.0.0.1" : host, port: Number(port ?? 25) };
}

async function readAll(world: World): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of world.stdin) {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
    size += bytes.length;
    if (size > MOST_BYTES) return undefined;
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

/** `-bs`: the program and the server speak with each other; we carry what they say. */
async function speakSmtp(connection: Dialled, world: World): Promise<number> {
  const outwards = (async () => {
    for await (const chunk of world.stdin)
      await connection.write(Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk)), SILENCE_MS);
    connection.end();
  })();
  // When the server is gone, what the program still says has nowhere to go.
  outwards.catch(() => {});
  // Who does not hear the replies cannot know what was taken.
  const { lost } = world.stdout;
  lost.addEventListener("abort", () => connection.close(), { once: true });
  try {
    for (let said = await connection.read(SILENCE_MS); said !== undefined; said = await connection.read(SILENCE_MS))
      world.stdout.write(said);
    await world.stdout.flushed();
    if (!lost.aborted) return exitCodes.ok;
    return complain(world, `the replies cannot be written: ${messageOf(lost.reason)}`, exitCodes.ioError);
  } catch (thrown) {
    if (lost.aborted)
      return complain(world, `the replies cannot be written: ${messageOf(lost.reason)}`, exitCodes.ioError);
    return complain(world, messageOf(thrown), exitCodes.temporary);
  } finally {
    connection.close();
  }
}
