// Package signaling is what speaks to parties and backends: the socket of docs/signaling.md and the HTTP interface, over an office.
package signaling
