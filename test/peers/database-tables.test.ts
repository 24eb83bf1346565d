/** What every table does, over Debian's PostgreSQL, MariaDB, OpenLDAP and Redis. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { seededRandom } from "../../src/foundation/random.ts";
import { openTable } from "../../src/service/table/open-backend.io.ts";
import { tablesSettings } from "../../src/service/table/settings.ts";
import { isBackendSource } from "../../src/service/table/backend-source.ts";
import { tableSuite, type TableUnderTest } from "../../src/service/table/table.suite.ts";
import { TABLE_SUBJECTS } from "./database-subjects.ts";
import { hasPeer } from "./running.ts";
import { trustIn } from "../../src/testing/trust.ts";

const PEERS = process.env["POSTHORN_PEERS"] ?? "/opt/posthorn-peers";

for (const subject of TABLE_SUBJECTS) {
  if (!existsSync(join(PEERS, subject.peer, ".packages")) || process.getuid?.() !== 0) {
    test(`${subject.kind}: passes the suite of all tables`, (t) => void hasPeer(subject.peer, t));
    continue;
  }
  describe(`${subject.kind}, as every table`, () => {
    tableSuite(
      subject.kind,
      async (entries): Promise<TableUnderTest> => {
        const server = await subject.start(entries);
        const options = {
          ...subject.options,
          hosts: `127.0.0.1:${server.port}`,
          firstPause: "50ms",
          longestPause: "200ms",
        };
        const { table: source } = tablesSettings.parse({ table: { [subject.kind]: options, timeout: "2s" } });
        assert.ok(source !== undefined && isBackendSource(source));
        const opened = await openTable("table", source, {
          clock: systemClock,
          random: seededRandom(1),
          trust: trustIn(),
          onFinding: () => {},
          secrets: { table: subject.password },
        });
        return {
          table: opened.table,
          fail: () => server.kill(),
          recover: () => server.start(),
          close: () => opened.close(),
          async [Symbol.asyncDispose]() {
            await opened.close();
            await server[Symbol.asyncDispose]();
          },
        };
      },
      subject.limits,
    );
  });
}
