//go:build !js

package main

import "os"

// main is here so that the whole tree builds everywhere; there is nothing to run outside a browser.
func main() { os.Exit(2) }
