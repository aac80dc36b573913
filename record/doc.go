// Package record keeps calls on disk so that they can be relied on: whatever happens to the process, what was written plays and can be checked by
// anybody, and nobody can change it unseen.
//
// A call has a folder. Each run of the recorder adds a part to it; the first has no number in its names, the second has .2, and so on:
//
//	media.mp4       fragmented MP4: a region of initSize bytes with ftyp, moov and free, then one moof and mdat a second
//	log.jsonl       what was said and what became of the call, a line each
//	side-N.flv      media that MP4 has no place for, as it came
//	snapshot-N.mp4  one key frame
//	chain.jsonl     what holds it together
//	manifest.json   the whole at a glance, written at the end
//	messages.vtt    what was said, as subtitles; written at the end
//
// The chain is a list of links, a line of JSON each. A link holds the hash of the one before; it names a piece of a file (offset, size, SHA-256), or
// says what happened (begin, note, end). Every headEvery a link is signed with the server's key, and the last one is:
//
//	begin ◀─ init ◀─ fragment ◀─ log ◀─ fragment ◀─ … ◀─ head (signed) ◀─ … ◀─ end (signed: manifest's hash)
//
// Where recordings are sealed, every piece is a length in 4 bytes and an age file of its own, and the names end in .age: the chain is over what is
// on disk, so that it is checked without opening anything.
package record
