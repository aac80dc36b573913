// Package localca gives certificates where there is no domain: in a private network whose people reach the server by an address or a name that no public
// authority vouches for. A CA of the server's own signs them; its certificate is installed once on each machine. It can vouch for private
// addresses and for the names that it was made for, and for nothing else: whoever stole its key could not speak for a bank's web site.
package localca
