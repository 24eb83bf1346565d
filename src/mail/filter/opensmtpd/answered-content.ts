import { createHash } from "node:crypto";
import { contentBytes } from "../../../protocol/opensmtpd-filter/data-lines.ts";
import { filterFailed } from "../failed.ts";
import type { ContentRoom, MailEdit } from "../filter.ts";

/** Header and body as lines, each with a digest of its own: what has not changed need not be written again. */
export class LineDigest {
  readonly #header = createHash("sha256");
  readonly #body = createHash("sha256");
  #isInBody = false;

  /** Lines without their ends, a character for each byte. */
  add(lines: readonly string[]): void {
    const end = this.#isInBody ? -1 : lines.indexOf("");
    const header = this.#isInBody ? [] : end < 0 ? lines : lines.slice(0, end);
    const body = this.#isInBody ? lines : end < 0 ? [] : lines.slice(end + 1);
    if (header.length > 0) this.#header.update(`${header.join("\n")}\n`, "latin1");
    if (body.length > 0) this.#body.update(`${body.join("\n")}\n`, "latin1");
    if (end >= 0) this.#isInBody = true;
  }

  digests(): { readonly header: string; readonly body: string } {
    return { header: this.#header.digest("hex"), body: this.#body.digest("hex") };
  }
}

/** More of a header section is no header section. */
const MOST_HEADER_BYTES = 1024 * 1024;
const PIECE_BYTES = 64 * 1024;

/**
 * The content that a program gives back, line by line: its header section is kept in memory, its body goes to a room that
 * is opened with the first piece. Nothing of it is used until `edits` says what of it is new.
 */
export class AnsweredContent {
  readonly #openRoom: () => ContentRoom;
  readonly #digest = new LineDigest();
  #room: ContentRoom | undefined;
  #header: string[] = [];
  #headerBytes = 0;
  #isInBody = false;
  #pending: string[] = [];
  #pendingBytes = 0;

  constructor(openRoom: () => ContentRoom) {
    this.#openRoom = openRoom;
  }

  /** A line of content. A promise is back-pressure; it rejects, or this throws, when there is too much of it. */
  take(line: string): void | Promise<void> {
    if (this.#isInBody) {
      this.#pending.push(line);
      this.#pendingBytes += line.length + 2;
      return this.#pendingBytes >= PIECE_BYTES ? this.#flush() : undefined;
    }
    if (line === "") {
      this.#isInBody = true;
      this.#digest.add([...this.#header, ""]);
    } else {
      this.#headerBytes += line.length + 2;
      if (this.#headerBytes > MOST_HEADER_BYTES)
        throw filterFailed(
          `it gave a header section of more than ${MOST_HEADER_BYTES} bytes`,
          "see what the program does",
        );
      this.#header.push(line);
    }
    return undefined;
  }

  /** What has to be done so that the mail is what the program gave back. `given`: what it was given. */
  async edits(given: { readonly header: string; readonly body: string }): Promise<readonly MailEdit[]> {
    if (!this.#isInBody) this.#digest.add(this.#header);
    await this.#flush();
    const answered = this.#digest.digests();
    const edits: MailEdit[] = [];
    if (answered.header !== given.header)
      edits.push({
        edit: "replace-header",
        header: this.#header.length === 0 ? Buffer.alloc(0) : contentBytes(this.#header),
      });
    if (answered.body === given.body) this.abort();
    else edits.push({ edit: "replace-body", body: await (this.#room ?? this.#openRoom()).finish() });
    return edits;
  }

  abort(): void {
    this.#room?.abort();
    this.#room = undefined;
  }

  #flush(): void | Promise<void> {
    if (this.#pending.length === 0) return undefined;
    const lines = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#room ??= this.#openRoom();
    this.#digest.add(lines);
    return this.#room.write(contentBytes(lines));
  }
}
