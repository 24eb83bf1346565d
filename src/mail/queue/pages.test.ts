import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { pagesOf, type PageEnd } from "./pages.ts";
import type { QueueFilter, QueuePlace } from "./store.ts";

/** A list of `total` rows in pages of `size` at most; says what it was asked for. */
function listOf(total: number, size: number) {
  const asked: (readonly [limit: number | undefined, from: number])[] = [];
  const ask = async (filter: QueueFilter, behind: QueuePlace | undefined): Promise<PageEnd & { from: number }> => {
    const from = behind?.n ?? 0;
    asked.push([filter.limit, from]);
    const count = Math.min(size, filter.limit ?? size, total - from);
    return { from, count, ...(from + count < total ? { next: { message: 0, n: from + count } } : {}) };
  };
  return { ask, asked };
}

test("pages follow each other to the end or the limit, whatever their size", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 60 }),
      fc.integer({ min: 1, max: 12 }),
      fc.option(fc.integer({ min: 0, max: 70 }), { nil: undefined }),
      async (total, size, limit) => {
        let rows = 0;
        for await (const page of pagesOf(listOf(total, size).ask, { limit })) {
          assert.equal(page.from, rows);
          rows += page.count;
        }
        assert.equal(rows, Math.min(total, limit ?? total));
      },
    ),
  );
});

test("one page is asked for ahead and no more, however slowly pages are used", async () => {
  const { ask, asked } = listOf(100, 10);
  const pages = pagesOf(ask, {});
  await pages.next();
  await new Promise(setImmediate);
  assert.equal(asked.length, 2);
  await pages.next();
  assert.equal(asked.length, 3);
  await pages.return();
  await new Promise(setImmediate);
  assert.equal(asked.length, 3);
});

test("what a limit leaves is what the next page may have, and a limit that is reached asks for nothing", async () => {
  const { ask, asked } = listOf(100, 10);
  await Array.fromAsync(pagesOf(ask, { limit: 25 }));
  assert.deepEqual(asked, [
    [25, 0],
    [15, 10],
    [5, 20],
  ]);
});

test("an empty page is handed on, and is not the end", async () => {
  const ends: PageEnd[] = [{ count: 0, next: { message: 1, n: 0 } }, { count: 2 }];
  const pages = pagesOf(async () => ends.shift() ?? { count: 0 }, {});
  assert.deepEqual(
    (await Array.fromAsync(pages)).map((page) => page.count),
    [0, 2],
  );
});

test("a page that fails, asked for ahead, is told when its turn comes, and to nobody when nobody asks", async () => {
  const failing = () => {
    let asked = 0;
    const place = { message: 0, n: 0 };
    return pagesOf(
      async () => (asked++ === 0 ? { count: 1, next: place } : Promise.reject(new Error("the disk failed"))),
      {},
    );
  };
  const pages = failing();
  assert.equal((await pages.next()).done, false);
  await assert.rejects(pages.next(), /the disk failed/);
  // An unhandled rejection would fail this test.
  const left = failing();
  await left.next();
  await left.return();
  await new Promise(setImmediate);
});
