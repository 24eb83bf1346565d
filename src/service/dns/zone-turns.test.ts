import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../../simulator/clock.ts";
import { ZoneTurns } from "./zone-turns.ts";

function setUp(most: number) {
  const clock = virtualClock(0);
  const turns = new ZoneTurns(clock, most);
  const begun: string[] = [];
  const leaving: (() => void)[] = [];
  const ask = (name: string, triesBefore = 0, limitMs = 1000): void =>
    void turns.take(name, triesBefore, limitMs).then((leave) => {
      begun.push(leave === undefined ? `no turn for ${name}` : name);
      if (leave !== undefined) leaving.push(leave);
    });
  /** What has begun (or was given up) since it was last asked for. */
  const news = async (): Promise<readonly string[]> => {
    await clock.advance(0);
    return begun.splice(0);
  };
  return { clock, ask, news, leave: (index: number) => leaving[index]?.() };
}

test("a zone has no more places than are free, so that others find some", async () => {
  const { ask, news } = setUp(8);
  for (let n = 0; n < 10; n++) ask(`k${n}.slow.example`);
  assert.deepEqual(await news(), ["k0.slow.example", "k1.slow.example", "k2.slow.example", "k3.slow.example"]);
  for (let n = 0; n < 10; n++) ask(`k${n}.dull.example`);
  assert.deepEqual(await news(), ["k0.dull.example", "k1.dull.example"]);
  ask("host.good.example");
  assert.deepEqual(await news(), ["host.good.example"]);
  ask("host.fine.example");
  assert.deepEqual(await news(), ["host.fine.example"]);
});

test("a place goes to the zone that has fewest, there to a first try, then to who has waited longest", async () => {
  const { ask, news, leave } = setUp(4);
  for (const zone of ["a", "b", "c", "d"]) ask(`x.${zone}.example`);
  ask("y.a.example");
  ask("again.g.example", 1);
  ask("first.e.example");
  ask("first.f.example");
  assert.equal((await news()).length, 4);
  const order: string[] = [];
  for (const index of [1, 2, 3]) {
    leave(index);
    order.push(...(await news()));
  }
  assert.deepEqual(order, ["first.e.example", "first.f.example", "again.g.example"]);
});

test("whoever has no turn in time goes away, and their place in the line with them", async () => {
  const { clock, ask, news, leave } = setUp(1);
  ask("a.one.example");
  ask("a.two.example", 0, 50);
  ask("a.three.example", 0, 500);
  ask("a.four.example", 0, 0);
  await clock.advance(100);
  assert.deepEqual(await news(), ["a.one.example", "no turn for a.four.example", "no turn for a.two.example"]);
  leave(0);
  assert.deepEqual(await news(), ["a.three.example"]);
});

test("names of one holder are one zone, those of one country or of neighbouring networks are not", async () => {
  const isOneZone = async (first: string, second: string): Promise<boolean> => {
    const { ask, news } = setUp(2);
    ask(first);
    ask(second);
    return (await news()).length === 1;
  };
  assert.ok(await isOneZone("a.b.example.org", "example.org"));
  assert.ok(await isOneZone("a.example.co.uk", "b.example.co.uk"));
  assert.ok(await isOneZone("1.2.0.192.in-addr.arpa", "9.3.0.192.in-addr.arpa"));
  assert.equal(await isOneZone("a.example.co.uk", "a.another.co.uk"), false);
  assert.equal(await isOneZone("1.2.0.192.in-addr.arpa", "1.2.1.192.in-addr.arpa"), false);
  assert.equal(await isOneZone("example.org", "example.com"), false);
});
