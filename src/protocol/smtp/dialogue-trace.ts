import type { LineTrace } from "../../foundation/line-trace.ts";
import { AuthMasker } from "./auth-masker.ts";
import type { Reply } from "./reply.ts";

/** A line longer than that is cut: nobody reads on. */
const LONGEST_SHOWN = 500;

/**
 * Shows one SMTP dialogue, a line at a time, to whoever switched the trace on. What an AUTH exchange says is hidden, and of
 * content only the size is told. It begins with the dialogue or not at all: in the middle nobody would know whether the
 * next line is a password.
 */
export class DialogueTrace {
  readonly #trace: LineTrace;
  readonly #about: string;
  readonly #masker = new AuthMasker();
  #contentBytes = 0;

  /** Undefined while the trace is off: then it costs nothing for the whole dialogue. */
  static begin(trace: LineTrace | undefined, about: () => string): DialogueTrace | undefined {
    return trace?.isOn === true ? new DialogueTrace(trace, about()) : undefined;
  }

  private constructor(trace: LineTrace, about: string) {
    this.#trace = trace;
    this.#about = about;
  }

  /** Whole lines of commands, or of answers to challenges. */
  client(text: string): void {
    this.#tellContent();
    for (const line of linesOf(text)) {
      // The masker follows content, which it does not get here.
      const isChunk = /^\s*bdat\s/i.test(line);
      this.#show("C", isChunk ? line : this.#masker.mask("client", Buffer.from(`${line}\r\n`, "latin1")));
    }
  }

  content(bytes: number): void {
    this.#contentBytes += bytes;
  }

  /** As it is written, or read. */
  server(reply: Reply | string): void {
    this.#tellContent();
    for (const line of typeof reply === "string" ? linesOf(reply) : linesOfReply(reply)) {
      const isGoAhead = line.startsWith("354");
      this.#show("S", isGoAhead ? line : this.#masker.mask("server", Buffer.from(`${line}\r\n`, "latin1")));
    }
  }

  /** What happens beside the dialogue: TLS begins, the connection ends. */
  note(text: string): void {
    this.#tellContent();
    if (this.#trace.isOn) this.#trace.show(`${this.#about} -- ${text}`);
  }

  #tellContent(): void {
    const bytes = this.#contentBytes;
    this.#contentBytes = 0;
    if (bytes > 0) this.#show("C", `[${bytes} bytes of content]`);
  }

  #show(side: "C" | "S", text: string): void {
    if (!this.#trace.isOn) return;
    const line = text.replace(/[\r\n]+$/, "");
    this.#trace.show(
      `${this.#about} ${side}: ${line.length > LONGEST_SHOWN ? `${line.slice(0, LONGEST_SHOWN)}…` : line}`,
    );
  }
}

function linesOf(text: string): readonly string[] {
  return text.replace(/\r?\n$/, "").split(/\r?\n/);
}

function linesOfReply({ code, status, lines }: Reply): readonly string[] {
  return lines.map((line, at) => {
    const mark = at === lines.length - 1 ? " " : "-";
    return `${code}${mark}${status === undefined ? "" : `${status} `}${line}`;
  });
}
