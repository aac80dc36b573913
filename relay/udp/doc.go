// Package udp is the relay's socket: datagrams with the address they were sent to as well as the one they came from, so
// that on a host with several addresses an answer leaves from the one that was asked. System calls stand in conn_linux.go only;
// elsewhere conn_other.go gives the same interface, and the kernel chooses the source address.
package udp
