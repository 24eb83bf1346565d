import assert from "node:assert/strict";
import { test } from "node:test";
import type { SinkLine } from "./sink.ts";
import { wholeLines } from "./whole-lines.ts";

const line = (text: string): SinkLine => ({ text, isDebug: false, level: "info", speaker: "master", number: 1, at: 0 });

/** Takes so many bytes until it is full. */
function fileWithRoom(room: number) {
  let text = "";
  return {
    room,
    get text() {
      return text;
    },
    async write(bytes: Buffer): Promise<number> {
      // Never more than four at once: a short count is no failure.
      const count = Math.min(bytes.length, this.room, 4);
      if (count === 0) throw new Error("ENOSPC");
      text += bytes.toString("utf8", 0, count);
      this.room -= count;
      return count;
    },
  };
}

test("wherever a disk gets full, each line is there once and whole when there is room again", async () => {
  const lines = ["one", "two", "three"].map(line);
  const later = line("four");
  for (let room = 0; room < 14; room++) {
    const file = fileWithRoom(room);
    const whole = wholeLines();
    const write = (bytes: Buffer): Promise<number> => file.write(bytes);
    await assert.rejects(whole.write(lines, write), /ENOSPC/);
    await assert.rejects(whole.write(lines, write), /ENOSPC/);
    file.room = 1000;
    await whole.write([...lines, later], write);
    assert.equal(file.text, "one\ntwo\nthree\nfour\n", `room for ${room}`);
  }
});

test("a line that an old file has the beginning of is whole in the new one", async () => {
  const [one, two] = [line("one"), line("two")];
  const [old, fresh] = [fileWithRoom(6), fileWithRoom(1000)];
  const whole = wholeLines();
  await assert.rejects(whole.write([one, two], (bytes) => old.write(bytes)));
  whole.startAnew();
  await whole.write([one, two], (bytes) => fresh.write(bytes));
  assert.deepEqual([old.text, fresh.text], ["one\ntw", "two\n"]);
});
