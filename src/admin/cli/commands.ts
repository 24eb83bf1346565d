import type { CliCommand } from "./command.ts";
import { log } from "./log.ts";
import { profile } from "./profile.ts";
import { queueBounce, queueHold, queueRelease, queueRemove, queueRetry } from "./queue-change.ts";
import { queueCount } from "./queue-count.ts";
import { queueList } from "./queue-list.ts";
import { queueShow } from "./queue-show.ts";
import { replay } from "./replay.ts";
import { schedule } from "./schedule.ts";
import { send } from "./send.ts";
import { backup, pause, reload, reopen, restore, resume, resumeRoute, stop } from "./server-commands.ts";
import { showDomains, showHosts, showRelays, showRoutes, showSources } from "./show.ts";
import { showStats } from "./show-stats.ts";
import { showStatus } from "./show-status.ts";
import { simulateCommand } from "./simulate.ts";
import { accountHash, check, version } from "./small-commands.ts";
import { routes, status } from "./status.ts";
import { holds, suspend, unsuspend } from "./suspend.ts";
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
  simulateCommand,
  send,
  accountHash,
  version,
];
