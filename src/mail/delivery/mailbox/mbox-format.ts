import { civilTime } from "../../../protocol/message/date-time.ts";

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/**
 * The line that begins a mail in an mbox: `From alice@example.org Fri Nov 21 02:50:00 2025`, in UTC. The empty sender is
 * `MAILER-DAEMON`, exactly: readers and filters know bounces by it. White space in a quoted local part becomes `_`, for
 * readers take the address up to the first blank.
 */
export function fromLine(sender: string, at: number): string {
  const address = sender === "" ? "MAILER-DAEMON" : sender.replace(/[\s\u0000-\u001f\u007f-\u009f]/g, "_");
  const { weekday, month, day, hour, minute, second, year } = civilTime(at, 0);
  const time = [hour, minute, second].map((part) => String(part).padStart(2, "0")).join(":");
  return `From ${address} ${DAYS[weekday]} ${MONTHS[month - 1]} ${String(day).padStart(2, " ")} ${time} ${year}\n`;
}

/** What an mbox that ends in `end` (its last two bytes) lacks before the next mail: an end of line, an empty line. */
export function separatorAfter(end: string): "" | "\n" | "\n\n" {
  if (end === "" || end === "\n\n") return "";
  return end.endsWith("\n") ? "\n" : "\n\n";
}
