/**
 * What a new set of peers means for the connections that there are. PURE.
 */

/** @typedef {import("./protocol.generated.js").RtcPeer} RtcPeer */

/**
 * @param {Iterable<number>} connected entities to whom there is a connection
 * @param {readonly RtcPeer[]} peers
 * @returns {{open: RtcPeer[], keep: RtcPeer[], close: number[]}}
 */
export function comparePeers(connected, peers) {
  const known = new Set(connected);
  const wanted = new Set(peers.map((peer) => peer.entity_id));
  return {
    open: peers.filter((peer) => !known.has(peer.entity_id)),
    keep: peers.filter((peer) => known.has(peer.entity_id)),
    close: [...known].filter((entityId) => !wanted.has(entityId)),
  };
}

/**
 * What to do with an offer in perfect negotiation.
 * @param {boolean} isPolite
 * @param {boolean} isBusy whether an offer of one's own is being made, or is not answered yet
 * @returns {boolean} whether it is to be taken
 */
export function takesOffer(isPolite, isBusy) {
  return isPolite || !isBusy;
}
