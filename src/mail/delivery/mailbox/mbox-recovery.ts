import type { MailFile } from "./mail-fs.ts";
import { separatorAfter } from "./mbox-format.ts";
import type { Intent, Intents } from "./mbox-intent.ts";

/**
 * What an interrupted delivery left at the end of an mbox, set right under its locks. Our own bytes are known from the
 * intent; whatever differs from them is somebody else's and is kept. Gives what was done, in words, or undefined
 * when there was nothing to do. The intent is gone when this resolves; its open file is closed by the caller.
 */
export async function recoverMbox(
  mbox: MailFile | undefined,
  intent: Intent,
  intents: Intents,
  makeEntryDurable: () => Promise<void>,
): Promise<string | undefined> {
  // Without the mbox there is nothing of ours in it: the envelope comes again and makes it anew.
  if (mbox === undefined) {
    await intents.drop(intent);
    return undefined;
  }
  return intent.kind === "shift"
    ? finishShift(mbox, intent, intents)
    : recoverAppend(mbox, intent, intents, makeEntryDurable);
}

async function recoverAppend(
  mbox: MailFile,
  intent: Intent,
  intents: Intents,
  makeEntryDurable: () => Promise<void>,
): Promise<string | undefined> {
  const { startBytes, path, envelope } = intent;
  const { sizeBytes } = await mbox.status();
  // Not longer than before: nothing of it was written, or a mail reader has rewritten the file since.
  if (sizeBytes <= startBytes || (await intents.isDone(path, envelope))) {
    await intents.drop(intent);
    return undefined;
  }
  const before = await mbox.readAt(Math.max(0, startBytes - 2), Math.min(2, startBytes));
  const separator = Buffer.from(separatorAfter(before.toString("latin1")));
  const { bytes: oursBytes, hasHoles } = await oursIn(mbox, intent, separator);
  if (oursBytes === separator.length + intent.contentBytes && !hasHoles) {
    await mbox.sync();
    await makeEntryDurable();
    await intents.markDone(path, envelope);
    await intents.drop(intent);
    return "the interrupted delivery was complete";
  }
  if (startBytes + oursBytes === sizeBytes) {
    await mbox.truncate(startBytes);
    await mbox.sync();
    await intents.drop(intent);
    return `${oursBytes} bytes of an interrupted delivery were cut off`;
  }
  const othersAt = await othersBeginAt(mbox, startBytes, oursBytes);
  const moveTo = Math.min(othersAt, startBytes + separator.length);
  if (othersAt === moveTo) {
    await intents.drop(intent);
    return undefined;
  }
  const draft = await intents.draft(`${envelope}-shift`, portions(mbox, othersAt, sizeBytes));
  try {
    const shift = await intents.commit(draft, {
      kind: "shift",
      path,
      envelope,
      startBytes: moveTo,
      endBytes: sizeBytes,
    });
    return await closing(shift, () => finishShift(mbox, shift, intents));
  } finally {
    await draft.drop();
  }
}

/** Others' mail moves down over what was torn of ours. */
async function finishShift(mbox: MailFile, intent: Intent, intents: Intents): Promise<string> {
  const what = "an interrupted delivery in front of others' mail was taken out";
  const { startBytes, endBytes, contentBytes, path, envelope } = intent;
  const { sizeBytes } = await mbox.status();
  if (sizeBytes > endBytes) {
    // More came after the crash: it belongs to what is moved.
    const draft = await intents.draft(`${envelope}-shift`, chain(intent, portions(mbox, endBytes, sizeBytes)));
    try {
      const longer = await intents.commit(draft, { kind: "shift", path, envelope, startBytes, endBytes: sizeBytes });
      return await closing(longer, () => finishShift(mbox, longer, intents));
    } finally {
      await draft.drop();
    }
  }
  // Shorter: cut already, the last step was done.
  if (sizeBytes === endBytes) {
    await copyBytes(intent.file, 0, contentBytes, mbox, startBytes);
    await mbox.sync();
    await mbox.truncate(startBytes + contentBytes);
    await mbox.sync();
  }
  await intents.drop(intent);
  return what;
}

async function closing<Value>(intent: Intent, work: () => Promise<Value>): Promise<Value> {
  try {
    return await work();
  } finally {
    await intent.file.close();
  }
}

/**
 * How much of what stands in the mbox, from where the separator and the intent's content were to begin, is ours: what is as it was to be,
 * and zeros in its place. Of what was written before a power cut any part may be missing, with later parts there.
 */
async function oursIn(mbox: MailFile, intent: Intent, separator: Buffer): Promise<Ours> {
  const start = await mbox.readAt(intent.startBytes, separator.length);
  const inSeparator = oursAtBeginning(start, separator);
  if (inSeparator.bytes < separator.length) return inSeparator;
  let { hasHoles } = inSeparator;
  let bytes = 0;
  while (bytes < intent.contentBytes) {
    const wanted = Math.min(PORTION_BYTES, intent.contentBytes - bytes);
    const ours = await intent.file.readAt(bytes, wanted);
    const found = await mbox.readAt(intent.startBytes + separator.length + bytes, wanted);
    const same = oursAtBeginning(found, ours);
    bytes += same.bytes;
    hasHoles ||= same.hasHoles;
    if (same.bytes < wanted) break;
  }
  return { bytes: separator.length + bytes, hasHoles };
}

interface Ours {
  readonly bytes: number;
  /** Some of them are zeros where something else was to be. */
  readonly hasHoles: boolean;
}

/**
 * Where somebody else's bytes begin, when the first that differs is `oursBytes` behind `startBytes`. Ours may have been
 * torn a little earlier and the other's `From ` agree with what we would have written: `From` begins header fields too.
 */
async function othersBeginAt(mbox: MailFile, startBytes: number, oursBytes: number): Promise<number> {
  const windowAt = startBytes + Math.max(0, oursBytes - LOOK_BACK_BYTES);
  const differsAt = startBytes + oursBytes - windowAt;
  const window = (await mbox.readAt(windowAt, differsAt + LOOK_BACK_BYTES)).toString("latin1");
  // Empty lines may stand in front of it; those that agree with ours are taken for ours.
  const beginnings = [...window.matchAll(/\n*From /g)].flatMap(({ index, 0: { length } }) => {
    const from = index + length - "From ".length;
    return index <= differsAt ? [Math.min(from, Math.max(index, differsAt))] : [];
  });
  // Another mail's address may agree with ours for a while, too: then its line begins where ours would.
  if (beginnings.length === 0) {
    const first = (await mbox.readAt(startBytes, Math.min(oursBytes, FROM_LINE_MOST_BYTES))).toString("latin1");
    const isInFirstLine = oursBytes < FROM_LINE_MOST_BYTES && /^\n*From [^\n]*$/.test(first);
    return isInFirstLine ? startBytes : startBytes + oursBytes;
  }
  return windowAt + (beginnings.at(-1) ?? 0);
}

const PORTION_BYTES = 64 * 1024;
const LOOK_BACK_BYTES = 16;
const FROM_LINE_MOST_BYTES = 1024;

function oursAtBeginning(found: Uint8Array, ours: Uint8Array): Ours {
  const length = Math.min(found.length, ours.length);
  let hasHoles = false;
  let at = 0;
  for (; at < length && (found[at] === ours[at] || found[at] === 0); at++) if (found[at] !== ours[at]) hasHoles = true;
  return { bytes: at, hasHoles };
}

async function* portions(file: MailFile, fromBytes: number, toBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = fromBytes; at < toBytes;) {
    const portion = await file.readAt(at, Math.min(PORTION_BYTES, toBytes - at));
    if (portion.length === 0) return;
    yield portion;
    at += portion.length;
  }
}

async function* chain(intent: Intent, more: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* portions(intent.file, 0, intent.contentBytes);
  yield* more;
}

/** Copies bytes from one open file to a place in another, in portions. */
export async function copyBytes(
  from: MailFile,
  fromBytes: number,
  length: number,
  to: MailFile,
  toBytes: number,
): Promise<void> {
  let at = toBytes;
  for await (const portion of portions(from, fromBytes, fromBytes + length)) {
    await to.writeAt(at, portion);
    at += portion.length;
  }
  if (at !== toBytes + length) throw new Error("a file became shorter while it was copied");
}
