import { escapeControls } from "../../../foundation/escape.ts";
import { failureText } from "../../../mail/envelope/failure-text.ts";
import { formatDateTime } from "../../../protocol/message/date-time.ts";
import type { LiveRow } from "../../../mail/scheduler/admin/admin.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import type { World } from "../world.ts";

export const mailq: CliCommand = {
  name: "mailq",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Lists the queue as people and programs know it from Postfix.",
  explains:
    "Message by message, with the reason in front of the recipients that wait for it; `*` is what is due or being tried, `!` what is held or dead. Users who may not see everything (control.query) see the mail that they handed in themselves. An empty queue is no failure. `mailq` and `sendmail -bp` are this command; `posthorn queue list` has filters and JSON.",
  options: {},
  async run(given, world) {
    const list = new Listing(world);
    await withServer(given, world, "query", async (server) => {
      for await (const rows of server.portions("queue.list", {})) {
        world.stdout.write(rows.map((row) => list.textOf(row)).join(""));
        await world.stdout.room();
      }
    });
    world.stdout.write(list.end());
    return exitCodes.ok;
  },
};

const HEADER = "-Queue ID--- --Size-- ---Arrival Time---- --Sender/Recipient------\n";
/** Where a recipient begins: under its sender. */
const INDENT = " ".repeat(42);
/** Reasons end at this column, parentheses not counted. */
const REASON_ENDS = 76;

/** The text of a list, row by row, for it may be longer than memory: rows of one message stand together. */
class Listing {
  readonly #world: World;
  #message: string | undefined;
  #reason = "";
  #messages = 0;
  #bytes = 0;

  constructor(world: World) {
    this.#world = world;
  }

  textOf(row: LiveRow): string {
    let text = "";
    if (row.message !== this.#message) {
      text += this.#message === undefined ? HEADER : "\n";
      text += this.#headOf(row);
      this.#message = row.message;
      this.#reason = "";
      this.#messages++;
      this.#bytes += row.sizeBytes;
    }
    const reason = reasonOf(row);
    if (reason !== "" && reason !== this.#reason)
      text += `${" ".repeat(Math.max(REASON_ENDS - reason.length, 0))}(${reason})\n`;
    this.#reason = reason;
    return `${text}${INDENT}${escapeControls(row.recipient)}\n`;
  }

  end(): string {
    if (this.#messages === 0) return "Mail queue is empty\n";
    const requests = this.#messages === 1 ? "1 Request" : `${this.#messages} Requests`;
    return `\n-- ${Math.ceil(this.#bytes / 1024)} Kbytes in ${requests}.\n`;
  }

  #headOf(row: LiveRow): string {
    const id = `${row.message}${markOf(row)}`.padEnd(12);
    const sender = row.sender === "" ? "MAILER-DAEMON" : escapeControls(row.sender);
    const at = asctime(row.receivedAt, this.#world.offsetMinutes(row.receivedAt));
    return `${id} ${String(row.sizeBytes).padStart(8)} ${at} ${sender}\n`;
  }
}

function reasonOf({ waits, lastFailure, heldBecause }: LiveRow): string {
  const text = waits?.text ?? (lastFailure === undefined ? (heldBecause ?? "") : failureText(lastFailure));
  return escapeControls(text);
}

function markOf({ state, live }: LiveRow): string {
  if (state === "held" || state === "dead" || live === "held") return "!";
  return live === "ready" || live === "active" || live === "writing" ? "*" : " ";
}

/** `Sat Nov  1 13:28:09`, as asctime(3) begins. */
function asctime(at: number, offsetMinutes: number): string {
  const [weekday = "", day = "", month = "", , time = ""] = formatDateTime(at, offsetMinutes).split(" ");
  return `${weekday.slice(0, 3)} ${month} ${day.padStart(2)} ${time}`;
}
