import type { FilterNotice } from "../filter.ts";

/** Lines that wait for their reply, from a client that sends ahead. */
const MOST_LINES = 100;
const MOST_CHARACTERS = 512;

/**
 * Finds, among the lines of a session, the commands that nobody knows: those that were answered 500 or 502. Gives the line
 * when its reply comes.
 */
export function unknownCommands(): (
  line: Extract<FilterNotice, { notice: "client-line" | "server-line" }>,
) => string | undefined {
  const lines: string[] = [];
  return ({ notice, line }) => {
    if (notice === "client-line") {
      if (lines.length >= MOST_LINES) lines.shift();
      lines.push(line.slice(0, MOST_CHARACTERS));
      return undefined;
    }
    // The lines before the last one of a reply.
    if (/^\d{3}-/.test(line)) return undefined;
    const asked = lines.shift();
    // Content follows, which is no line here, and has a reply of its own.
    if (line.startsWith("354")) lines.unshift("");
    return asked !== "" && /^50[02](?: |$)/.test(line) ? asked : undefined;
  };
}
