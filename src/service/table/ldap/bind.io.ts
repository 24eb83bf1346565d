import { messageOf } from "../../../foundation/error.ts";
import type { PoolWorld } from "../pool/pooled-backend.ts";
import { createPool, PoolFailure, type Pool } from "../pool/pool.ts";
import { inWords, ldapDriver, type LdapConnection } from "./connection.io.ts";
import { poolOptions } from "../pool/settings.ts";
import { bindOf, ldapSearch } from "./ldap.io.ts";
import type { LdapSettings } from "./settings.ts";

export type LdapBindVerdict =
  | { readonly kind: "right"; /** The user's entry. */ readonly dn: string }
  | { readonly kind: "wrong" }
  | { readonly kind: "failed"; readonly text: string };

/** Checks passwords by logging in to a directory as the user. */
export interface LdapBinder {
  /** Never rejects. "Wrong" is said for an unknown user too. */
  check(user: string, password: string): Promise<LdapBindVerdict>;
  close(): void;
}

/**
 * Finds the user's entry with the search for `credentials`, over the connections that are logged in as the table's own
 * entry, and then binds as that entry, with the given password, on a connection of its own: what a connection is logged
 * in as never changes under somebody else's search.
 */
export async function ldapBinder(
  settings: LdapSettings,
  password: string | undefined,
  world: Pick<PoolWorld, "clock" | "random" | "trust">,
): Promise<LdapBinder> {
  const { InvalidCredentialsError } = await import("ldapts");
  const search = await ldapSearch(settings);
  const options = poolOptions(settings);
  const searching = createPool(
    await ldapDriver(settings, bindOf(settings, password), world.trust),
    options,
    world.clock,
    world.random,
  );
  const plain = await ldapDriver(settings, undefined, world.trust);
  const binding: Pool<LdapConnection> = createPool(
    plain,
    // A bind leaves the connection logged in as that user: it is closed after one.
    { ...options, lifetimeMs: 0 },
    world.clock,
    world.random,
  );
  return {
    async check(user, given) {
      // RFC 4513 section 5.1.2: most servers say yes to a name without a password, for that logs in as nobody.
      if (given === "") return { kind: "wrong" };
      try {
        const found = await searching.use(settings.queryTimeout, (connection) =>
          search(connection, user, "credentials", []),
        );
        if (typeof found === "string") return { kind: "failed", text: `ldap: ${found}` };
        if (found.length > 1)
          return { kind: "failed", text: `ldap: ${found.length} entries are found for ${user}, where one is meant` };
        const [entry] = found;
        if (entry === undefined) return { kind: "wrong" };
        await binding.use(settings.queryTimeout, async (connection) => {
          connection.begin();
          try {
            await connection.client.bind(entry.dn, given);
          } catch (thrown) {
            throw inWords(thrown);
          }
        });
        return { kind: "right", dn: entry.dn };
      } catch (thrown) {
        if (thrown instanceof PoolFailure && thrown.cause instanceof InvalidCredentialsError) return { kind: "wrong" };
        return { kind: "failed", text: `ldap ${messageOf(thrown)}` };
      }
    },
    close() {
      searching.close();
      binding.close();
    },
  };
}
