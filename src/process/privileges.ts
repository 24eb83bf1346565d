import { readFileSync } from "node:fs";
import { PosthornError } from "../foundation/error.ts";

/** Whom the workers run as. */
export interface Identity {
  readonly user: string;
  readonly uid: number;
  readonly gid: number;
}

/**
 * Looks a user (and optionally a group) up in the system's files. Throws `PRIVILEGES` with advice when there is none.
 */
export function identityOf(user: string, group: string | undefined): Identity {
  const entry = lineOf("/etc/passwd", user);
  const uid = Number(entry?.[2]);
  const ownGid = Number(entry?.[3]);
  if (entry === undefined || !Number.isInteger(uid) || !Number.isInteger(ownGid)) {
    throw new PosthornError("PRIVILEGES", {
      message: `there is no user ${user} to run the workers as`,
      advice: `make one (useradd --system --home-dir /var/lib/posthorn --shell /usr/sbin/nologin ${user}) or set user`,
    });
  }
  if (uid === 0) {
    throw new PosthornError("PRIVILEGES", {
      message: `${user} is root, and no process of the server becomes root`,
      advice: "name a user without privileges",
    });
  }
  return { user, uid, gid: group === undefined ? ownGid : groupId(group) };
}

/** The number of a user; undefined when there is none. */
export function uidOf(user: string): number | undefined {
  const uid = Number(lineOf("/etc/passwd", user)?.[2]);
  return Number.isInteger(uid) ? uid : undefined;
}

/** The number of a group. Throws `PRIVILEGES` when there is none. */
export function groupId(group: string): number {
  const gid = Number(lineOf("/etc/group", group)?.[2]);
  if (!Number.isInteger(gid)) {
    throw new PosthornError("PRIVILEGES", {
      message: `there is no group ${group}`,
      advice: `make it (groupadd --system ${group}) or name another in the settings`,
    });
  }
  return gid;
}

function lineOf(file: string, name: string): readonly string[] | undefined {
  return readFileSync(file, "utf8")
    .split("\n")
    .map((line) => line.split(":"))
    .find((fields) => fields[0] === name && fields.length > 2);
}
