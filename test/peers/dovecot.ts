import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startPeer, type RunningPeer } from "./running.ts";

/** Debian's dovecot-lmtpd on a unix socket: takes mail for everybody into Maildirs. */
export function startDovecot(): Promise<RunningPeer> {
  return startPeer({
    name: "dovecot",
    async prepare(folder) {
      mkdirSync(join(folder, "home"));
      chmodSync(join(folder, "home"), 0o777);
      const file = join(folder, "dovecot.conf");
      writeFileSync(
        file,
        `protocols = lmtp
base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = ${folder}/log
ssl = no
default_internal_user = dovecot
default_login_user = dovenull
mail_location = maildir:${folder}/mail/%u
mail_uid = dovecot
mail_gid = dovecot
first_valid_uid = 100
passdb {
  driver = static
  args = nopassword=y
}
userdb {
  driver = static
  args = uid=dovecot gid=dovecot home=${folder}/home/%u allow_all_users=yes
}
service lmtp {
  unix_listener ${folder}/lmtp {
    mode = 0666
  }
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
`,
      );
      return { command: ["dovecot", "-F", "-c", file], at: join(folder, "lmtp"), mails: "mail/*/new/*", log: "log" };
    },
  });
}

/** Debian's dovecot as the keeper of accounts, with Dovecot's extra fields, for a server that asks it over the unix socket `at`. */
export function startDovecotAuth(
  ...accounts: readonly { user: string; password: string; fields?: string }[]
): Promise<RunningPeer> {
  return startPeer({
    name: "dovecot",
    async prepare(folder) {
      const file = join(folder, "dovecot.conf");
      const lines = accounts.map(({ user, password, fields = "" }) => `${user}:{PLAIN}${password}::::::${fields}\n`);
      writeFileSync(join(folder, "accounts"), lines.join(""));
      chmodSync(join(folder, "accounts"), 0o644);
      writeFileSync(
        file,
        `protocols =
base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = ${folder}/log
ssl = no
default_internal_user = dovecot
default_login_user = dovenull
auth_mechanisms = plain login cram-md5 scram-sha-256
auth_failure_delay = 0
passdb {
  driver = passwd-file
  args = ${folder}/accounts
}
userdb {
  driver = static
  args = uid=dovecot gid=dovecot home=/nonexistent
}
service auth {
  unix_listener ${folder}/auth {
    mode = 0666
  }
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
`,
      );
      return { command: ["dovecot", "-F", "-c", file], at: join(folder, "auth"), mails: "none", log: "log" };
    },
  });
}
