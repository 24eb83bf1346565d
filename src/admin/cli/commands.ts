import type { CliCommand } from "./command.ts";
import { autoconfig } from "./domains/autoconfig.ts";
import { dkimCheck, dkimKeyMake } from "./domains/dkim.ts";
import { dmarcReportsList, dmarcReportsSend, dmarcReportsShow } from "./domains/dmarc.ts";
import { dns } from "./domains/dns.ts";
import { greylistAllow, greylistList, greylistRemove } from "./limits/greylist.ts";
import { loginsClear, showLogins } from "./limits/logins.ts";
import { ratesClear, showRates } from "./limits/rates.ts";
import { sendersClear, showSenders } from "./limits/senders.ts";
import { log } from "./log/log.ts";
import { tail } from "./log/tail.ts";
import { traceTls } from "./log/trace-tls.ts";
import { traceList, traceOff, traceOn } from "./log/trace.ts";
import { mailq } from "./queue/mailq.ts";
import { quarantineList, quarantineRelease, quarantineRemove, quarantineShow } from "./queue/quarantine.ts";
import { queueBounce, queueHold, queueRelease, queueRemove, queueRetry } from "./queue/queue-change.ts";
import { queueCount } from "./queue/queue-count.ts";
import { queueList } from "./queue/queue-list.ts";
import { queueShow } from "./queue/queue-show.ts";
import { schedule } from "./queue/schedule.ts";
import { holds, suspend, unsuspend } from "./queue/suspend.ts";
import { why } from "./queue/why.ts";
import { send } from "./sendmail/send.ts";
import { backup, pause, reload, reopen, restore, resume, resumeRoute, stop } from "./server/server-commands.ts";
import { version } from "./server/version.ts";
import { check } from "./settings/check.ts";
import { explain } from "./settings/explain.ts";
import { policyTest } from "./settings/policy-test.ts";
import { profile } from "./show/profile.ts";
import { showFilters } from "./show/show-filters.ts";
import { showStats } from "./show/show-stats.ts";
import { showStatus } from "./show/show-status.ts";
import { showDomains, showHosts, showRelays, showRoutes, showSources } from "./show/show.ts";
import { routes, status } from "./show/status.ts";
import { replay } from "./simulation/replay.ts";
import { simulateCommand } from "./simulation/simulate.ts";
import { accountHash } from "./tables/account-hash.ts";
import { makeMap, newAliases } from "./tables/make-map.ts";
import { showTables } from "./tables/show-tables.ts";
import { tableLookup } from "./tables/table-lookup.ts";
import { tlsCertificates } from "./tls/tls-certificates.ts";
import { tlsCloses } from "./tls/tls-closes.ts";
import { tlsDiff } from "./tls/tls-diff.ts";
import { tlsFailures } from "./tls/tls-failures.ts";
import { tlsHosts } from "./tls/tls-hosts.ts";
import { tlsPlaintext } from "./tls/tls-plaintext.ts";
import { tlsPolicy } from "./tls/tls-policy.ts";
import { tlsProbe } from "./tls/tls-probe.ts";
import { tlsRenew } from "./tls/tls-renew.ts";
import { tlsShow } from "./tls/tls-show.ts";

/** Every command, in the order in which help and the manual show them. */
export const commands: readonly CliCommand[] = [
  status,
  queueList,
  queueShow,
  queueCount,
  queueHold,
  queueRelease,
  queueRetry,
  queueRemove,
  queueBounce,
  suspend,
  unsuspend,
  holds,
  showRoutes,
  showRelays,
  showHosts,
  showSources,
  showDomains,
  showStats,
  showStatus,
  showTables,
  showFilters,
  showLogins,
  loginsClear,
  showSenders,
  sendersClear,
  showRates,
  ratesClear,
  quarantineList,
  quarantineShow,
  quarantineRelease,
  quarantineRemove,
  greylistList,
  greylistRemove,
  greylistAllow,
  why,
  schedule,
  profile,
  replay,
  routes,
  log,
  tail,
  tlsFailures,
  tlsShow,
  tlsDiff,
  tlsCloses,
  tlsPlaintext,
  tlsHosts,
  tlsPolicy,
  tlsProbe,
  tlsCertificates,
  tlsRenew,
  traceList,
  traceOn,
  traceOff,
  traceTls,
  pause,
  resume,
  resumeRoute,
  reload,
  reopen,
  stop,
  backup,
  restore,
  check,
  policyTest,
  dns,
  dkimKeyMake,
  dkimCheck,
  dmarcReportsList,
  dmarcReportsShow,
  dmarcReportsSend,
  autoconfig,
  explain,
  tableLookup,
  makeMap,
  newAliases,
  mailq,
  simulateCommand,
  send,
  accountHash,
  version,
];
