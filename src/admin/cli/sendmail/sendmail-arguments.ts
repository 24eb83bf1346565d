import { refused, ok, type Result } from "../../../foundation/result.ts";

/** What programs ask of a `sendmail`, as they have written it for forty years. */
export interface SendmailRequest {
  /** `bs`: SMTP on standard input and output. `mail`: a message on standard input. */
  readonly mode: "mail" | "smtp" | "queue" | "nothing";
  /** `-t`: recipients from To, Cc and Bcc, besides those given as arguments. */
  readonly recipientsFromHeader: boolean;
  /** `-i`, `-oi`: a line with a dot alone does not end the message. */
  readonly ignoresDots: boolean;
  /** `-f`, `-r`; "" is the null sender. */
  readonly sender?: string | undefined;
  /** `-F`. */
  readonly fullName?: string | undefined;
  /** `-N`, `-R`, `-V`: RFC 3461. */
  readonly notify?: string | undefined;
  readonly dsnReturn?: "FULL" | "HDRS" | undefined;
  readonly envelopeId?: string | undefined;
  /** `-XV`, `-XV+=`, as Postfix has it: a sender for each recipient, with these delimiters or (`""`) the server's. */
  readonly verp?: string | undefined;
  readonly recipients: readonly string[];
  readonly settingsFile?: string | undefined;
  /** `--server`: HOST:PORT or the path of a socket, instead of the settings' listener. */
  readonly server?: string | undefined;
  readonly wantsHelp: boolean;
}

/** Options that take a value, attached or as the next argument. Those without a meaning here are read and ignored. */
const WITH_VALUE = "AbBCdFfhLNOopqRrVX";
/** Of these the value can only be attached: `-q` alone is complete, `-q15m` too. */
const ATTACHED_ONLY = "dqo";
const FLAGS = "GimntUv";
const MOST_ENVELOPE_ID = 100;

/** Reads sendmail's options; `problem` says what is wrong, for people. */
export function parseSendmailArguments(argv: readonly string[]): Result<SendmailRequest, string> {
  const values = new Map<string, string>();
  const recipients: string[] = [];
  let mode: SendmailRequest["mode"] = "mail";
  let ignoresDots = false;
  let recipientsFromHeader = false;
  const rest = [...argv];

  for (let argument = rest.shift(); argument !== undefined; argument = rest.shift()) {
    if (argument === "--") {
      recipients.push(...rest);
      break;
    }
    if (argument.startsWith("--")) {
      const [name, attached] = splitOnce(argument.slice(2), "=");
      if (name === "help") values.set("help", "");
      else if (name === "file" || name === "server") {
        const value = attached ?? rest.shift();
        if (value === undefined) return refused(`--${name} needs a value`);
        values.set(name, value);
      } else return refused(`unknown option --${name}`);
      continue;
    }
    if (!argument.startsWith("-") || argument === "-") {
      recipients.push(argument);
      continue;
    }
    // A cluster: `-ti` is `-t -i`, `-fme@here.example` is `-f me@here.example`.
    for (let at = 1; at < argument.length; at++) {
      const letter = argument.charAt(at);
      if (FLAGS.includes(letter)) {
        if (letter === "i") ignoresDots = true;
        if (letter === "t") recipientsFromHeader = true;
        continue;
      }
      if (!WITH_VALUE.includes(letter)) return refused(`unknown option -${letter}`);
      const attached = argument.slice(at + 1);
      const value = attached !== "" || ATTACHED_ONLY.includes(letter) ? attached : rest.shift();
      if (value === undefined) return refused(`-${letter} needs a value`);
      if (letter === "o" && value === "i") ignoresDots = true;
      if (letter === "b") {
        const asked = MODES[value];
        if (asked === undefined)
          return refused(`-b${value} is not supported${INSTEAD[value] ?? "; -bm, -bs, -bp and -bi are"}`);
        mode = asked;
      }
      values.set(letter === "r" ? "f" : letter, value);
      break;
    }
  }
  // Elsewhere it has the queue tried. With recipients it stands beside a mail, and changes nothing.
  if (values.has("q") && mode === "mail" && recipients.length === 0 && !recipientsFromHeader)
    return refused(
      "-q is not needed: the server tries its queue by itself, and all of it at once by `posthorn queue retry --all`",
    );
  const dsnReturn = values.get("R")?.toUpperCase();
  if (dsnReturn !== undefined && dsnReturn !== "FULL" && dsnReturn !== "HDRS") return refused("-R is full or hdrs");
  const notify = values.get("N")?.toUpperCase();
  if (notify !== undefined && !/^(NEVER|(SUCCESS|FAILURE|DELAY)(,(SUCCESS|FAILURE|DELAY))*)$/.test(notify))
    return refused("-N is never, or a list of success, failure and delay");
  // RFC 3461 section 4.4.
  if ((values.get("V") ?? "").length > MOST_ENVELOPE_ID) return refused("-V is at most 100 characters");
  const sender = values.get("f");
  return ok({
    mode,
    recipientsFromHeader,
    ignoresDots,
    sender: sender === "<>" ? "" : sender,
    fullName: values.get("F"),
    notify,
    dsnReturn,
    envelopeId: values.get("V"),
    verp: /^V((?:[-=+]{2})?)$/.exec(values.get("X") ?? "")?.[1],
    recipients,
    settingsFile: values.get("file"),
    server: values.get("server"),
    wantsHelp: values.has("help"),
  });
}

const MODES: Readonly<Record<string, SendmailRequest["mode"]>> = {
  m: "mail",
  s: "smtp",
  p: "queue",
  i: "nothing",
};

/** What does here what other servers' sendmail does. */
const INSTEAD: Readonly<Record<string, string>> = {
  d: ": posthornd starts the server",
  v: ": `posthorn explain ADDRESS` says what would become of a mail",
};

function splitOnce(text: string, mark: string): readonly [string, string | undefined] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
