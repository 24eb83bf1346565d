import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { pipeline, Readable } from "node:stream";
import type { SecureContext } from "node:tls";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import type { SystemTrust } from "../table/pool/system-trust.ts";

const MOST_ANSWER_BYTES = 256 * 1024;
/** How long a connection is kept for the next question. */
const IDLE_MS = 10_000;

export interface IssuerQuestion {
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  readonly signal: AbortSignal;
}

/** Asks the issuer of tokens over https, or on this machine over http. */
export interface IssuerClient {
  /** The text of an answer that is no error, unpacked. Rejects with everything else: redirects are not followed. */
  ask(url: string, question: IssuerQuestion): Promise<string>;
  close(): void;
}

/** `trust`: with whose authorities its certificate is verified. */
export function issuerClient(trust: SystemTrust): IssuerClient {
  const keep = { keepAlive: true, maxFreeSockets: 4, timeout: IDLE_MS };
  const plain = new HttpAgent(keep);
  let secure: { readonly context: SecureContext; readonly agent: HttpsAgent } | undefined;
  const secureAgent = async (): Promise<HttpsAgent> => {
    const { context } = await trust.current();
    // Other authorities: no connection and no session of TLS from before is used again.
    if (secure?.context !== context)
      secure = { context, agent: new HttpsAgent({ ...keep, secureContext: context, rejectUnauthorized: true }) };
    return secure.agent;
  };
  return {
    async ask(url, { method, headers, body, signal }) {
      const isTls = new URL(url).protocol === "https:";
      const agent = isTls ? await secureAgent() : plain;
      signal.throwIfAborted();
      const once = (): Promise<string> =>
        new Promise((resolve, reject) => {
          const asked = (isTls ? httpsRequest : httpRequest)(url, {
            method,
            agent,
            signal,
            headers: {
              // Some firewalls take those who do not say who they are for intruders.
              "user-agent": "posthorn",
              "accept-encoding": "identity",
              ...headers,
              ...(body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) }),
            },
          });
          let hasAnswer = false;
          asked.on("error", (error) => {
            // A kept connection that the issuer has closed meanwhile proves nothing.
            reject(asked.reusedSocket && !hasAnswer && !signal.aborted ? new StaleConnection() : error);
          });
          asked.on("response", (response) => {
            hasAnswer = true;
            const { statusCode = 0 } = response;
            if (statusCode >= 200 && statusCode < 300) {
              textOf(unpacked(response, response.headers["content-encoding"])).then(resolve, reject);
              return;
            }
            asked.destroy();
            reject(new Error(`${url} answered ${statusCode}`));
          });
          asked.end(body);
        });
      return await once().catch((thrown: unknown) => {
        if (thrown instanceof StaleConnection) return once();
        throw thrown;
      });
    },
    close() {
      plain.destroy();
      secure?.agent.destroy();
    },
  };
}

class StaleConnection extends Error {
  override readonly message = "the issuer closes its connections before anything is asked";
}

const UNPACKERS: ReadonlyMap<string, () => NodeJS.ReadWriteStream & Readable> = new Map([
  ["gzip", createGunzip],
  ["x-gzip", createGunzip],
  ["deflate", createInflate],
  ["br", createBrotliDecompress],
]);

/** Nobody asked for it, but some pack whatever they say. */
function unpacked(response: Readable, encoding: string | undefined): Readable {
  const unpacker = UNPACKERS.get((encoding ?? "").trim().toLowerCase());
  // What breaks off is told to whoever reads.
  return unpacker === undefined ? response : pipeline(response, unpacker(), () => {});
}

async function textOf(stream: Readable): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of stream) {
    // A stream without an encoding gives buffers.
    const bytes = part as Buffer;
    length += bytes.length;
    // Leaving the loop ends the stream, and with it the connection.
    if (length > MOST_ANSWER_BYTES) throw new Error("the issuer's answer is too long");
    parts.push(bytes);
  }
  return Buffer.concat(parts).toString();
}
