import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";
import { hasPeer, inPeer, startPeer, type RunningPeer } from "./running.ts";

const SCRIPT = `require ["fileinto", "mailbox", "envelope", "subaddress", "imap4flags", "variables", "reject"];
if header :contains "subject" "refuse" { reject "not wanted here"; stop; }
if header :matches "subject" "[*] *" { set :lower "list" "\${1}"; addflag "\\\\Flagged"; fileinto :create "lists.\${list}"; stop; }
if envelope :detail "to" "shop" { fileinto :create "Shopping"; }
`;

/** Debian's dovecot-lmtpd with Pigeonhole: one script for all, and a user called full whose mailbox is. */
function startPigeonhole(): Promise<RunningPeer> {
  return startPeer({
    name: "pigeonhole",
    async prepare(folder) {
      mkdirSync(join(folder, "home"));
      chmodSync(join(folder, "home"), 0o777);
      writeFileSync(join(folder, "script.sieve"), SCRIPT);
      writeFileSync(join(folder, "users"), "ann:::::::\nfull:::::::userdb_quota_rule=*:bytes=10\n");
      // It reads all before it ends: Dovecot takes a program that ends sooner (such as true) for one that failed, by chance.
      writeFileSync(join(folder, "sendmail"), "#!/bin/sh\nexec cat >/dev/null\n");
      chmodSync(join(folder, "sendmail"), 0o755);
      for (const name of ["script.sieve", "users"]) chmodSync(join(folder, name), 0o644);
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
mail_location = maildir:${folder}/mail/%n
mail_uid = dovecot
mail_gid = dovecot
first_valid_uid = 100
auth_username_format = %Ln
recipient_delimiter = +
lmtp_save_to_detail_mailbox = no
# Refusals go out through it; without one Dovecot keeps the mail after all.
sendmail_path = ${folder}/sendmail
postmaster_address = postmaster@posthorn.test
mail_plugins = quota
plugin {
  sieve = file:${folder}/script.sieve
  quota = maildir:User
}
protocol lmtp {
  mail_plugins = sieve quota
}
passdb {
  driver = static
  args = nopassword=y
}
userdb {
  driver = passwd-file
  args = ${folder}/users
  override_fields = uid=dovecot gid=dovecot home=${folder}/home/%n
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
      return {
        command: ["dovecot", "-F", "-c", file],
        at: join(folder, "lmtp"),
        mails: "mail/ann/**/new/*",
        log: "log",
      };
    },
  });
}

test("Sieve over Dovecot's LMTP: folders, flags, variables, reject; a recipient without room leaves the others theirs", async (t) => {
  if (!hasPeer("pigeonhole", t)) return;
  await using dovecot = await startPigeonhole();
  await using server = await startServer({
    settings: `local: { domains: [posthorn.test] }
actions: { deliver: { relay: { to: "lmtp+unix:${dovecot.at}" } } }
`,
  });
  const said = (): string => `${server.output().slice(-3000)}\n${dovecot.log().slice(-3000)}`;
  const folders = (): string => {
    const root = join(dovecot.folder, "mail/ann");
    const found = existsSync(root) ? readdirSync(root, { recursive: true, encoding: "utf8" }) : [];
    return found
      .filter((name) => /(?:new|cur)\/\d/.test(name))
      .map((name) => name.replace(/\d+\..*?(?=:|$)/, ""))
      .sort()
      .join(" ");
  };
  const until = async (holds: () => boolean): Promise<void> => {
    for (const untilAt = Date.now() + 60_000; !holds(); await wait(50)) assert.ok(Date.now() < untilAt, said());
  };
  const send = (to: string | readonly string[], subject: string): Promise<string> =>
    sendMail(server.ports.smtp, {
      from: "bob@posthorn.test",
      to: [to].flat(),
      content: `Subject: ${subject}\n\nhello`,
    });

  assert.match(await send("ann@posthorn.test", "[Build] it works"), /^250/);
  assert.match(await send("ann+shop@posthorn.test", "a parcel"), /^250/);
  await until(() => folders().split(" ").length === 2);
  assert.equal(folders(), ".Shopping/new/ .lists.build/cur/:2,F");

  assert.match(await send("ann@posthorn.test", "refuse this"), /^250/);
  await server.waitForOutput(/to=<ann@posthorn\.test>.*status=(?:sent|bounced)/);

  assert.match(await send(["full@posthorn.test", "ann@posthorn.test"], "for two"), /^250/);
  await server.waitForOutput(/to=<full@posthorn\.test>.*status=(?:bounced|deferred) .*[45]52 [45]\.2\.2/);
  await until(() => folders() === ".Shopping/new/ .lists.build/cur/:2,F new/");
  assert.match(dovecot.mails().join("\n"), /Subject: for two/);
});

test("Sieve by dovecot-lda, run as the recipient's user", async (t) => {
  if (!hasPeer("pigeonhole", t)) return;
  const [program, argv] = inPeer("pigeonhole", []);
  const homes = mkdtempSync(join(tmpdir(), "posthorn-homes-"));
  chmodSync(homes, 0o755);
  const home = join(homes, "ann");
  mkdirSync(home, { mode: 0o700 });
  chownSync(home, 60_001, 60_001);
  const file = join(homes, "lda.conf");
  writeFileSync(join(homes, "script.sieve"), SCRIPT);
  writeFileSync(
    file,
    `ssl = no
mail_location = maildir:~/Maildir
first_valid_uid = 100
recipient_delimiter = +
postmaster_address = postmaster@posthorn.test
log_path = ${home}/lda.log
plugin {
  sieve = file:${homes}/script.sieve
  sieve_global = ${homes}
}
protocol lda {
  mail_plugins = sieve
}
`,
  );
  for (const name of [file, join(homes, "script.sieve")]) chmodSync(name, 0o644);
  try {
    await using server = await startServer({
      wrapper: [program, ...argv],
      settings: `local: { domains: [posthorn.test], users: table:people }
tables: { people: { map: { ann: "60001:60001:${home}" } } }
mailbox: { user: recipient }
actions: { deliver: { deliver: command, command: '/usr/lib/dovecot/dovecot-lda -c ${file} -f "{sender}" -a "{recipient}"' } }
`,
    });
    const reply = await sendMail(server.ports.smtp, {
      from: "bob@posthorn.test",
      to: "ann+shop@posthorn.test",
      content: "Subject: a parcel\n\nhello",
    });
    assert.match(reply, /^250/);
    await server.waitForOutput(/status=sent \(delivered to command/);
    const folder = join(home, "Maildir/.Shopping/new");
    const [name = ""] = existsSync(folder) ? readdirSync(folder) : [];
    assert.match(readFileSync(join(folder, name), "utf8"), /Subject: a parcel/);
  } finally {
    rmSync(homes, { recursive: true, force: true });
  }
});
