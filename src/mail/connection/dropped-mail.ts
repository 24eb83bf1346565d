import { z } from "zod";
import { escapeControls } from "../../foundation/escape.ts";
import { parseNotify, VERP_DELIMITERS } from "../../protocol/smtp/parameters.ts";
import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";

/**
 * A mail in the drop folder: a line of JSON, an LF, and the content as it is. Users' programs write it while the server is
 * down; so everything in it is what some user says, but for whose it is: that is the owner of the file.
 */
export interface DroppedMail {
  /** In wire form; `""` is the null sender. */
  readonly sender: string;
  readonly recipients: readonly string[];
  /** As sendmail's -N, -R, -V and -XV have them. */
  readonly notify?: string | undefined;
  readonly dsnReturn?: "FULL" | "HDRS" | undefined;
  readonly envelopeId?: string | undefined;
  readonly verp?: string | undefined;
}

const VERSION = 1;
const LF = 10;
const MOST_HEAD_BYTES = 4 * 1024 * 1024;
const address = z.string().max(1000);

const format = z.object({ posthorn: z.int() });
const head = z.strictObject({
  posthorn: z.literal(VERSION),
  sender: address,
  recipients: z.array(address.min(1)).min(1).max(10_000),
  notify: z
    .string()
    .max(100)
    .refine((text) => parseNotify(text) !== undefined, "is NEVER, or a list of SUCCESS, FAILURE, DELAY")
    .optional(),
  dsnReturn: z.enum(["FULL", "HDRS"]).optional(),
  envelopeId: z
    .string()
    .max(100)
    .regex(/^[\x20-\x7e]+$/, "is printable ASCII")
    .optional(),
  verp: z.string().regex(VERP_DELIMITERS, "is empty, or two characters of - = +").optional(),
});

export function writeDropped(mail: DroppedMail, content: Uint8Array): Buffer {
  const { sender, recipients, notify, dsnReturn, envelopeId, verp } = mail;
  const line = JSON.stringify({ posthorn: VERSION, sender, recipients, notify, dsnReturn, envelopeId, verp });
  return Buffer.concat([Buffer.from(`${line}\n`), content]);
}

/** `isNewer`: a later Posthorn wrote it, and one will be able to read it. */
export type DropProblem = Problem & { readonly isNewer?: true };

export function readDropped(file: Buffer): Result<{ mail: DroppedMail; content: Buffer }, DropProblem> {
  const end = file.subarray(0, MOST_HEAD_BYTES).indexOf(LF);
  if (end < 0) return refused({ at: 0, expected: "a line of JSON in front of the mail" });
  let written: unknown;
  try {
    written = JSON.parse(file.subarray(0, end).toString("utf8"));
  } catch {
    return refused({ at: 0, expected: "JSON in the first line" });
  }
  const { posthorn: version = VERSION } = format.safeParse(written).data ?? {};
  if (version > VERSION)
    return refused({ at: 0, expected: `format ${VERSION}, and found ${version}, a newer Posthorn's`, isNewer: true });
  const parsed = head.safeParse(written);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return refused({
      at: 0,
      // The words repeat names that stand in the file, whatever is in them.
      expected: escapeControls(
        `a mail handed in by posthorn: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`.slice(0, 300),
      ),
    });
  }
  const { posthorn: _version, ...mail } = parsed.data;
  return ok({ mail, content: file.subarray(end + 1) });
}
