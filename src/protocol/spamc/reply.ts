/** What spamd said in front of the content of its answer. */
export interface SpamdHead {
  /** 0 is success; the others are those of sysexits.h. */
  readonly code: number;
  /** `EX_OK`, `EX_TEMPFAIL`, `PONG` ... */
  readonly word: string;
  readonly contentBytes?: number | undefined;
  readonly spam?: SpamdScore | undefined;
}

export interface SpamdScore {
  readonly isSpam: boolean;
  readonly score: number;
  /** From which score on spamd calls it spam. */
  readonly threshold: number;
}

export type SpamdHeard =
  | { readonly kind: "head"; readonly head: SpamdHead }
  | { readonly kind: "content"; readonly bytes: Buffer }
  /** As much has come as was announced. */
  | { readonly kind: "end" }
  /** No answer of spamd. Nothing behind it can be understood. */
  | { readonly kind: "broken"; readonly text: string };

/**
 * Reads the answer of spamd, however it is cut: `SPAMD/1.1 0 EX_OK`, fields, an empty line, content. Bare LF is taken as a
 * line's end too, as older ones sent it. Keeps the head only, and passes the content on.
 */
export function spamdReplyReader(mostContentBytes: number): {
  push(chunk: Uint8Array): readonly SpamdHeard[];
  /** The connection ended. Empty when all has come; without an announced length this is how content ends. */
  end(): readonly SpamdHeard[];
} {
  let kept = Buffer.alloc(0);
  let head: SpamdHead | undefined;
  let contentBytes = 0;
  let isOver = false;

  const broken = (text: string): readonly SpamdHeard[] => {
    isOver = true;
    return [{ kind: "broken", text }];
  };
  const content = (of: SpamdHead, bytes: Buffer): readonly SpamdHeard[] => {
    const wanted = of.contentBytes === undefined ? bytes.length : of.contentBytes - contentBytes;
    if (bytes.length > wanted) return broken("it sent more than it had announced");
    contentBytes += bytes.length;
    if (contentBytes > mostContentBytes) return broken(`its answer is longer than ${mostContentBytes} bytes`);
    const heard: SpamdHeard[] = bytes.length === 0 ? [] : [{ kind: "content", bytes }];
    if (contentBytes !== of.contentBytes) return heard;
    isOver = true;
    return [...heard, { kind: "end" }];
  };

  return {
    push(chunk) {
      if (isOver) return [];
      if (head !== undefined) return content(head, Buffer.from(chunk));
      kept = Buffer.concat([kept, chunk]);
      const end = endOfHead(kept);
      if (end === undefined) return kept.length > MOST_HEAD ? broken("its answer has no end of the header") : [];
      if (end > MOST_HEAD) return broken("its answer has a header without end");
      const parsed = parseHead(kept.toString("latin1", 0, end));
      if (typeof parsed === "string") return broken(parsed);
      head = parsed;
      if ((head.contentBytes ?? 0) > mostContentBytes)
        return broken(`it announced ${head.contentBytes} bytes, more than ${mostContentBytes}`);
      const rest = kept.subarray(end);
      kept = Buffer.alloc(0);
      return [{ kind: "head", head }, ...content(head, rest)];
    },
    end() {
      if (isOver) return [];
      if (head === undefined) {
        // A refusal is one line, and the connection closes behind it.
        const parsed =
          kept.length === 0 ? "it closed the connection without an answer" : parseHead(kept.toString("latin1"));
        if (typeof parsed === "string") return broken(parsed);
        isOver = true;
        return [{ kind: "head", head: parsed }, { kind: "end" }];
      }
      if (head.contentBytes !== undefined)
        return broken(`it closed the connection after ${contentBytes} of ${head.contentBytes} bytes`);
      isOver = true;
      return [{ kind: "end" }];
    },
  };
}

function endOfHead(bytes: Buffer): number | undefined {
  for (let lf = bytes.indexOf(LF); lf >= 0; lf = bytes.indexOf(LF, lf + 1)) {
    if (bytes[lf + 1] === LF) return lf + 2;
    if (bytes[lf + 1] === CR && bytes[lf + 2] === LF) return lf + 3;
  }
  return undefined;
}

function parseHead(text: string): SpamdHead | string {
  const [first = "", ...lines] = text.split(/\r?\n/);
  const status = /^SPAMD\/\d{1,3}\.\d{1,3} (\d{1,4}) (.{0,200})$/.exec(first);
  if (status === null) return `${JSON.stringify(first.slice(0, SHOWN))} is no answer of spamd`;
  const fields = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) fields.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  const length = fields.get("content-length");
  if (length !== undefined && !/^\d{1,12}$/.test(length))
    return `${JSON.stringify(length.slice(0, SHOWN))} is no length`;
  const spam = fields.get("spam");
  const score = spam === undefined ? undefined : parseScore(spam);
  if (spam !== undefined && score === undefined) return `${JSON.stringify(spam.slice(0, SHOWN))} is no score`;
  return {
    code: Number(status[1]),
    word: (status[2] ?? "").trim(),
    ...(length === undefined ? {} : { contentBytes: Number(length) }),
    ...(score === undefined ? {} : { spam: score }),
  };
}

/** `True ; 15.3 / 5.0` */
function parseScore(text: string): SpamdScore | undefined {
  const found = /^(true|yes|false|no)\s*;\s*(-?\d{1,9}(?:\.\d{1,9})?)\s*\/\s*(-?\d{1,9}(?:\.\d{1,9})?)$/i.exec(text);
  if (found === null) return undefined;
  return { isSpam: /^[ty]/i.test(found[1] ?? ""), score: Number(found[2]), threshold: Number(found[3]) };
}

const LF = 10;
const CR = 13;
const MOST_HEAD = 8192;
const SHOWN = 100;
