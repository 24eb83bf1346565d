import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../server.ts";
import { startPeer, type RunningPeer } from "./running.ts";

export interface RunningRspamd extends RunningPeer {
  /** Where it speaks HTTP; `at` is the same. */
  readonly http: number;
  /** Where it speaks milter. */
  readonly milter: number;
}

/**
 * Debian's rspamd with a worker for HTTP and one for milters, without maps, DNS and store: nothing of it asks the network. Mail
 * is judged by GTUBE (`spamd.ts`) and by what the mail itself asks for in fields, so that a test says what it wants:
 *
 * | field | rspamd |
 * |---|---|
 * | `X-Test-Score: 7` | gives so many points: mark at 6, subject at 8, refuse at 15 |
 * | `X-Test-Action: soft reject` | decides that, with the text `Told by a test` |
 * | `X-Test-Body: text` | replaces the body |
 */
export async function startRspamd(
  options: { readonly lua?: string; readonly settings?: string } = {},
): Promise<RunningRspamd> {
  const milter = await freePort();
  const peer = await startPeer({
    name: "rspamd",
    async prepare(folder) {
      const http = await freePort();
      chmodSync(folder, 0o777);
      writeFileSync(join(folder, "rules.lua"), `${RULES}\n${options.lua ?? ""}`);
      // The whole list takes half a minute to compile.
      writeFileSync(join(folder, "suffixes.dat"), "com\nexample\norg\nnet\n");
      writeFileSync(join(folder, "rspamd.conf"), settingsOf(folder, http, milter, options.settings ?? ""));
      return {
        command: ["rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", join(folder, "rspamd.conf")],
        at: http,
        mails: "mail/*",
        log: "none",
      };
    },
  });
  return { ...peer, http: Number(peer.at), milter, [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose]() };
}

function settingsOf(folder: string, http: number, milter: number, more: string): string {
  return `
options {
  pidfile = "${folder}/rspamd.pid";
  tempdir = "${folder}";
  control_socket = "${folder}/control.sock mode=0600";
  filters = "";
  gtube_patterns = "all";
  url_tld = "${folder}/suffixes.dat";
  disable_hyperscan = true;
  dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; sockets = 1; }
}
logging { type = "console"; level = "info"; color = false; }
worker "normal" { bind_socket = "127.0.0.1:${http}"; count = 1; }
worker "rspamd_proxy" {
  bind_socket = "127.0.0.1:${milter}";
  milter = yes;
  timeout = 30s;
  count = 1;
  upstream "local" { default = yes; self_scan = yes; }
}
actions { reject = 15; rewrite_subject = 8; add_header = 6; greylist = 4; subject = "[SPAM] %s"; }
modules { path = "/usr/share/rspamd/plugins/milter_headers.lua"; }
milter_headers { use = ["x-spam-level", "x-spam-status", "test"]; skip_local = false; skip_authenticated = false;
  custom { test = "return function(task, common_meta) return nil, {['X-Test-Facts'] = {order = 0, value = test_facts(task)}}, {['X-Test-Secret'] = 0}, {} end"; }
}
lua = "${folder}/rules.lua";
${more}
`;
}

const RULES = `
local function field(task, name) return task:get_header(name) end
function test_facts(task)
  local from = task:get_from('smtp')
  local to = task:get_recipients('smtp') or {}
  local addresses = {}
  for _, one in ipairs(to) do table.insert(addresses, one.addr) end
  return string.format('ip=%s helo=%s host=%s user=%s from=%s to=%s id=%s', tostring(task:get_from_ip()), tostring(task:get_helo()),
    tostring(task:get_hostname()), tostring(task:get_user()), from and from[1] and from[1].addr or '', table.concat(addresses, ','),
    tostring(task:get_queue_id()))
end
rspamd_config:register_symbol({ name = 'TEST_SCORE', type = 'normal', score = 1, callback = function(task)
  local wanted = tonumber(field(task, 'X-Test-Score') or '')
  if wanted then task:insert_result('TEST_SCORE', wanted) end
end })
rspamd_config:set_metric_symbol({ name = 'TEST_SCORE', score = 1.0 })
rspamd_config:register_symbol({ name = 'TEST_ACTION', type = 'prefilter', callback = function(task)
  local wanted = field(task, 'X-Test-Action')
  if wanted then task:set_pre_result(wanted, 'Told by a test', 'test') end
  local body = field(task, 'X-Test-Body')
  if body then
    local headers = tostring(task:get_raw_headers())
    task:set_message(headers .. '\\r\\n' .. body .. '\\r\\n')
  end
end })
`;
