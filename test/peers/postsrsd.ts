import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { freePort } from "../server.ts";
import { startPeer } from "./running.ts";

export interface Postsrsd extends AsyncDisposable {
  /** The sender that it would give forwarded mail; undefined where it leaves the sender alone. */
  forward(sender: string): Promise<string | undefined>;
  /** Whom a return address stands for; undefined where it does not know it. */
  reverse(address: string): Promise<string | undefined>;
}

/** Debian's postsrsd, asked over Postfix's tcp_table protocol. */
export async function startPostsrsd(options: {
  readonly secrets: readonly string[];
  readonly domain: string;
  readonly separator?: string;
  readonly hashLength?: number;
}): Promise<Postsrsd> {
  const reversePort = await freePort();
  const peer = await startPeer({
    name: "postsrsd",
    async prepare(folder) {
      const port = await freePort();
      const secret = join(folder, "secret");
      writeFileSync(secret, options.secrets.map((one) => `${one}\n`).join(""), { mode: 0o600 });
      return {
        command: [
          "postsrsd",
          `-s${secret}`,
          `-d${options.domain}`,
          `-f${port}`,
          `-r${reversePort}`,
          `-a${options.separator ?? "="}`,
          `-n${options.hashLength ?? 4}`,
          "-4",
        ],
        at: port,
        mails: "mail/*",
        log: "none",
      };
    },
  });
  return {
    forward: (sender) => ask(Number(peer.at), sender),
    reverse: (address) => ask(reversePort, address),
    [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose](),
  };
}

function ask(port: number, key: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port });
    let text = "";
    socket.setTimeout(5000, () => socket.destroy(new Error("postsrsd says nothing")));
    socket.on("error", reject);
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
      if (!text.endsWith("\n")) return;
      socket.end();
      const [, code = "", value = ""] = /^(\d{3}) (.*)\n$/.exec(text) ?? [];
      if (code === "200") resolve(decodeURIComponent(value));
      else if (code === "500") resolve(undefined);
      else reject(new Error(`postsrsd says ${JSON.stringify(text)}`));
    });
    socket.write(`get ${encodeURI(key)}\n`);
  });
}
