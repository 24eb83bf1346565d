/** Whose a socket's file is, and its mode as the settings have it: `control.query.mode` and `group`. */
export interface Place {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface Peer {
  readonly uid: number;
  readonly gid: number;
  /** Besides `gid`. */
  readonly groups: readonly number[];
}

const MAY_WRITE = 0o2;

/**
 * Whether a peer could connect to a socket with this mode: the class is chosen as the system does it (owner, else group,
 * else others), and root may always. So the mode says who sees all even where everybody may connect.
 */
export function maySeeAll(place: Place, peer: Peer): boolean {
  if (peer.uid === 0) return true;
  const isMember = peer.gid === place.gid || peer.groups.includes(place.gid);
  const shift = peer.uid === place.uid ? 6 : isMember ? 3 : 0;
  return ((place.mode >> shift) & MAY_WRITE) !== 0;
}
