import type { FilterMail } from "./filter.ts";

const EMPTY_LINE = Buffer.from("\r\n");

/** A mail for filters, of its parts. What had no empty line behind its header gets one. */
export function filterMail(parts: Pick<FilterMail, "facts" | "trace" | "header" | "body" | "room">): FilterMail {
  const { facts, trace, header, body } = parts;
  return {
    facts,
    trace,
    header,
    body,
    sizeBytes: header.length + EMPTY_LINE.length + body.sizeBytes,
    async *content({ withTrace = false } = {}) {
      if (withTrace && trace !== "") yield Buffer.from(trace);
      yield header.length === 0 ? EMPTY_LINE : Buffer.concat([header, EMPTY_LINE]);
      yield* body.read();
    },
    room: () => parts.room(),
  };
}
