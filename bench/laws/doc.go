// Package laws checks what signaling has written down: it goes through the log with a model of its own, apart from the one that wrote it.
package laws
