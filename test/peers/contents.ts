/**
 * Content that mail servers have got wrong, as it stands on the wire before dots are doubled: lines end in CRLF. Each
 * has the fields that servers would otherwise add, so that what is delivered must end in exactly these bytes.
 */
export interface Content {
  readonly name: string;
  readonly bytes: Buffer;
}

let lastNumber = 0;

/** A message with this body (lines ended by CRLF), unlike any other. */
export function message(name: string, body: string | Buffer, fields: readonly string[] = []): Content {
  const number = ++lastNumber;
  const header = [
    "From: Writer <writer@posthorn.test>",
    "To: reader@example.test",
    `Subject: ${name}`,
    "Date: Sat, 21 Nov 2026 10:00:00 +0000",
    `Message-ID: <${process.pid}.${number}@contents.test>`,
    ...fields,
    "",
    "",
  ].join("\r\n");
  return { name, bytes: Buffer.concat([Buffer.from(header), Buffer.isBuffer(body) ? body : Buffer.from(body)]) };
}

const lines = (...texts: readonly string[]): string => texts.map((text) => `${text}\r\n`).join("");

/** All octets that a line may hold: RFC 5321 section 4.5.2 leaves only CR, LF and NUL out. */
const everyOctet = Buffer.from(
  Array.from({ length: 255 }, (_, index) => index + 1).flatMap((octet) =>
    octet === 10 || octet === 13 ? [] : octet % 32 === 0 ? [octet, 13, 10] : [octet],
  ),
);

export function sevenBitContents(): readonly Content[] {
  return [
    message("dots", lines(".", "..", "...", ".a", "a.", "", ".", ".")),
    message("the longest lines", lines("x".repeat(998), ".".repeat(997), "y".repeat(997), "", "z".repeat(998))),
    message("no body", ""),
    message("empty lines at the end", lines("text", "", "", "", "")),
    message("blanks", lines(" ", "\t", "trailing   ", " leading", "\t\ttabs\t", "form\ffeed", "nothing else")),
    message(
      "lines like those of other formats",
      lines("From here on", ">From", "QUIT", "RSET", "DATA", "-- ", "250 ok"),
    ),
    message("folded fields", lines("x"), ["X-Long: one", " two", "\tthree", `X-Wide: ${"w".repeat(900)}`, "X-Empty:"]),
    message("a mebibyte", lines(...Array.from({ length: 13_797 }, (_, line) => `.${line} ${"m".repeat(66)}`))),
  ];
}

export function eightBitContents(): readonly Content[] {
  return [
    message("every octet", Buffer.concat([everyOctet, Buffer.from("\r\n")]), [
      "MIME-Version: 1.0",
      "Content-Type: text/plain; charset=windows-1252",
      "Content-Transfer-Encoding: 8bit",
    ]),
    message("UTF-8", lines("Grüße aus Köln", "日本語 😀", "é".repeat(499)), [
      "MIME-Version: 1.0",
      "Content-Type: text/plain; charset=utf-8",
      "Content-Transfer-Encoding: 8bit",
    ]),
  ];
}

/** As DATA takes it: dots doubled, and the dot that ends it, without its line end. Only CRLF begins a line. */
export function dotStuffed(content: Buffer): Buffer {
  return Buffer.from(`${content.toString("latin1").replace(/(^|\r\n)\./g, "$1..")}.`, "latin1");
}

/**
 * What is wrong with a delivered mail (as latin1 text, lines ending in LF), or undefined: nothing but whole header fields
 * may have been put in front of the content, and nothing behind it.
 */
export function differenceOf(mail: string, content: Content): string | undefined {
  const expected = content.bytes.toString("latin1").replaceAll("\r\n", "\n");
  if (mail.endsWith(expected)) {
    const added = mail.slice(0, mail.length - expected.length);
    return /^(?:[\x21-\x39\x3b-\x7e]+:[^\n]*\n(?:[ \t][^\n]*\n)*)*$/.test(added)
      ? undefined
      : `${content.name}: more than fields was added in front: ${JSON.stringify(added)}`;
  }
  const start = mail.indexOf(expected.slice(0, expected.indexOf("\n")));
  const got = start < 0 ? mail : mail.slice(start);
  let at = 0;
  while (at < got.length && got[at] === expected[at]) at++;
  const cut = (text: string): string => JSON.stringify(text.slice(Math.max(0, at - 40), at + 80));
  return `${content.name}: differs at ${at} of ${expected.length}: got ${cut(got)} instead of ${cut(expected)}`;
}

/** Whether a delivered mail is this content, whatever became of its bytes. */
export function isOf(mail: string, content: Content): boolean {
  const id = /^Message-ID: (<[^>]+>)/m.exec(content.bytes.toString("latin1"))?.[1];
  return id !== undefined && new RegExp(`^Message-ID: ${id.replaceAll(".", "\\.")}`, "im").test(mail);
}
