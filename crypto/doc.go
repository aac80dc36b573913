// Package crypto is everything secret in duet: who may talk, under which keys, and which packets count.
//
// A session begins with one Noise NK handshake. The client knows the relay's static public key from its URL, both sides make
// a fresh X25519 key, and all traffic keys follow from the two secrets that the handshake yields:
//
//	prologue = "duet v1" | version | suite | client's session ID
//	    │
//	Noise NK:  message 1  client → relay   e, es   | payload      [Initiator.Message1 → Responder.Read]
//	           message 2  relay → client   e, ee   | payload      [Responder.Message2 → Initiator.Finish]
//	    │
//	  Split ──► S0 client → relay          one traffic secret a direction; what follows is the same for both
//	       └──► S0 relay → client
//
//	S0 ──"duet next"──► S1 ──"duet next"──► S2 …           HKDF-Expand-SHA-256, one secret a key phase
//	 │                   │                   │
//	 ├─"duet key"─► key  ├─► key             ├─► key       AES-128-GCM or ChaCha20-Poly1305
//	 └─"duet iv"──► IV   └─► IV              └─► IV        nonce = IV XOR packet number
//
// A [Sealer] protects the packets of one direction and an [Opener] opens them; the opener also holds the replay window, so that
// authenticity and freshness cannot be checked apart. Packet numbers go on over a change of keys.
//
// Before a handshake stand two things that cost a relay no memory: the address cookie ([CookieJar]) and the reset value of a
// forgotten session ([ResetValue]). What a client may do is said by the [Token] in its [URL].
//
// docs/wire.md sections 2 and 3 are the specification; testdata/vectors holds the same in bytes. Nothing here reads a clock,
// locks, or draws randomness of its own: time and randomness are arguments.
package crypto
