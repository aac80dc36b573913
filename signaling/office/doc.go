// Package office runs the desk: it keeps the state that follows from the log, decides over commands, and tells what comes of them.
//
//	Do ──▶ ┐                        ┌──▶ log ──▶ ┐
//	Do ──▶ ├─ one batch: decided ───┤ (on disk)  ├──▶ kept ──▶ answers, events to subscribers, floors to the relay
//	tick ─▶ ┘  against the state     └─ conflict ─┘
//	                ▲                       │ taken back; the other server's entry is applied; decided again
//	                └───────────────────────┘
//
// What comes in while an entry is being written makes the next entry: one sync to disk serves all of it. Servers that share a log each have an
// office; the log's expected sequence decides whose entry is next. Nobody is told of anything before it is in the log.
package office
