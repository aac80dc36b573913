// Package gateway joins programs that speak older protocols to streams: RTMP over TCP in and out (ffmpeg, OBS, VLC), RTMPS, and
// HTTP-FLV out.
//
//	RTMP client ── TCP ──▶ guard ──▶ go-rtmp ──▶ handler ──▶ Publication
//	            ◀── TCP ───────────── go-rtmp ◀── player  ◀── Subscription
//	HTTP client ◀──────────────────────────────── FLV     ◀── Subscription
//
// What a client sends reaches go-rtmp only through the guard, which reads the chunk stream itself, holds it to limits, and hands on
// whole messages of the few kinds that are meant (guard.go, docs/adr/0004-go-rtmp.md). Tokens ride in the URL's query and are
// actions of their own: they open nothing over UDP.
package gateway
