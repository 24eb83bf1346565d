import { Agent, request } from "node:https";
import type { Clock } from "../../foundation/clock.ts";
import { messageOf, systemCodeOf } from "../../foundation/error.ts";
import { AcmeFailure, acmeProblem, bounded, problemDocument, type ProblemDocument } from "./problem.ts";

/** One answer of an authority. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

/** What the last answer said besides its content. */
export interface Aside {
  readonly status: number;
  readonly problem?: ProblemDocument | undefined;
  readonly retryAfterMs?: number | undefined;
}

/** HTTPS to one authority, for one order. */
export interface Transport {
  /** Throws `AcmeFailure` when there is no answer. Does not follow redirections: ACME has none. */
  send(method: string, url: string, body: string | undefined): Promise<Answer>;
  last(): Aside | undefined;
  close(): void;
}

/** A single answer. Authorities sign while we wait, but answer at once that they do. */
const ANSWER_WITHIN_MS = 30_000;
/** The longest answer is a chain, a few kilobytes. */
const MOST_ANSWER_BYTES = 1024 * 1024;

/** Verifies the authority's server with `authorities` (PEM), and with nothing else. */
export function httpsTransport(parts: {
  authorities: readonly string[];
  clock: Clock;
  signal: AbortSignal;
  userAgent: string;
}): Transport {
  const { clock, signal } = parts;
  const agent = new Agent({ ca: [...parts.authorities], keepAlive: true, maxSockets: 2, minVersion: "TLSv1.2" });
  let last: Aside | undefined;

  const send = (method: string, url: string, body: string | undefined): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const { protocol, host } = URL.canParse(url) ? new URL(url) : { protocol: "", host: "" };
      if (protocol !== "https:")
        throw new AcmeFailure(acmeProblem("answer", bounded(`the authority names ${url}, which is no https address`)));
      const asked = request(url, {
        method,
        agent,
        signal,
        headers: {
          "user-agent": parts.userAgent,
          accept: "*/*",
          ...(body === undefined
            ? {}
            : { "content-type": "application/jose+json", "content-length": String(Buffer.byteLength(body)) }),
        },
      });
      const timer = clock.after(ANSWER_WITHIN_MS, () => {
        asked.destroy(
          new AcmeFailure(acmeProblem("timeout", `${host} did not answer within ${ANSWER_WITHIN_MS / 1000} s`)),
        );
      });
      const fail = (thrown: unknown): void => {
        timer.cancel();
        reject(thrown instanceof AcmeFailure ? thrown : unreachable(host, thrown));
      };
      asked.on("error", fail);
      asked.on("response", (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MOST_ANSWER_BYTES)
            asked.destroy(new AcmeFailure(acmeProblem("answer", `${host} sent more than ${MOST_ANSWER_BYTES} bytes`)));
          else chunks.push(chunk);
        });
        response.on("error", fail);
        response.on("end", () => {
          timer.cancel();
          const headers = Object.fromEntries(
            Object.entries(response.headers).flatMap(([name, value]) =>
              value === undefined ? [] : [[name, Array.isArray(value) ? value.join(", ") : value]],
            ),
          );
          resolve({ status: response.statusCode ?? 0, headers, text: Buffer.concat(chunks).toString() });
        });
      });
      asked.end(body);
    });

  return {
    async send(method, url, body) {
      const answer = await send(method, url, body);
      const waitMs = retryAfterMs(answer.headers["retry-after"], clock.now());
      last = {
        status: answer.status,
        ...(answer.status >= 400 ? { problem: problemIn(answer) } : {}),
        ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
      };
      return answer;
    },
    last: () => last,
    close: () => agent.destroy(),
  };
}

function problemIn({ status, text }: Answer): ProblemDocument {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined;
  }
  return (
    problemDocument(parsed) ?? {
      type: status >= 500 ? "serverInternal" : status === 429 ? "rateLimited" : "answer",
      detail: bounded(`HTTP status ${status}: ${text}`),
    }
  );
}

/** Codes with which OpenSSL refuses a chain. */
const UNTRUSTED = /CERT|SIGNATURE|ISSUER|ALTNAME/;

function unreachable(host: string, thrown: unknown): AcmeFailure {
  const code = systemCodeOf(thrown) ?? "";
  const words = code === "" ? messageOf(thrown) : `${messageOf(thrown)} (${code})`;
  return UNTRUSTED.test(code)
    ? new AcmeFailure(acmeProblem("untrusted", bounded(`the certificate of ${host} cannot be verified: ${words}`)))
    : new AcmeFailure(acmeProblem("unreachable", bounded(`${host} cannot be reached: ${words}`)));
}

/** Retry-After (RFC 9110 section 10.2.3): seconds, or a date. Undefined when there is none, or none that makes sense. */
export function retryAfterMs(header: string | undefined, nowAt: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) || at <= nowAt ? undefined : at - nowAt;
}
