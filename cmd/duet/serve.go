package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"duet/crypto"
	"duet/record"
	"duet/signaling/desk"
)

func newServe(s streams) *cobra.Command {
	var cfg serverConfig
	var show string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server: calls, relay, RTMP and HTTP-FLV gateways",
		Long: `Run the server. Without options it listens on loopback only and keeps its keys in ./duet-data, which it makes on its
first start. To be reached from elsewhere, give --udp :7000 and --advertise HOST with the name or address that clients use.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.log = slog.New(slog.NewTextHandler(s.err, nil))
			if err := crypto.ValidStream(show); err != nil {
				return misuse{err}
			}
			srv, err := newServer(cfg)
			if err != nil {
				return err
			}
			srv.print(s.out, show)
			if wildcard(cfg.udp) && cfg.advertise == "" {
				fmt.Fprintln(s.err, "duet: hint: URLs name 127.0.0.1, which is good on this machine only; --advertise HOST[:PORT] is what others reach it at")
			}
			return srv.serve(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.data, "data", defaultData, "directory for keys and secrets")
	f.StringVar(&cfg.udp, "udp", defaultUDP, "address for pushers and players; port 0 picks a free one")
	f.IntVar(&cfg.loops, "loops", 0, "threads that forward media (default: one for each processor but one)")
	f.StringVar(&cfg.rtmp, "rtmp", defaultRTMP, "address for RTMP, '' for none")
	f.StringVar(&cfg.rtmps, "rtmps", "", "address for RTMPS, needs --tls-cert and --tls-key")
	f.StringVar(&cfg.http, "http", defaultHTTP, "address for HTTP, '' for none")
	f.StringVar(&cfg.https, "https", "", "address for HTTPS, default :443 with --tls-self and --acme: browsers give camera and microphone to it alone, but for localhost")
	f.StringVar(&cfg.webTransport, "webtransport", defaultWebTransport, "address for browsers over QUIC, '' for none; they have the WebSocket of --http besides")
	f.StringVar(&cfg.admin, "admin", defaultAdmin, "address for metrics and profiles, '' for none")
	f.StringVar(&cfg.tls.cert, "tls-cert", "", "certificate for HTTPS, WebTransport and RTMPS, a PEM file; it is read again when it changes")
	f.StringVar(&cfg.tls.key, "tls-key", "", "its private key, a PEM file")
	f.BoolVar(&cfg.tls.self, "tls-self", false, "certificates from a CA of this server's own, for private networks without a domain: /ca/ explains how to install it")
	f.StringSliceVar(&cfg.tls.acme, "acme", nil, "get certificates for these domains from Let's Encrypt, whose terms you accept with this; port 443 has to be reachable")
	f.StringVar(&cfg.tls.acmeEmail, "acme-email", "", "where the authority writes to if something is wrong")
	f.StringVar(&cfg.tls.acmeCA, "acme-ca", "", "directory URL of another authority that speaks ACME, also one of your own")
	f.StringVar(&cfg.tls.acmeRoot, "acme-root", "", "certificate to check that authority with, a PEM file")
	f.StringVar(&cfg.advertise, "advertise", "", "HOST[:PORT] that clients reach this server at, where it is behind NAT or in a container")
	f.BoolVar(&cfg.allowPlaintext, "allow-plaintext", false, "allow RTMP and HTTP-FLV, which are not encrypted, off loopback")
	f.StringVar(&cfg.role, "role", roleAll, "all, relay or signaling: what this process does; apart they meet over --nats")
	f.StringVar(&cfg.calls.nats, "nats", "", "URL of a NATS server with JetStream; without one a server of its own keeps the log in --data")
	f.StringVar(&cfg.calls.natsCreds, "nats-creds", "", "credentials file for --nats")
	f.IntVar(&cfg.calls.replicas, "nats-replicas", 1, "how many servers of a NATS cluster keep the log")
	f.DurationVar(&cfg.calls.sync, "sync", 0, "how often the log is synced to disk; 0: before anything is acknowledged (a power cut costs what came since the last sync)")
	f.StringVar(&cfg.calls.node, "node", "", "name of this server where several share --nats")
	f.StringSliceVar(&cfg.calls.origins, "origin", nil, "host of pages that may use this server's sockets, beside its own; may be repeated")
	f.BoolVar(&cfg.calls.devOpen, "dev-open", false, "for trials: anybody is whoever they say, an admin too")
	f.DurationVar(&cfg.calls.settings.GoneAfter, "gone-after", 30*time.Second, "a call ends when a party's media has been lost for so long")
	f.StringVar(&cfg.calls.settings.Record, "record", desk.RecordNever, "policy of calls whose queue has none: never, on-request, always or must")
	f.StringVar(&cfg.record.sync, "record-sync", string(record.SyncAlways), "always: recordings are synced every second; never: when the system likes")
	f.StringSliceVar(&cfg.record.recipients, "record-recipient", nil, "public key of age, age1…, that recordings are sealed to: this server can't read them back; may be repeated")
	f.StringVar(&cfg.record.s3, "record-s3", "", "s3://BUCKET/PREFIX that finished recordings are copied to; the local copy stays")
	f.StringVar(&cfg.record.endpoint, "record-s3-endpoint", "", "HOST[:PORT] of its S3 interface; credentials come from "+s3AccessEnv+" and "+s3SecretEnv)
	f.StringVar(&show, "show", "live/demo", "stream whose URLs are shown on a terminal")
	return cmd
}

// print tells where the server listens. URLs are secrets: they go to a terminal, never into a file or a log.
func (s *server) print(w io.Writer, show string) {
	fmt.Fprintf(w, "duet %s\n", version())
	if s.relay != nil {
		fmt.Fprintf(w, "udp    %s  clients: %s\n", s.relay.Addr(), s.told.UDP)
	}
	if s.rtmpLn != nil {
		fmt.Fprintf(w, "rtmp   %s\n", s.rtmpLn.Addr())
	}
	if s.rtmpsLn != nil {
		fmt.Fprintf(w, "rtmps  %s\n", s.rtmpsLn.Addr())
	}
	if s.httpLn != nil {
		fmt.Fprintf(w, "http   %s\n", s.httpLn.Addr())
	}
	if s.httpsLn != nil {
		fmt.Fprintf(w, "https  %s\n", s.httpsLn.Addr())
	}
	if s.certs != nil && s.certs.ca != nil {
		fmt.Fprintf(w, "ca     SHA-256 %s; /ca/ explains how to install it\n", s.certs.ca.Fingerprint())
	}
	if s.browsers != nil && s.browsers.sock != nil {
		fmt.Fprintf(w, "quic   %s  browsers\n", s.browsers.sock.LocalAddr())
	}
	if s.admin != nil {
		fmt.Fprintf(w, "admin  %s\n", s.admin.ln.Addr())
	}
	fmt.Fprintf(w, "data   %s\n", s.cfg.data)
	if s.calls != nil && !s.calls.hasUsers() {
		fmt.Fprintf(w, "users  none: whoever reaches %s is whoever they say (duet user add NAME --role admin ends that)\n", s.httpLn.Addr())
	}
	if !isTerminal(w) || s.relay == nil {
		return
	}
	o := urlOptions{data: s.cfg.data, expires: 24 * time.Hour}
	fmt.Fprintf(w, "\nURLs of %s, valid for %v (duet url makes others):\n", show, o.expires)
	for _, a := range []crypto.Action{crypto.ActionPush, crypto.ActionPlay, crypto.ActionRTMPPush, crypto.ActionRTMPPlay, crypto.ActionFLV} {
		if text, err := makeURL(s.secrets, a, show, &o); err == nil {
			fmt.Fprintf(w, "%-9s  %s\n", a, text)
		}
	}
	fmt.Fprintln(w, "\nCtrl-C ends the server.")
}
