// Package rtmpchunk turns RTMP messages (audio and video frames, metadata, commands) into RTP packets and back, reads and
// writes FLV files, and tells what a message is without decoding it.
//
// A message is the body of an FLV tag with its type and timestamp ([Message]). What happens to it depends on what it is
// ([Classify]): frames become packets, which the network may lose; everything that a decoder cannot do without, or that is
// no frame, becomes a [Record] for the reliable control channel.
//
//	FLV, RTMP ── Message ── Packetizer ──┬── packets (frames) ──── network ──── Parser ── AppendBody ──┬── Message
//	                                     └── Record (the rest) ── control channel ─────────────────────┘
//
// A packet is an RTP packet of at most 1136 bytes, with a header of 28 bytes that is always built alike:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---+-+-+-------+-+-------------+-------------------------------+
//	|2  |0|1|0      |M|  96 or 97   |  sequence number              |   M: last packet of the message
//	+---+-+-+-------+-+-------------+-------------------------------+   96 audio, 97 video
//	|  timestamp of the RTMP message in ms                          |
//	+-----------------------------------------------------------+-+-+
//	|  instance                                                   |V|   V: video
//	+-------------------------------+-----------------------------+-+
//	|  0xBEDE                       |  3 words                      |   RFC 8285, one-byte form
//	+-------+-------+-+-+-+-----+---+---------------+---------------+
//	|ID 1   |10     |V|K|D|layer|0 0|  config ID    |  index ...    |   K: key frame, D: discardable
//	+-------+-------+-+-+-+-----+---+---------------+---------------+
//	 ... |  packets minus 1       |  order, low 16 bits            |     index and count: 12 bits each
//	+-----+------------------------+--------------------------------+
//	|  capture time in ticks of 64 µs                               |
//	+---------------------------------------------------------------+
//	|  one RTMP chunk: type 0 header in a message's first packet, type 3 in the others; then a piece of the message
//
// How a message of b bytes is cut: the chunk header of its first packet has 12 bytes, the others have 1 (each 4 more with an
// extended timestamp). Counting the first one's 11 bytes of surplus as content, there are c = b + 11 bytes to spread over
// n = ⌈c / 1107⌉ packets (1103 with an extended timestamp), the fewest possible; every one but the last holds ⌈c / n⌉ of
// them. So the packets are as even as equal lengths allow, which is what erasure coding over them wants.
//
// The package does no I/O but through the io.Reader and io.Writer that it is given, and reads no clock.
package rtmpchunk
