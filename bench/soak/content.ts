/** Mails that say which they are, and whether they are whole. */
export function contentOf(number: number, bytes: number): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes; at += 72) lines.push(`${number} ${at} ${"soak ".repeat(12)}`.slice(0, 70).trimEnd());
  return [
    "From: <soak@origin.test>",
    `Subject: soak ${number}`,
    `X-Soak: ${number} ${checkOf(lines)}`,
    "",
    ...lines,
  ].join("\r\n");
}

export interface FoundMail {
  readonly number: number;
  readonly isWhole: boolean;
}

/** Undefined for what is none of ours. A notice names the mail that it returns. */
export function findMail(text: string): FoundMail | undefined {
  const lines = text.replaceAll("\r\n", "\n");
  const match = /^X-Soak: (\d+) ([\d.]+)$/m.exec(lines);
  if (match === null) return undefined;
  const body = lines.slice(lines.indexOf("\n\n") + 2).trimEnd();
  return { number: Number(match[1]), isWhole: checkOf(body.split("\n")) === match[2] };
}

/** Length and a sum that depends on the order: cheap enough to be done for every mail. */
function checkOf(lines: readonly string[]): string {
  const text = lines.join("\n");
  let sum = 0;
  for (let at = 0; at < text.length; at += 1 + (text.length >> 10)) sum = (sum * 31 + text.charCodeAt(at)) % 1_000_003;
  return `${text.length}.${sum}`;
}
