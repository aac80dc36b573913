// Package carrier lets browsers, which have no UDP, reach the relay: WebTransport datagrams and, where UDP is blocked, a WebSocket carry the same datagrams
// that others send over UDP.
//
//	browser ── WebTransport, datagrams as they are ──┐
//	browser ── WebSocket, u16 length | datagram … ───┤ peer ── UDP on this machine ── relay
//
// A peer has a socket of its own to the relay, which so sees nothing unusual: sessions, keys, repair and admission are those of UDP, and a change of carrier is a
// change of address. What a slow reader does not take is dropped by that socket's buffer, which is small; nobody else waits. The carrier sees no key: datagrams
// are sealed between browser and relay.
package carrier
