// Command compare sends the same frames over the same bad network by several transports, and tells which of them arrived whole, when,
// and for how many bytes.
//
//	sender ── hop 1: bench.Proxy ──▶ relay or server ── hop 2: bench.Proxy ──▶ receiver
//
// Everything runs in one process and in real time, one transport after the other. Each is a [peer], in a file of its own. It is a
// module of its own, so that what it depends on never reaches a user of duet.
package main
