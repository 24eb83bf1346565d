/** A test reporter that says what was skipped, by name and reason, and the sums. A skip in silence would be a lie. */
import type { TestEvent } from "node:test/reporters";

export default async function* skippedReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for await (const event of source) {
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    if (event.data.details.type === "suite") continue;
    if (event.data.skip !== undefined && event.data.skip !== false) {
      skipped++;
      yield `\nskipped: ${event.data.name}${typeof event.data.skip === "string" ? ` (${event.data.skip})` : ""}\n`;
    } else if (event.type === "test:pass") passed++;
    else failed++;
  }
  yield `\n${passed} passed, ${failed} failed, ${skipped} skipped\n`;
}
