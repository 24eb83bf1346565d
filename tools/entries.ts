/** The modules that stand for themselves in `dist/`: what bin/ starts, what package.json exports, and all that `ownModule()` is asked for. */
export const entries = [
  "main",
  "process/library",
  "simulator/library",
  "process/split/worker-main",
  "process/role/filing-main",
  "service/account/system-checker.io",
  "service/config/code-thread.io",
  "mail/queue/store-thread.io",
  "mail/delivery/mailbox/filing-thread.io",
  "mail/filter/hooks/hook-thread.io",
  "mail/log/journal-worker.io",
  "mail/log/journal-reader-worker.io",
  "mail/log/syslog-worker.io",
] as const;
