// Command wasm is the part of the browser's SDK that is written in Go: package endpoint, with the few functions that a worker drives it by.
// scripts in web/static/sdk call it; web/build.sh makes web/static/sdk/duet.wasm.br of it.
//
// It gives the worker one function, globalThis.duetOpen(config), which returns an endpoint:
//
//	step(now, in, length) ⇒ length of what is in endpoint.out afterwards; in is a Uint8Array, now is performance.now()
//	deadline(now) ⇒ when to call step again at the latest; Infinity: it is over
//	out: a Uint8Array, replaced by a larger one where that is needed
//
// A string that it returns instead of an endpoint is the reason why there is none.
package main
