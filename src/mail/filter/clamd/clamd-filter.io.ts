import {
  CLAMD_END,
  clamdChunkHead,
  clamdCommand,
  clamdReplyReader,
  parseClamdReply,
} from "../../../protocol/clamd/clamd.ts";
import type { ClamdReply } from "../../../protocol/clamd/clamd.ts";
import type { Filter, FilterMail } from "../filter.ts";
import type { FilterWorld } from "../filter-world.ts";
import { exchange } from "../scanner/exchange.io.ts";
import { inTurn } from "../scanner/in-turn.ts";
import { judgingFilter } from "../scanner/judging-filter.ts";
import type { ScannerAddress } from "../scanner/scanner-address.ts";
import { clamdVerdict } from "./clamd-verdict.ts";
import type { ClamdSettings } from "./settings.ts";

type Scanned = Exclude<ClamdReply, { kind: "failed" | "pong" }>;

/** ClamAV's daemon looks at each mail: INSTREAM, on a connection of its own, as clamd closes it behind the answer. */
export function clamdFilter(name: string, settings: ClamdSettings, world: FilterWorld): Filter {
  const { clock } = world;
  const inOrder = inTurn("clamd", settings.servers, clock);
  const limits = { connectMs: settings.connectTimeout, answerMs: settings.answerTimeout };
  const ask = async (
    server: ScannerAddress,
    sends: () => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<ClamdReply> => {
    const reader = clamdReplyReader();
    let line: string | undefined;
    await exchange(
      server,
      {
        sends,
        closesOurSide: false,
        onData(chunk) {
          line = reader.push(chunk);
          return line !== undefined;
        },
        onEnd() {
          line = reader.end();
          if (line === undefined) throw new Error("it closed the connection without an answer");
          return true;
        },
      },
      limits,
      clock,
      signal,
    );
    return parseClamdReply(line ?? "");
  };
  const scan = async (server: ScannerAddress, mail: FilterMail, signal: AbortSignal): Promise<Scanned> => {
    const answer = await ask(server, () => instream(mail), signal);
    if (answer.kind === "failed") throw new Error(answer.text);
    if (answer.kind === "pong") throw new Error("it answered another question");
    return answer;
  };
  return judgingFilter(
    name,
    {
      where: `clamd ${settings.servers.map(({ text }) => text).join(", ")}`,
      judge: async (mail, signal) =>
        clamdVerdict(await inOrder((server) => scan(server, mail, signal), signal), settings),
      probe: () => {
        const { signal } = new AbortController();
        return inOrder(async (server) => {
          const { kind } = await ask(server, ping, signal);
          if (kind !== "pong") throw new Error("it does not answer PING");
        }, signal);
      },
    },
    world,
  );
}

async function* ping(): AsyncGenerator<Uint8Array> {
  yield clamdCommand("PING");
}

async function* instream(mail: FilterMail): AsyncGenerator<Uint8Array> {
  yield clamdCommand("INSTREAM");
  // A chunk of no length would be the end.
  for await (const piece of mail.content())
    if (piece.length > 0) yield Buffer.concat([clamdChunkHead(piece.length), piece]);
  yield CLAMD_END;
}
