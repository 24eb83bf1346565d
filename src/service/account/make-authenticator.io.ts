import { createHmac, randomBytes } from "node:crypto";
import type { Clock } from "../../foundation/clock.ts";
import type { Random } from "../../foundation/random.ts";
import { scramPbkdf2 } from "../../protocol/sasl/pbkdf2.io.ts";
import type { SystemTrust } from "../table/pool/system-trust.ts";
import type { TableSource } from "../table/settings.ts";
import type { Table } from "../table/table.ts";
import type { Authenticator, PasswordVerdict } from "./authenticator.ts";
import type { AccountBackend } from "./backend-settings.ts";
import { firstOf } from "./first-of.ts";
import { levelTime } from "./level-time.ts";
import { isPassword } from "./password-check.io.ts";
import { RememberedLogins } from "./remembered-logins.ts";
import type { AccountsSettings } from "./settings.ts";
import { systemAuthenticator } from "./system-authenticator.ts";
import type { SystemPasswords } from "./system-passwords.ts";
import { nobodyMayLogIn, tableAuthenticator } from "./table-authenticator.ts";
import { Turns } from "../../foundation/turns.ts";

/** What backends need of the process they are in. */
export interface AccountWorld {
  readonly clock: Clock;
  readonly random: Random;
  readonly table: (name: string) => Table | undefined;
  /** Where a table's content comes from: a directory is asked in another way than by lookups. */
  readonly source: (name: string) => TableSource | undefined;
  readonly system: SystemPasswords;
  /** For directories and issuers of tokens. */
  readonly trust: SystemTrust;
  /** Of backends that have one, by their place in the settings' list; of tables, by name. */
  readonly secrets: {
    readonly accounts: Readonly<Record<number, string>>;
    readonly tables: Readonly<Record<string, string>>;
  };
  /** From which salts are made up. */
  readonly loginSecret: Uint8Array;
}

interface Opened {
  readonly authenticator: Authenticator;
  readonly close?: () => void;
}

/** Beyond as many that wait for a check, nobody knows at once. */
const MOST_WAITING = 1000;
/** Other servers do the work; only so many of their connections are ours. */
const MOST_ELSEWHERE = 32;

/** The authenticator that the settings describe. What a backend needs is loaded now. */
export async function makeAuthenticator(
  settings: AccountsSettings | undefined,
  world: AccountWorld,
): Promise<Opened & { close: () => void }> {
  if (settings === undefined) return { authenticator: nobodyMayLogIn, close: () => {} };
  const work = new Turns({ most: settings.checksAtOnce, mostWaiting: MOST_WAITING });
  const opened = await Promise.all(settings.backends.map((backend, at) => open(backend, at, settings, world, work)));
  return {
    authenticator: levelTime(firstOf(opened.map(({ authenticator }) => authenticator)), world.clock),
    close: () => {
      for (const one of opened) one.close?.();
    },
  };
}

async function open(
  backend: AccountBackend,
  at: number,
  settings: AccountsSettings,
  world: AccountWorld,
  work: Turns,
): Promise<Opened> {
  const { clock } = world;
  const elsewhere = new Turns({ most: MOST_ELSEWHERE, mostWaiting: MOST_WAITING });
  const remembered = (authenticator: Authenticator): Authenticator =>
    remembering(authenticator, clock, settings.remember);
  switch (backend.kind) {
    case "table": {
      const table = world.table(backend.table);
      if (table === undefined) return unusable(`there is no table ${backend.table}`);
      return {
        authenticator: tableAuthenticator(table, {
          isPassword,
          pbkdf2: scramPbkdf2,
          turns: work,
          remembered: rememberedLogins(clock, settings.remember),
          allowsWeak: settings.weakHashes,
          secret: world.loginSecret,
        }),
      };
    }
    case "shadow":
      return { authenticator: remembered(systemAuthenticator({ by: "shadow", service: "" }, world.system)) };
    case "pam":
      return { authenticator: remembered(systemAuthenticator({ by: "pam", service: backend.service }, world.system)) };
    case "saslauthd": {
      const { saslauthdAuthenticator } = await import("./saslauthd.io.ts");
      return { authenticator: remembered(saslauthdAuthenticator(backend, clock, elsewhere)) };
    }
    case "dovecot": {
      const { dovecotAuthenticator } = await import("./dovecot-auth.io.ts");
      const dovecot = dovecotAuthenticator(backend, clock);
      return { authenticator: remembered(dovecot), close: () => dovecot.close() };
    }
    case "ldap": {
      const source = world.source(backend.table);
      if (source?.kind !== "ldap") return unusable(`table ${backend.table} is no directory`);
      const { ldapAuthenticator } = await import("./ldap-authenticator.io.ts");
      const parts = { clock, random: world.random, trust: world.trust, turns: elsewhere };
      const ldap = await ldapAuthenticator(source.options, world.secrets.tables[backend.table], parts);
      return { authenticator: remembered(ldap), close: () => ldap.close() };
    }
    case "oauth": {
      const { oauthAuthenticator } = await import("./oauth.io.ts");
      const parts = { clock, trust: world.trust, turns: elsewhere };
      const oauth = await oauthAuthenticator(backend.oauth, world.secrets.accounts[at], parts);
      return { authenticator: oauth, close: () => oauth.close() };
    }
  }
}

/** Elsewhere a check takes a fifth of a second, or a server's time: what was right a moment ago is right, from there. */
function remembering(authenticator: Authenticator, clock: Clock, forMs: number): Authenticator {
  const remembered = rememberedLogins(clock, forMs);
  return {
    ...authenticator,
    async checkPassword(user, password, signal, from): Promise<PasswordVerdict> {
      const tried = [user.toLowerCase(), password, from?.address ?? ""];
      const account = remembered.find(...tried);
      if (account !== undefined) return { kind: "right", account };
      const verdict = await authenticator.checkPassword(user, password, signal, from);
      if (verdict.kind === "right") remembered.add(verdict.account, ...tried);
      return verdict;
    },
  };
}

function rememberedLogins(clock: Clock, forMs: number): RememberedLogins {
  const key = randomBytes(32);
  return new RememberedLogins(clock, forMs, (text) => createHmac("sha256", key).update(text).digest("base64"));
}

function unusable(text: string): Opened {
  return { authenticator: { checkPassword: () => Promise.resolve({ kind: "failed", text }) } };
}
