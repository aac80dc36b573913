// Package wire turns bytes into datagrams, frames and control messages and back.
//
// It is the code of docs/wire.md and decides nothing: no state, no clock, no keys. Append functions add an encoding to a
// buffer; parse functions take bytes from the network, never panic, never allocate, and return views into their input.
//
//	datagram   INIT | ACCEPT | RETRY | RESET | data packet
//	data       header (13, clear) | frames (sealed) | tag (16)
//	frames     PING PONG FEEDBACK CONTROL PATH_* CLOSE PADDING … or one MEDIA, or one REPAIR
//	control    type (1) | length (3) | body, in the byte stream that CONTROL frames carry
package wire
