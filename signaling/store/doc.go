// Package store keeps the deployment's one log. Every change of signaling is one entry of it; rooms, calls, queues and everything else are
// projections, made elsewhere from the entries in their order.
//
//	server A                                       server B
//	decides, Append(after=41) ──┐              ┌── decides, Append(after=41)
//	                            ▼              ▼
//	            ┌───────────────────────────────────┐
//	log         │ 1 │ 2 │ 3 │ …… │ 40 │ 41 │ 42 (A)  │   B: ErrConflict
//	            └───────────────────────────────────┘
//	                      ▲               │    └──── Follow: all servers, the same entries, the same order
//	snapshot of entry 30 ─┘               └───────── Outbox: one entry in flight, whichever process holds it
//
// The log is one JetStream stream with one subject. An append names the sequence number that it expects to come behind. Of two servers that
// decide at the same moment one is told ErrConflict; it reads what the other has written, and decides again. There is no lock and no leader.
//
// By default a NATS server runs inside the process, without a port, with its files under Config.Dir. With Config.URL the same code uses a
// server or cluster that is there already, and several processes may share it.
//
// # What is lost, and when
//
// What Append has acknowledged was handed to the operating system at least: a process that is killed, at whatever moment, loses none of it.
// What a power cut or a crash of the operating system costs depends on Config.Sync:
//
//   - 0: every entry is synced to disk before it is acknowledged. Nothing acknowledged is lost, as far as the disk tells the truth about its
//     syncs. An append takes as long as a sync.
//   - more than 0: what was acknowledged since the last sync may be lost, which is up to that interval: calls that began, messages that were
//     acknowledged, hang-ups. The log ends earlier then, but has no holes: its order and what is before stay whole. A snapshot that was
//     synced when the log was not is passed over.
//   - with Config.URL: as the NATS servers are configured. Their default is to sync every two minutes; "sync_interval: always" is the
//     counterpart of 0. With several replicas an entry is lost only if the majority of them lose power within the interval.
//
// An outbox's position is written behind its acknowledgement, about ten times a second. A kill may so bring back what was done in the last
// moment: entries come from an outbox at least once, in order, and the receiver tells repetitions by their sequence number.
//
// # Files
//
// Under Config.Dir: "nats" holds the server's files, "log" and "last" tell which log they have to hold and up to where, and "lock" is locked by the
// process that uses the directory. It should be on a local disk: whether other machines see the lock is up to a network file system. A backup takes
// all of the directory, with the server stopped.
package store
