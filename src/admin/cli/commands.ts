import type { CliCommand } from "./command.ts";
import { explain } from "./explain.ts";
import { autoconfig } from "./autoconfig.ts";
import { dkimCheck, dkimKeyMake } from "./dkim.ts";
import { check } from "./check.ts";
import { dmarcReportsList, dmarcReportsSend, dmarcReportsShow } from "./dmarc.ts";
import { dns } from "./dns.ts";
import { greylistAllow, greylistList, greylistRemove } from "./greylist.ts";
import { log } from "./log.ts";
import { mailq } from "./mailq.ts";
import { makeMap, newAliases } from "./make-map.ts";
import { loginsClear, showLogins } from "./logins.ts";
import { policyTest } from "./policy-test.ts";
import { profile } from "./profile.ts";
import { quarantineList, quarantineRelease, quarantineRemove, quarantineShow } from "./quarantine.ts";
import { queueBounce, queueHold, queueRelease, queueRemove, queueRetry } from "./queue-change.ts";
import { queueCount } from "./queue-count.ts";
import { queueList } from "./queue-list.ts";
import { queueShow } from "./queue-show.ts";
import { ratesClear, showRates } from "./rates.ts";
import { replay } from "./replay.ts";
import { schedule } from "./schedule.ts";
import { send } from "./send.ts";
import { backup, pause, reload, reopen, restore, resume, resumeRoute, stop } from "./server-commands.ts";
import { showDomains, showHosts, showRelays, showRoutes, showSources } from "./show.ts";
import { sendersClear, showSenders } from "./senders.ts";
import { showStats } from "./show-stats.ts";
import { showStatus } from "./show-status.ts";
import { simulateCommand } from "./simulate.ts";
import { accountHash, version } from "./small-commands.ts";
import { routes, status } from "./status.ts";
import { holds, suspend, unsuspend } from "./suspend.ts";
import { showFilters } from "./show-filters.ts";
import { showTables } from "./show-tables.ts";
import { tableLookup } from "./table-lookup.ts";
import { tail } from "./tail.ts";
import { tlsCertificates } from "./tls-certificates.ts";
import { tlsCloses } from "./tls-closes.ts";
import { tlsDiff } from "./tls-diff.ts";
import { tlsFailures } from "./tls-failures.ts";
import { tlsHosts } from "./tls-hosts.ts";
import { tlsPlaintext } from "./tls-plaintext.ts";
import { tlsPolicy } from "./tls-policy.ts";
import { tlsProbe } from "./tls-probe.ts";
import { tlsRenew } from "./tls-renew.ts";
import { tlsShow } from "./tls-show.ts";
import { traceList, traceOff, traceOn } from "./trace.ts";
import { traceTls } from "./trace-tls.ts";
import { why } from "./why.ts";

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
