/**
 * One string for all that are equal. What comes from the store or another process brings its own copy of the name of its
 * action, of its state and of its sender; a hundred thousand envelopes would keep a hundred thousand of each.
 *
 * What is remembered is bounded: when it is full it begins anew, and only finds fewer that are equal for a while.
 */
const MOST = 500;

export function sharedText(among: Map<string, string>, text: string): string {
  const known = among.get(text);
  if (known !== undefined) return known;
  if (among.size >= MOST) among.clear();
  among.set(text, text);
  return text;
}

/**
 * The same for one of a few names by which something is looked up in an object: the string that V8 itself keeps for such a
 * name. With another copy of its characters, what V8 had compiled for the lookup was thrown away each time it met it.
 */
export function sharedName(among: Map<string, string>, name: string): string {
  const known = among.get(name);
  if (known !== undefined) return known;
  return sharedText(among, Object.keys({ [name]: true })[0] ?? name);
}
