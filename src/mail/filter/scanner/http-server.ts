import { z } from "zod";

/** Where something is asked over HTTP. */
export interface HttpServer {
  /** For people: without anything secret. */
  readonly text: string;
  readonly isTls: boolean;
  /** A name or an address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** A unix socket, which `host` is behind then. */
  readonly socketPath?: string | undefined;
  /** Path and query, `/` when none was given. */
  readonly path: string;
}

/** `http://host:port/path`, `https://…`, or `unix:/path` for HTTP over a socket, with `path` in the end that `usualPath` gives. */
export function parseHttpServer(text: string, usualPath: string): HttpServer | undefined {
  const socketPath = /^unix:(\/[^\0]*)$/.exec(text)?.[1];
  if (socketPath !== undefined) return { text, isTls: false, host: "localhost", port: 80, socketPath, path: usualPath };
  if (!/^https?:\/\/[^/]/i.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  // A password in an address would stand in logs; a fragment is never sent.
  if (url.username !== "" || url.password !== "" || url.hash !== "" || url.port === "0") return undefined;
  const isTls = url.protocol === "https:";
  const hasPath = url.pathname !== "/" || url.search !== "";
  return {
    text: `${url.protocol}//${url.host}${hasPath ? url.pathname : ""}`,
    isTls,
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? (isTls ? 443 : 80) : Number(url.port),
    path: hasPath ? `${url.pathname}${url.search}` : usualPath,
  };
}

/** The settings' kind. */
export function httpServer(usualPath: string): z.ZodType<HttpServer, string> {
  return z
    .string()
    .transform((text, context) => {
      const server = parseHttpServer(text, usualPath);
      if (server !== undefined) return server;
      context.addIssue({ code: "custom", message: `expected ${HTTP_SERVER_KIND}` });
      return z.NEVER;
    })
    .meta({ kind: HTTP_SERVER_KIND });
}

export const HTTP_SERVER_KIND = "http://host:port, https://host, or unix:/path";

/** Text for a header of ours: the octets of its UTF-8, as Node's HTTP wants them; controls become blanks. */
export function headerText(text: string): string {
  return Buffer.from(text.replace(/[\x00-\x1f\x7f]+/g, " ").trim(), "utf8").toString("latin1");
}
