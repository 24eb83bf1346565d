import { join } from "node:path";
import type { LoadedSettings } from "./load-settings.ts";

/** For somebody who has just started the server for the first time: how to send a mail, how to read it, what next. */
export function firstMailHint({ settings }: LoadedSettings, listening: readonly string[]): string {
  const smtp = listening.find((listener) => listener.startsWith("smtp="))?.slice("smtp=".length) ?? "127.0.0.1:2525";
  const [address = "", port = ""] = smtp.split(":");
  return `
Posthorn runs with its built-in settings, on this machine only: ${listening.join("  ")}

  send a mail    printf 'Subject: hello\\n\\nfirst mail\\n' | node bin/posthorn.js send you@localhost
     or with     swaks --server ${address} --port ${port} --to you@localhost
  read it        cat ${join(settings.state, "mail", "you", "Maildir", "new")}/*
  look around    node bin/posthorn.js queue list        node bin/posthorn.js --help
  settings       write posthorn.yaml here (docs/manual/settings.md), then: node bin/posthornd.js -n
  stop           Ctrl-C

`;
}
