import { basename, dirname, join, relative } from "node:path";
import type { LoadedSettings } from "./settings/load-settings.ts";

/** How the programs are called here: as `startedAs` (the running one's path) was, from `directory`. */
export function callsOf(
  startedAs: string,
  directory: string,
): { readonly posthorn: string; readonly posthornd: string } {
  const folder = dirname(startedAs);
  if (startedAs.endsWith(".js")) {
    const from = relative(directory, folder) || ".";
    return { posthorn: `node ${join(from, "posthorn.js")}`, posthornd: `node ${join(from, "posthornd.js")}` };
  }
  // npm links the programs of a local installation into .bin, where no shell looks by itself.
  const prefix = basename(folder) === ".bin" ? "npx " : "";
  return { posthorn: `${prefix}posthorn`, posthornd: `${prefix}posthornd` };
}

/** For somebody who has just started the server for the first time: how to send a mail, how to read it, what next. */
export function firstMailHint(
  { settings }: LoadedSettings,
  listening: readonly string[],
  { posthorn, posthornd }: ReturnType<typeof callsOf>,
): string {
  const smtp = listening.find((listener) => listener.startsWith("smtp="))?.slice("smtp=".length) ?? "127.0.0.1:2525";
  const [address = "", port = ""] = smtp.split(":");
  return `
Posthorn runs with its built-in settings, on this machine only: ${listening.join("  ")}

  send a mail    printf 'Subject: hello\\n\\nfirst mail\\n' | ${posthorn} send you@localhost
     or with     swaks --server ${address} --port ${port} --to you@localhost
  read it        cat ${join(settings.state, "mail", "you", "Maildir", "new")}/*
  look around    ${posthorn} queue list        ${posthorn} --help
  settings       write posthorn.yaml here (docs/manual/settings.md), then: ${posthornd} -n -f posthorn.yaml
  stop           Ctrl-C

`;
}
