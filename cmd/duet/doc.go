// Command duet is self-hosted two-party video calls in one binary: the relay with its gateways (serve), a pusher and a player for
// the command line (push, play), the URLs that they need (url), and a demonstration of all of it (demo).
//
// Results go to standard output, everything else to standard error. It exits with 0 when done, 1 when something failed, 2 when it
// was called wrongly.
package main
