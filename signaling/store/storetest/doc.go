// Package storetest has what tests of several servers over one log have in common: a NATS server.
package storetest
