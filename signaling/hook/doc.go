// Package hook tells webhooks what happens in calls. The log is the outbox: each webhook has a place in it, kept where the log is kept, and goes on
// from there when its receiver, or this server, has been away for however long.
//
//	log ──▶ entry ──▶ its events, one POST after the other ──▶ all taken: the next entry
//	                        └── refused, no answer ──▶ again after 1 s, 2 s, … 5 min, for ever
//
// A receiver gets each event at least once and in order; what it has had already it knows by the event's ID.
package hook
