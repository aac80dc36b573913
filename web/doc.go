// Package web holds the browser's side of duet, embedded: the SDK (static/sdk: custom elements, a worker, the core as wasm) and the pages,
// and serves it. Nothing of it is built when duet is built: it is ES modules as they stand, and a wasm that build.sh makes and stamp_test.go
// holds to its sources.
package web
