package record

// uploaded is what is known of a recording's copy elsewhere: kept in the folder.
type uploaded struct {
	Target string            `json:"target"` // s3://BUCKET/PREFIX/CALL
	Files  map[string]string `json:"files"`  // SHA-256 by name, of those that the remote has confirmed
	Done   bool              `json:"done"`
}
