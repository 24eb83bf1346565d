import { messageOf } from "../../foundation/error.ts";
import type { Table, TableAnswer } from "../table/table.ts";

/** Somebody with files of their own: whom a delivery runs as, and where their home is. */
export interface LocalUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** Absolute. */
  readonly home: string;
  /** All groups; without it only `gid`. */
  readonly groups?: readonly number[] | undefined;
  readonly shell?: string | undefined;
  /** What the mailbox may hold, where the directory says so. */
  readonly quota?: string | undefined;
}

export type UserAnswer =
  | { readonly kind: "found"; readonly user: LocalUser }
  | { readonly kind: "none" }
  /** The directory could not be asked, or says something that cannot be used: never "no such user". */
  | {
      readonly kind: "failed";
      readonly text: string;
      /** There is an entry, and it is not written as that of a user with files of their own. */
      readonly isNoUser?: true;
    };

/** Who the local users are: the system's own, or those of a table. Never rejects. */
export interface UserDirectory {
  find(name: string, signal?: AbortSignal): Promise<UserAnswer>;
}

/**
 * The users of a table, by its `userinfo` service: `uid:gid:home`, and behind that, if wanted, a quota
 * (`1000:1000:/home/alice:2GiB`).
 */
export function tableUsers(table: Table): UserDirectory {
  return {
    async find(name, signal) {
      const answer: TableAnswer = await table
        .lookup(name, { service: "userinfo", signal })
        .catch((thrown: unknown) => ({ kind: "failed", text: messageOf(thrown) }));
      // Passwords are no user's uid and home.
      if (answer.kind === "failed" && answer.isSecret === true)
        return { kind: "failed", text: answer.text, isNoUser: true };
      if (answer.kind !== "found") return answer;
      const user = parseUserinfo(name, answer.value);
      if (user !== undefined) return { kind: "found", user };
      const text = `${answer.where}: expected uid:gid:home, got ${JSON.stringify(answer.value)}`;
      return { kind: "failed", text, isNoUser: true };
    },
  };
}

/** The highest id that is one: the last stands for "none" in the system's calls. */
const MOST_ID = 0xffff_fffe;

/** `uid:gid:home` or `uid:gid:home:quota`; undefined for anything else. */
export function parseUserinfo(name: string, text: string): LocalUser | undefined {
  const parts = /^(\d{1,10}):(\d{1,10}):(\/[^:\0]*)(?::([^:\0]*))?$/.exec(text.trim());
  if (parts === null) return undefined;
  const [, uid, gid, home = "", quota = ""] = parts;
  if (Number(uid) > MOST_ID || Number(gid) > MOST_ID) return undefined;
  return { name, uid: Number(uid), gid: Number(gid), home, ...(quota === "" ? {} : { quota }) };
}
